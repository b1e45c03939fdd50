"""A bucket in a folder, for tests that need episodes to come and go but not to be converted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.records import CheckResult, EpisodeRecord
from lerobot_pipelines.pipeline.artifacts import FailureRecord, episode_keys, write_artifact
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members
from lerobot_pipelines.pipeline.metadata import CODE_VERSION
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Bucket:
    config: DatasetConfig
    root: Path

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.config, cache_dir=self.root / "cache")

    def put(self, key: str, content: bytes = b"joints") -> None:
        """An upload of two files, complete as far as a listing can tell."""
        for path, data in (
            (f"joints/{key}/left_slave.parquet", content),
            (f"images/{key}/cam_high/1000000.jpg", b"\xff\xd8"),
        ):
            file = self.root / "raw" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def begin_upload(self, key: str) -> None:
        file = self.root / "raw" / f"images/{key}/cam_high/1000000.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\xd8")

    def remove(self, key: str) -> None:
        shutil.rmtree(self.root / f"raw/joints/{key}")
        shutil.rmtree(self.root / f"raw/images/{key}")

    def fingerprint(self, key: str) -> str:
        return fingerprint(list_members(self.workspace.storage, self.config, key))

    def convert(self, key: str, *, passed: bool = True, config_hash: str | None = None) -> None:
        """Leave the verdict that a conversion of the present content would leave."""
        record = EpisodeRecord(
            key=key,
            uri=key,
            source=None,
            fingerprint=self.fingerprint(key),
            config_hash=config_hash or dataset_hash(self.config),
            code_version=CODE_VERSION,
            fps=30,
            robot_type="robot",
            frames_key="frames",
            frames_sha256="0",
            features={},
            segments=(),
            checks=(CheckResult(name="values_finite", passed=passed),),
        )
        write_artifact(self.workspace, episode_keys(self.workspace, key).record, record)

    def refuse(self, key: str, *, config_hash: str | None = None) -> None:
        failure = FailureRecord(
            key=key,
            stage="aligned_frames",
            reason="too_short",
            message="the recording lasts 0.5 s, 1 s is asked for",
            fingerprint=self.fingerprint(key),
            config_hash=config_hash or alignment_hash(self.config),
        )
        write_artifact(self.workspace, episode_keys(self.workspace, key).failure, failure)
