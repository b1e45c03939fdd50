"""The real lerobot reads a dataset that writers fought over as it reads one that nobody disturbed.

After a lost race a dataset holds other file names, places that are fenced off and stamped files,
see ``datasets.stamping``. Nothing of it may be seen in a row.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import DatasetConfig, Format, StorageConfig
from lerobot_pipelines.datasets import dataset_prefix
from lerobot_pipelines.datasets.ledger import Snapshot, open_ledger
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.pipeline.convert import convert_dataset, convert_episode
from lerobot_pipelines.pipeline.dataset import update_datasets
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines_tests.conformance.shared import lerobot_python_of, shared_folder
from lerobot_pipelines_tests.datasets.interleaving import Writer
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

pytestmark = pytest.mark.conformance

KEYS = tuple(f"block/episode_{number}" for number in range(1, 8))
# Each is overtaken by one whose episode comes before its own, when it stands before this write.
RACES = (("data/", 5, 2), ("videos/", 6, 3), ("meta/info", 4, 0))
MAX_CALLS = 2000
VERSIONS = {Format.V21: ("0.3",), Format.V30: ("0.4", "0.6")}


class Fleet:
    def __init__(self, folder: Path, recordings: list[Path], fmt: Format) -> None:
        self.folder = folder
        self.recordings = recordings
        self.fmt = fmt
        self.config: DatasetConfig = fleet_config(
            StorageConfig(url=(folder / "bucket").as_uri()), dataset={"formats": [fmt]}
        )
        self.workspace: Workspace = workspace_of(self.config, folder)

    def publish(self, number: int) -> None:
        publish_episode(KEYS[number], self.recordings[number], config=self.config)

    @property
    def root(self) -> Path:
        return self.folder / "bucket" / dataset_prefix(self.config, self.fmt)

    def snapshot(self) -> Snapshot:
        done = open_ledger(self.workspace.storage, self.config, self.fmt).history().done
        assert done is not None
        return done.snapshot

    def race(self, place: str, loser_adds: int, winner_adds: int) -> None:
        self.publish(loser_adds)
        convert_episode(self.workspace, KEYS[loser_adds])
        loser = Writer(
            self.workspace.storage,
            lambda storage: update_datasets(replace(self.workspace, storage=storage)),
        )
        for _ in range(MAX_CALLS):
            assert loser.step(1)
            name, _, key = loser.upcoming.partition(" ")
            if name in ("replace", "copy", "upload") and place in key:
                break
        self.publish(winner_adds)
        assert convert_dataset(self.config).ok
        assert isinstance(loser.finish(), Transient | tuple)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("disk")
    return [record(folder, key, seed=number) for number, key in enumerate(KEYS)]


def contested(folder: Path, recordings: list[Path], fmt: Format) -> Fleet:
    fleet = Fleet(folder, recordings, fmt)
    fleet.publish(1)
    assert convert_dataset(fleet.config).ok
    for race in RACES:
        fleet.race(*race)
    assert convert_dataset(fleet.config).ok
    assert fleet.snapshot().abandoned, "nobody lost a race"
    return fleet


def quiet(folder: Path, recordings: list[Path], like: Fleet) -> Fleet:
    """The same episodes in the same order, one after the other."""
    fleet = Fleet(folder, recordings, like.fmt)
    for member in like.snapshot().members:
        fleet.publish(KEYS.index(member.key))
        assert convert_dataset(fleet.config).ok
    assert not fleet.snapshot().abandoned
    return fleet


@pytest.fixture(scope="module", params=list(Format), ids=lambda fmt: fmt.value)
def datasets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, recordings: list[Path]
) -> tuple[Fleet, Fleet]:
    folder = tmp_path_factory.mktemp("datasets")
    fought_over = contested(folder / "contested", recordings, request.param)
    return fought_over, quiet(folder / "quiet", recordings, fought_over)


def test_every_row_is_that_of_the_undisturbed_dataset(
    datasets: tuple[Fleet, Fleet], tmp_path: Path
) -> None:
    for version in VERSIONS[datasets[0].fmt]:
        python = lerobot_python_of(version)
        rows, expected = (
            rows_read(python, fleet.root, tmp_path / f"{version} {number}")
            for number, fleet in enumerate(datasets)
        )
        assert len(rows) == 2 * len(KEYS) * 30  # vectors and a picture for each row
        assert rows == expected


def rows_read(python: str, root: Path, dump: Path) -> dict[str, bytes]:
    """What lerobot gives for each row, by file name: vectors as JSON, pictures as PNG."""
    loader = shared_folder() / "lerobot/load.py"
    command = [python, str(loader), str(root), "--dump", str(dump), "--every", "1"]
    finished = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return {path.name: path.read_bytes() for path in dump.iterdir()}
