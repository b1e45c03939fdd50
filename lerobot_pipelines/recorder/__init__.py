"""For the program that records on the robot: save episodes without waiting, and put them into the
bucket, whole or not at all.

Needs neither Dagster nor a daemon nor a running server, and imports nothing heavy into the control
loop's process: recording needs numpy there, av and pyarrow in its own process, publishing and
writing LeRobot the project's own requirements. Names are imported when asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerobot_pipelines.recorder.async_saver import AsyncEpisodeSaver
    from lerobot_pipelines.recorder.dataset_methods import (
        AsyncSavingMixin,
        disable_async_saving,
        enable_async_saving,
        get_async_save_results,
        get_async_save_status,
        save_episode_async,
        wait_for_async_saves,
    )
    from lerobot_pipelines.recorder.delivery import to_bucket
    from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
    from lerobot_pipelines.recorder.lerobot_output import LerobotOutput, to_dataset
    from lerobot_pipelines.recorder.local_recorder import LocalRecorder
    from lerobot_pipelines.recorder.publish import Published, publish_episode
    from lerobot_pipelines.recorder.results import EpisodeResult, SaverStatus

_METHODS = "lerobot_pipelines.recorder.dataset_methods"
_MODULES = {
    "AsyncEpisodeSaver": "lerobot_pipelines.recorder.async_saver",
    "AsyncSavingMixin": _METHODS,
    "EpisodeRecorder": "lerobot_pipelines.recorder.episode_recorder",
    "EpisodeResult": "lerobot_pipelines.recorder.results",
    "LerobotOutput": "lerobot_pipelines.recorder.lerobot_output",
    "LocalRecorder": "lerobot_pipelines.recorder.local_recorder",
    "Published": "lerobot_pipelines.recorder.publish",
    "SaverStatus": "lerobot_pipelines.recorder.results",
    "disable_async_saving": _METHODS,
    "enable_async_saving": _METHODS,
    "get_async_save_results": _METHODS,
    "get_async_save_status": _METHODS,
    "publish_episode": "lerobot_pipelines.recorder.publish",
    "save_episode_async": _METHODS,
    "to_bucket": "lerobot_pipelines.recorder.delivery",
    "to_dataset": "lerobot_pipelines.recorder.lerobot_output",
    "wait_for_async_saves": _METHODS,
}

__all__ = [
    "AsyncEpisodeSaver",
    "AsyncSavingMixin",
    "EpisodeRecorder",
    "EpisodeResult",
    "LerobotOutput",
    "LocalRecorder",
    "Published",
    "SaverStatus",
    "disable_async_saving",
    "enable_async_saving",
    "get_async_save_results",
    "get_async_save_status",
    "publish_episode",
    "save_episode_async",
    "to_bucket",
    "to_dataset",
    "wait_for_async_saves",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
