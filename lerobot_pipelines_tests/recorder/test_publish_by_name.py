"""The call of earlier systems: an episode that the bucket has, announced by its name.

``publish_episode(episode_id="episode_0001", source="robot_1", strategy="chunking")``
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config import dump_config, load_config
from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.discovery import list_members
from lerobot_pipelines.pipeline.retries import list_retries
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.recordings.layout import UPLOADING_NAME, beside
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage.names import join
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

PATTERN = "{source}/{episode_id}_{strategy}"
SOURCES = ("robot_1", "robot_2")


class Bucket:
    """Two robots' recordings in a bucket; the configuration in ``config/storage.yaml``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = fleet_config(
            StorageConfig(url=(folder / "bucket").as_uri(), sources=SOURCES),
            dataset={"pattern": PATTERN},
            alignment={"chunk_size": 5},
        )
        self.recording = record(folder / "disk")
        self.storage = open_storage(self.config.storage)
        self.file = folder / "config/storage.yaml"
        self.file.parent.mkdir()
        self.file.write_text(dump_config(self.config))

    def upload(self, key: str) -> None:
        """As the uploader of those systems did: the files, nothing else."""
        robot, _, name = key.partition("/")
        publish_episode(name, self.recording, config=self.config, source=robot)
        self.storage.delete(f"raw/{key}/_READY")

    def settings(self, key: str) -> str:
        path = self.folder / "bucket/raw" / key / "overrides.json"
        return path.read_text() if path.exists() else ""

    def converted(self) -> list[str]:
        convert_dataset(self.config)
        folder = self.folder / "bucket/converted"
        return sorted(
            path.parents[2].relative_to(folder).as_posix() for path in folder.rglob("info.json")
        )


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBOT_ID", raising=False)
    monkeypatch.delenv("LEROBOT_PIPELINES_CONFIG", raising=False)
    made = Bucket(tmp_path)
    made.upload("robot_1/bottle/episode_0001")
    return made


def test_the_call_as_it_stands_has_the_episode_converted_so(bucket: Bucket) -> None:
    bucket.upload("robot_2/bottle/episode_0001")
    answer = publish_episode(episode_id="episode_0001", source="robot_1", strategy="chunking")
    assert answer is True
    assert "chunking" in bucket.settings("robot_1/bottle/episode_0001")
    assert bucket.settings("robot_2/bottle/episode_0001") == ""
    assert bucket.converted() == [
        "robot_1/bottle~episode_0001_chunking",
        "robot_2/bottle~episode_0001_nearest",
    ]
    # Once more: nothing changes, so nothing is converted again.
    members = list_members(bucket.storage, bucket.config, "robot_1/bottle/episode_0001")
    assert publish_episode(episode_id="episode_0001", source="robot_1", strategy="chunking") is True
    assert list_members(bucket.storage, bucket.config, "robot_1/bottle/episode_0001") == members
    assert not list(list_retries(workspace_of(bucket.config, bucket.folder)))


def test_the_source_comes_from_the_environment(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.upload("robot_2/bottle/episode_0001")
    monkeypatch.setenv("ROBOT_ID", "robot_2")
    assert publish_episode(episode_id="episode_0001", strategy="chunking") is True
    assert bucket.settings("robot_1/bottle/episode_0001") == ""
    assert "chunking" in bucket.settings("robot_2/bottle/episode_0001")


@pytest.mark.parametrize("kind", ["local", "bos", "s3"])
def test_a_kind_of_store_as_source_is_any_robot(bucket: Bucket, kind: str) -> None:
    assert publish_episode(episode_id="episode_0001", source=kind, strategy="chunking") is True


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"episode_id": "episode_0002", "source": "robot_1"}, 'there is no episode "episode_0002"'),
        ({"episode_id": "episode_0001", "source": "robot_9"}, "storage.sources has robot_1"),
        ({"episode_id": "episode_0001", "strategy": "nearst"}, "alignment.strategy"),
        ({"episode_id": "episode_0001", "config": "nowhere.yaml"}, "there is no such file"),
        ({"episode_id": "../x\x1b[2J"}, "there is no episode"),
    ],
)
def test_what_cannot_be_is_false_with_the_reason_in_the_log(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, call: dict[str, Any], said: str
) -> None:
    assert publish_episode(**call) is False
    (entry,) = caplog.records
    assert entry.levelname == "ERROR" and said in entry.getMessage()
    assert "\x1b" not in entry.getMessage()
    assert bucket.settings("robot_1/bottle/episode_0001") == ""


def test_a_name_that_several_have_is_nobodys(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.upload("robot_1/cup/episode_0001")
    assert publish_episode(episode_id="episode_0001", source="robot_1") is False
    assert '"robot_1/bottle/episode_0001", "robot_1/cup/episode_0001"' in caplog.text
    assert publish_episode(episode_id="cup/episode_0001", source="robot_1") is True


def test_an_upload_under_way_is_not_announced(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    sign = join("raw", beside("robot_1/bottle/episode_0001", UPLOADING_NAME))
    bucket.storage.write(sign, b"{}\n")
    assert publish_episode(episode_id="episode_0001", source="robot_1") is False
    assert "under way" in caplog.text


def test_where_the_configuration_is_looked_for(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def announced(**config: Any) -> bool:
        return publish_episode(episode_id="episode_0001", source="robot_1", **config)

    assert announced()
    moved = bucket.file.rename(bucket.folder / "storage.yaml")
    assert announced()
    moved = moved.rename(bucket.folder / "mine.yaml")
    assert not announced()
    assert "LEROBOT_PIPELINES_CONFIG" in caplog.text and "./config/storage.yaml" in caplog.text
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIG", str(moved))
    assert announced()
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIG", "gone.yaml")
    loaded: DatasetConfig = load_config(moved)
    assert announced(config=moved) and announced(config=loaded)


def test_with_a_recording_it_uploads_and_raises(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish_episode("bottle/episode_0002", bucket.recording, source="robot_1")
    assert published and published.key == "robot_1/bottle/episode_0002"
    with pytest.raises(ConfigError, match="robot_9"):
        publish_episode("bottle/episode_0003", bucket.recording, source="robot_9")
    monkeypatch.chdir(bucket.recording)
    with pytest.raises(ConfigError, match="LEROBOT_PIPELINES_CONFIG"):
        publish_episode("bottle/episode_0003", bucket.recording)
