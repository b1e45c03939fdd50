"""An owner's repository as it is today: files where they say, and recordings with known truth."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording

TEXTS = Path(__file__).parent / "texts"

# Where each file is kept, from the root of its repository.
PLACES = {
    "chunking.yaml": "config/strategies/chunking.yaml",
    "storage.yaml": "config/storage.yaml",
    "dual_arm_chunking.yaml": "config/dual_arm_chunking.yaml",
    "redis_config.yaml": "config/redis_config.yaml",
}
# The rates at which the cameras really record; the third is thinned.
RATES = {"base": 25.0, "sync": 25.0, "downsample": 30.0}


def text(name: str) -> dict[str, Any]:
    """The content of a file, as any YAML reader sees it."""
    content: dict[str, Any] = yaml.safe_load((TEXTS / name).read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True)
class Repository:
    """``root`` is the working directory of its owner."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / PLACES[name]

    def put(self, *names: str) -> None:
        for name in names:
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TEXTS / name, self.path(name))

    def strategy_file(self, name: str, strategy: str, settings: Mapping[str, Any]) -> Path:
        """A sister of a strategy file that differs in the alignment alone."""
        content = text(name)
        content["alignment"] = {"strategy": strategy, "tolerance_ms": 20, **settings}
        place = self.path(name).with_name(f"{strategy}.yaml")
        place.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return place


def spec_of(robot: Mapping[str, Any], seed: int, seconds: float = 1.2) -> SynthSpec:
    """A recording of the robot that a strategy file describes."""
    cameras = tuple(
        SynthCamera(camera["name"], RATES[camera["role"]], width=96, height=64)
        for camera in robot["cameras"]
    )
    arms = tuple(arm["name"] for arm in robot["robot"]["arms"])
    joints = robot["robot"]["joints_per_arm"]
    return SynthSpec(seconds=seconds, cameras=cameras, arms=arms, joints_per_arm=joints, seed=seed)


def record(folder: Path, episode: str, robot: Mapping[str, Any], seed: int, **changes: Any) -> Path:
    """``folder/<episode>/<arm>.parquet`` and ``folder/<episode>/<camera>/<stamp>.jpg``."""
    spec = replace(spec_of(robot, seed), **changes)
    written = folder.with_name(f".{folder.name}-{episode}")
    write_recording(written, episode, replace(spec, layout="episode"))
    place = folder / episode
    place.mkdir(parents=True)
    for kind in ("joints", "images"):
        for entry in sorted((written / episode / kind).iterdir()):
            shutil.move(entry, place / entry.name)
    shutil.rmtree(written)
    return place
