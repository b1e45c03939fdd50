"""Updates that stall or come in the middle of something, with real recordings and both formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import DatasetConfig, Format, StorageConfig
from lerobot_pipelines.datasets import DatasetUpdate, dataset_prefix
from lerobot_pipelines.datasets.verify import VerifyReport, verify_dataset
from lerobot_pipelines.errors import Refused, Transient
from lerobot_pipelines.pipeline.aligned import align_episode
from lerobot_pipelines.pipeline.convert import convert_dataset, convert_episode
from lerobot_pipelines.pipeline.dataset import update_datasets
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines_tests.datasets.interleaving import Writer
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

KEYS = tuple(f"block/episode_{number}" for number in range(1, 6))
MAX_CALLS = 2000

Publish = Callable[[str], None]


@pytest.fixture(params=["local", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetConfig:
    storage = StorageConfig(url=(tmp_path / "bucket").as_uri())
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        storage = server.config(server.new_bucket())
    return fleet_config(storage, dataset={"formats": [*Format]})


@pytest.fixture
def publish(config: DatasetConfig, tmp_path: Path) -> Publish:
    def one(key: str) -> None:
        path = record(tmp_path / "disk", key, seed=KEYS.index(key))
        publish_episode(key, path, config=config)

    return one


def verified(workspace: Workspace, fmt: Format, folder: Path) -> VerifyReport:
    """Of the dataset as a reader finds it."""
    root = dataset_prefix(workspace.config, fmt)
    for info in workspace.storage.list(root):
        path = folder / fmt / info.key[len(root) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        workspace.storage.download(info.key, path)
    return verify_dataset(folder / fmt)


def assert_sound(workspace: Workspace, episodes: int, folder: Path) -> None:
    for fmt in Format:
        report = verified(workspace, fmt, folder)
        assert report.findings == ()
        assert report.episodes == episodes


@pytest.mark.parametrize(
    "place", ["data/", "videos/", "meta/provenance", "meta/episodes", "meta/info"]
)
def test_a_writer_that_stalls_and_wakes_up_after_its_successor_changes_nothing(
    config: DatasetConfig, publish: Publish, tmp_path: Path, place: str
) -> None:
    for key in KEYS[:2]:
        publish(key)
    assert convert_dataset(config).ok
    workspace = workspace_of(config, tmp_path)
    publish(KEYS[3])
    convert_episode(workspace, KEYS[3])
    loser = Writer(
        workspace.storage, lambda storage: update_datasets(replace(workspace, storage=storage))
    )
    for _ in range(MAX_CALLS):
        assert loser.step(1)
        name, _, key = loser.upcoming.partition(" ")
        if name in ("replace", "copy", "upload") and place in key:
            break
    publish(KEYS[2])  # its place is before the one that the loser adds
    assert convert_dataset(config).ok
    assert_sound(workspace, 4, tmp_path / "before")
    outcome = loser.finish()
    assert isinstance(outcome, Transient | tuple), outcome
    assert_sound(workspace, 4, tmp_path / "after")
    assert convert_dataset(config).ok
    assert_sound(workspace, 4, tmp_path / "again")


def test_an_update_in_the_middle_of_a_backfill_takes_what_is_whole(
    config: DatasetConfig, publish: Publish, tmp_path: Path
) -> None:
    for key in KEYS[:3]:
        publish(key)
    assert convert_dataset(config).ok
    averaged = override(config, {"alignment.strategy": "window", "alignment.window_ms": 60})
    workspace = workspace_of(averaged, tmp_path)
    convert_episode(workspace, KEYS[0])
    align_episode(workspace, KEYS[1])  # and neither videos nor verdict yet
    for number in range(2):
        updates = update_datasets(workspace)
        assert {update.episodes for update in updates} == {3}
        assert_sound(workspace, 3, tmp_path / str(number))
    for key in KEYS[1:3]:
        convert_episode(workspace, key)
    updates = update_datasets(workspace)
    assert {len(update.stale) for update in updates} == {0}
    assert_sound(workspace, 3, tmp_path / "end")


def test_info_json_is_away_for_small_writes_only(
    config: DatasetConfig, publish: Publish, tmp_path: Path
) -> None:
    """All that is fetched, copied or built lies before that."""
    for key in KEYS[:3]:
        publish(key)
    assert convert_dataset(config).ok
    averaged = override(config, {"alignment.strategy": "window", "alignment.window_ms": 60})
    workspace = workspace_of(averaged, tmp_path)
    for key in KEYS[:3]:
        convert_episode(workspace, key)
    calls: list[tuple[str, str]] = []

    class Watched:
        url = workspace.storage.url

        def __getattr__(self, name: str) -> object:
            method = getattr(workspace.storage, name)

            def call(*arguments: object, **options: object) -> object:
                calls.append((name, next((a for a in arguments if isinstance(a, str)), "")))
                return method(*arguments, **options)

            return call

    watched: Storage = Watched()  # type: ignore[assignment]
    update_datasets(replace(workspace, storage=watched))
    for fmt in Format:
        key = f"{dataset_prefix(config, fmt)}/meta/info.json"
        touched = [n for n, (what, k) in enumerate(calls) if k == key and what != "read"]
        first = next(n for n in touched if calls[n][0] in ("remove", "replace"))
        window = calls[first + 1 : touched[-1]]
        assert window
        assert {what for what, _ in window} <= {"replace", "list", "list_level", "head", "delete"}
        assert not [k for what, k in window if k.endswith(".mp4") and what != "head"]


def test_files_of_others_in_the_folder_stay(
    config: DatasetConfig, publish: Publish, tmp_path: Path
) -> None:
    workspace = workspace_of(config, tmp_path)
    storage = workspace.storage
    roots = [dataset_prefix(config, fmt) for fmt in Format]
    others = [
        f"{root}/{name}"
        for root in roots
        for name in ("notes.txt", "README.md", "images/sketch.png", ".gitattributes")
    ]
    for key in others:
        storage.write(key, b"of a person")
    publish(KEYS[0])
    assert convert_dataset(config).ok
    later = [f"{root}/{name}" for root in roots for name in ("videos/mine.mp4", "meta/note.json")]
    for key in later:
        storage.write(key, b"of a person")
    publish(KEYS[1])
    assert convert_dataset(config).ok
    for root in roots:
        storage.delete(f"{root}/meta/info.json")  # it is built anew
    updates: tuple[DatasetUpdate, ...] = update_datasets(workspace)
    assert {update.episodes for update in updates} == {2}
    for key in [*others, *later]:
        assert storage.read(key) == b"of a person"
    assert_sound(workspace, 2, tmp_path / "seen")


@pytest.mark.parametrize(
    "name", ["data/chunk-000/mine.parquet", "meta/tasks.jsonl", "videos/chunk-000/x.mp4"]
)
def test_a_folder_with_parts_of_another_dataset_is_refused_and_not_touched(
    config: DatasetConfig, publish: Publish, tmp_path: Path, name: str
) -> None:
    workspace = workspace_of(config, tmp_path)
    key = f"{dataset_prefix(config, Format.V21)}/{name}"
    workspace.storage.write(key, b"of another program")
    publish(KEYS[0])
    convert_episode(workspace, KEYS[0])
    before = {info.key for info in workspace.storage.list(dataset_prefix(config, Format.V21))}
    with pytest.raises(Refused, match=f"{name}, which is not this one's"):
        update_datasets(workspace)
    after = {info.key for info in workspace.storage.list(dataset_prefix(config, Format.V21))}
    assert after == before
    assert workspace.storage.read(key) == b"of another program"
