"""A small converted bucket, on this machine or on an S3 server, that tests take things out of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import DatasetConfig, Format, StorageConfig
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.pipeline.convert import ConvertSummary, convert_dataset
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of
from lerobot_pipelines_tests.s3_server import S3Server

KEYS = tuple(f"block/episode_{number}" for number in range(4))
FORMATS = ("v2.1", "v3.0")


@dataclass(frozen=True)
class Room:
    config: DatasetConfig
    folder: Path  # on this machine

    @property
    def workspace(self) -> Workspace:
        return workspace_of(self.config, self.folder)

    @property
    def storage(self) -> Storage:
        return self.workspace.storage

    def with_settings(self, **settings: Any) -> Room:
        return replace(self, config=override(self.config, settings))

    def publish(self, *keys: str, **spec: Any) -> None:
        for key in keys:
            seed = spec.pop("seed", KEYS.index(key) if key in KEYS else 99)
            path = record(self.folder / f"disk_{seed}", key, seed=seed, **spec)
            publish_episode(key, path, config=self.config)

    def convert(self, *keys: str, **options: Any) -> ConvertSummary:
        return convert_dataset(self.config, episodes=list(keys) or None, **options)

    def delete(self, prefix: str) -> int:
        """Everything below a folder, or one object; how much that was."""
        found = [info.key for info in self.storage.list(prefix)]
        for key in found or [prefix]:
            self.storage.delete(key)
        return len(found)

    def delete_recording(self, key: str) -> None:
        assert self.delete(f"raw/{key}")

    def record_key(self, key: str) -> str:
        return f"work/fleet/records/{encode_key(key)}.json"

    def members(self) -> dict[str, list[str]]:
        """The episodes of each format's dataset, as the ledger has them."""
        found = dataset_snapshots(self.workspace)
        return {str(fmt): [one.key for one in s.members] for fmt, s in found.items()}

    def contents(self, fmt: str) -> dict[str, bytes]:
        """Every file of a dataset but the card, which names the bucket."""
        root = f"converted/fleet/{fmt}"
        return {
            info.key.removeprefix(root): self.storage.read(info.key)
            for info in self.storage.list(root)
            if not info.key.endswith("README.md")
        }

    def check_sound(self, episodes: int) -> None:
        for fmt in Format:
            report = verify_dataset(self._fetched(f"converted/fleet/{fmt}"), decode=True)
            assert (report.findings, report.episodes) == ((), episodes), fmt

    def _fetched(self, prefix: str) -> Path:
        local = self.storage.local_path(prefix)
        if local is not None:
            return local
        folder = self.folder / "fetched"
        for old in folder.rglob("*"):
            if old.is_file():
                old.unlink()
        for info in self.storage.list(prefix):
            path = folder / info.key
            path.parent.mkdir(parents=True, exist_ok=True)
            self.storage.download(info.key, path)
        return folder / prefix


def make_room(storage: StorageConfig, folder: Path) -> Room:
    config = fleet_config(
        storage.model_copy(
            update={"scanner": storage.scanner.model_copy(update={"quiet_period_s": 0.0})}
        ),
        dataset={"formats": list(FORMATS)},
        alignment={"rate_tolerance": 0.2, "window_ms": 40.0, "chunk_size": 5},
    )
    return Room(config, folder)


def rooms(request: pytest.FixtureRequest, folder: Path) -> Iterator[Room]:
    """For a fixture with the parameters "local" and "s3"."""
    if request.param == "local":
        yield make_room(StorageConfig(url=(folder / "bucket").as_uri()), folder)
        return
    server: S3Server = request.getfixturevalue("s3_server")
    yield make_room(server.config(server.new_bucket()), folder)
