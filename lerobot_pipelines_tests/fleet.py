"""A fleet in small: recordings of a second with one tiny camera, and a bucket for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines.storage.base import Storage


def fleet_config(bucket: StorageConfig, /, **sections: Any) -> DatasetConfig:
    """A dataset of tiny recordings; ``sections`` replace or add keys section by section."""
    parts = [{"stream": "left"}, {"stream": "right"}]
    values: dict[str, dict[str, Any]] = {
        "dataset": {"name": "fleet", "fps": 25},
        "storage": bucket.model_dump(),
        "alignment": {"rate_tolerance": 0.2},
        "video": {"preset": "ultrafast"},
    }
    for section, changes in sections.items():
        values[section] = values.get(section, {}) | changes
    return DatasetConfig.model_validate(
        {
            "streams": [{"name": arm, "file": f"{arm}.parquet"} for arm in ("left", "right")],
            "cameras": [{"name": "cam", "role": "base", "feature": "observation.images.cam"}],
            "features": {
                "observation.state": {"parts": parts},
                "action": {"parts": parts, "chunk": True},
            },
            **values,
        }
    )


def record(
    folder: Path, key: str = "block/episode_1", *, layout: Any = "split", **spec: Any
) -> Path:
    """A recording on the robot's disk; the path that a person would name it by."""
    settings = {"seconds": 1.2, "seed": 1, **spec}
    write_recording(
        folder,
        key,
        SynthSpec(
            cameras=(SynthCamera("cam", 25.0, width=64, height=48),),
            arms=("left", "right"),
            joints_per_arm=2,
            layout=layout,
            **settings,
        ),
    )
    return folder / key if layout == "episode" else folder / "joints" / key


def workspace_of(config: DatasetConfig, folder: Path) -> Workspace:
    return open_workspace(config, cache_dir=folder / "cache")


class WatchedStorage:
    """Passes every call on; ``before`` sees its name and key first, and may raise instead."""

    def __init__(self, inner: Storage, before: Callable[[str, str], None]) -> None:
        self._inner = inner
        self._before = before
        self.url = inner.url

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*arguments: Any) -> Any:
            texts = [one for one in arguments if isinstance(one, str)]
            self._before(name, texts[0] if texts else "")
            return method(*arguments)

        return call
