"""``publish_episode`` as programs on robots call it: keywords, a configuration of habit, a bool."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows, ran
from lerobot_pipelines_tests.migration.snippets import snippet

pytestmark = pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")

ROBOT = text("dual_arm_chunking.yaml")


@pytest.fixture
def recording(owned: Repository, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An episode of robot_1 in the bucket of the configuration that the environment names."""
    config = owned.path("redis_config.yaml")
    config.write_text(f"{config.read_text()}storage:\n  url: {owned.root / 'bucket'}\n")
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIG", str(config))
    return record(owned.root / "bucket/raw/robot_1", "episode_0001", ROBOT, seed=1)


def test_an_episode_in_the_bucket_is_published_with_its_strategy(
    recording: Path, owned: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish_episode(episode_id="episode_0001", source="robot_1", strategy="chunking") is True
    ran("convert")
    assert publish_episode(episode_id="episode_0001", source="robot_1", strategy="nearest") is True
    ran("convert")
    for strategy in ("chunking", "nearest"):
        (folder,) = owned.root.glob(f"bucket/**/robot_1/episode_0001_{strategy}")
        assert_rows(folder, recording, ROBOT, strategy)
    monkeypatch.setenv("ROBOT_ID", "robot_1")
    assert publish_episode(episode_id="episode_0001", strategy="chunking") is True


def test_what_cannot_be_published_is_false_and_never_raises(
    recording: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert publish_episode(episode_id="episode_0007", source="robot_1") is False
    assert publish_episode(episode_id="episode_0001", source="robot_9") is False
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIG", "nowhere.yaml")
    assert publish_episode(episode_id="episode_0001", source="robot_1") is False
    for word in ("episode_0007", "robot_9", "nowhere.yaml"):
        assert word in caplog.text


def test_the_snippet_of_the_page_runs(
    recording: Path, owned: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    record(owned.root / "takes", "episode_0002", ROBOT, seed=2)
    snippet("publish_episode(")
    assert "robot_1/episode_0002" in capsys.readouterr().out
    assert len(list((owned.root / "bucket/raw/robot_1/episode_0002").rglob("*.parquet"))) == 4
