"""``dataset.pattern`` with ``{episode_id}``: each episode its own dataset, and never two."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import DatasetConfig, Format, StorageConfig
from lerobot_pipelines.datasets import DatasetUpdate
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.defs import dataset_sensor, naming
from lerobot_pipelines.defs.dataset_sensor import DatasetCursor
from lerobot_pipelines.errors import ConfigError, Refused, Transient
from lerobot_pipelines.pipeline import convert, episode_datasets, health
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.dataset import dataset_roots, dataset_sizes, update_datasets
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines_tests.datasets.reading import tree
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

PATTERN = "{source}/{episode_id}_{strategy}"


class Fleet:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: DatasetConfig = fleet_config(
            StorageConfig(url=(folder / "b").as_uri(), sources=("robot_1", "robot_2")),
            dataset={"pattern": PATTERN, "formats": ["v2.1", "v3.0"]},
            alignment={"chunk_size": 5},
        )
        self.recording = record(folder / "disk")
        self.workspace = workspace_of(self.config, folder)

    def publish(self, name: str, source: str, **settings: Any) -> None:
        publish_episode(name, self.recording, config=self.config, source=source, **settings)

    def convert(self) -> tuple[DatasetUpdate, ...]:
        return convert_dataset(self.config).datasets

    def datasets(self) -> list[str]:
        """Those that a person finds: with their ``info.json``."""
        converted = self.folder / "b/converted"
        found = converted.rglob("info.json")
        return sorted(path.parent.parent.relative_to(converted).as_posix() for path in found)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_every_episode_has_a_dataset_named_after_source_episode_and_strategy(
    fleet: Fleet,
) -> None:
    fleet.publish("block/a", "robot_1")
    fleet.publish("block/a", "robot_2", strategy="chunking")
    updates = fleet.convert()
    assert fleet.datasets() == [
        "robot_1/block~a_nearest/v2.1",
        "robot_1/block~a_nearest/v3.0",
        "robot_2/block~a_chunking/v2.1",
        "robot_2/block~a_chunking/v3.0",
    ]
    for update in updates:
        assert (update.kind, update.episodes, len(update.added)) == ("create", 2, 2)
    for name in fleet.datasets():
        report = verify_dataset(fleet.folder / "b/converted" / name)
        assert report.findings == () and report.episodes == 1
    roots = dataset_roots(fleet.workspace, Format.V30)
    assert roots == [f"converted/{name}" for name in fleet.datasets() if name.endswith("v3.0")]
    assert dataset_sizes(fleet.workspace, {})[Format.V30][0] == 2


def test_an_update_reads_only_what_is_new(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.publish("a", "robot_1")
    fleet.convert()
    fleet.publish("b", "robot_1")
    made: list[str] = []
    make = episode_datasets._make

    def noted(workspace: Any, partition: str, *rest: Any) -> Any:
        made.append(partition)
        return make(workspace, partition, *rest)

    monkeypatch.setattr(episode_datasets, "_make", noted)
    updates = fleet.convert()
    assert made == ["robot_1~b"]
    assert {(one.kind, one.episodes, one.added) for one in updates} == {
        ("append", 2, ("robot_1/b",))
    }
    assert {one.kind for one in fleet.convert()} == {"none"}


def test_the_results_of_two_strategies_stand_side_by_side(fleet: Fleet) -> None:
    fleet.publish("a", "robot_1")
    fleet.convert()
    nearest = tree(fleet.folder / "b/converted/robot_1/a_nearest")
    fleet.publish("a", "robot_1", strategy="window")
    fleet.convert()
    both = ["a_nearest/v2.1", "a_nearest/v3.0", "a_window/v2.1", "a_window/v3.0"]
    assert fleet.datasets() == [f"robot_1/{name}" for name in both]
    assert tree(fleet.folder / "b/converted/robot_1/a_nearest") == nearest
    roots = dataset_roots(fleet.workspace, Format.V30)
    assert sorted(roots) == [f"converted/robot_1/a_{name}/v3.0" for name in ("nearest", "window")]
    for name in fleet.datasets():
        assert verify_dataset(fleet.folder / "b/converted" / name).findings == ()
    # Back to the first one, and with the list of what was made lost: nothing is made twice.
    fleet.publish("a", "robot_1", strategy="nearest")
    fleet.convert()
    fleet.workspace.storage.write("work/fleet/episode_datasets.json", b"{")
    assert {one.episodes for one in fleet.convert()} == {1}
    assert fleet.datasets() == [f"robot_1/{name}" for name in both]


def test_strategies_of_one_run_stand_side_by_side_as_well(fleet: Fleet) -> None:
    fleet.publish("a", "robot_1")
    fleet.publish("b", "robot_1")
    fleet.convert()
    other = override(fleet.config, {"alignment.strategy": "window", "alignment.window_ms": 40})
    assert convert_dataset(other, episodes=["robot_1/a"]).ok
    assert [name for name in fleet.datasets() if name.endswith("v3.0")] == [
        "robot_1/a_nearest/v3.0",
        "robot_1/a_window/v3.0",
        "robot_1/b_nearest/v3.0",
    ]
    for name in fleet.datasets():
        assert verify_dataset(fleet.folder / "b/converted" / name).findings == ()


def test_a_dataset_that_cannot_be_made_stops_no_other(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "UPDATE_PAUSES_S", ())
    foreign = fleet.folder / "b/converted/robot_1/a_nearest/v2.1/meta/info.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("{}")
    fleet.publish("a", "robot_1")
    fleet.publish("b", "robot_1")
    with pytest.raises(Refused, match="not this one's"):
        fleet.convert()
    assert foreign.read_text() == "{}"
    assert [name for name in fleet.datasets() if "b_nearest" in name] == [
        "robot_1/b_nearest/v2.1",
        "robot_1/b_nearest/v3.0",
    ]
    shutil.rmtree(foreign.parent.parent)
    assert {one.episodes for one in fleet.convert()} == {2}


def test_a_refused_episode_loses_its_dataset_and_the_others_keep_theirs(fleet: Fleet) -> None:
    fleet.publish("a", "robot_1")
    fleet.publish("b", "robot_1")
    fleet.convert()
    shutil.rmtree(fleet.folder / "b/raw/robot_1/a/images")
    updates = fleet.convert()
    assert fleet.datasets() == ["robot_1/b_nearest/v2.1", "robot_1/b_nearest/v3.0"]
    assert {one.removed for one in updates} == {("robot_1/a",)}


def test_an_update_that_was_cut_off_leaves_no_dataset_behind(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after the dataset is made, before that is noted; then the strategy changes."""
    fleet.publish("a", "robot_1")
    writes = 0
    write = episode_datasets._write_state

    def cut_off(*arguments: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise Transient("killed")
        write(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(convert, "UPDATE_PAUSES_S", ())
        broken.setattr(episode_datasets, "_write_state", cut_off)
        with pytest.raises(Transient):
            fleet.convert()
    assert fleet.datasets() == ["robot_1/a_nearest/v2.1", "robot_1/a_nearest/v3.0"]
    fleet.publish("a", "robot_1", strategy="hold")
    fleet.convert()
    assert fleet.datasets() == [
        f"robot_1/a_{name}" for name in ("hold/v2.1", "hold/v3.0", "nearest/v2.1", "nearest/v3.0")
    ]


def test_another_license_rewrites_every_dataset_without_converting(fleet: Fleet) -> None:
    fleet.publish("a", "robot_1")
    fleet.convert()
    changed = override(fleet.config, {"dataset.license": "mit"})
    updates = update_datasets(workspace_of(changed, fleet.folder))
    assert {one.kind for one in updates} == {"rewrite"}
    card = fleet.folder / "b/converted/robot_1/a_nearest/v3.0/README.md"
    assert "mit" in card.read_text()


def test_a_source_in_the_pattern_needs_sources(tmp_path: Path) -> None:
    storage = StorageConfig(url=tmp_path.as_uri())
    with pytest.raises(ConfigError, match=r"no storage\.sources"):
        override(fleet_config(storage), {"dataset.pattern": PATTERN})


def test_the_sensor_looks_at_each_dataset_in_its_turn_and_asks_for_a_damaged_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "b", "c"]
    for name in names:
        fleet.publish(name, "robot_1")
    fleet.convert()
    monkeypatch.setattr(health, "READ_THREADS", 1)
    monkeypatch.setattr(dataset_sensor, "LISTING_BUDGET_S", 0.0)  # one listing a tick
    cursor, now_s = DatasetCursor(), time.time()
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> dg.RunRequest | str:
            return dataset_sensor.decide(fleet.workspace, instance, cursor, now_s)

        turns = [(tick(), cursor.after)[1] for _ in range(3)]
        assert turns == ["robot_1~a", "robot_1~b", ""]
        assert cursor.checked == now_s and tick() == "the dataset holds every finished episode"
        now_s += dataset_sensor.CHECK_EVERY_S
        (lost,) = (fleet.folder / "b/converted/robot_1/b_nearest/v2.1/data").rglob("*.parquet")
        sound = lost.read_bytes()
        lost.unlink()
        answers = [tick() for _ in range(4)]
    assert answers[0] == "the dataset holds every finished episode"
    first, *others = [one for one in answers if isinstance(one, dg.RunRequest)]
    assert len(others) == 2  # asked for again while it lasts, and known by the same name
    assert {one.tags[naming.FINISHED_TAG] for one in others} == {first.tags[naming.FINISHED_TAG]}
    fleet.convert()
    assert lost.read_bytes() == sound
    with dg.DagsterInstance.ephemeral() as instance:
        assert [tick() for _ in range(3)] == ["the dataset holds every finished episode"] * 3
