"""Recordings as they come from robots. ``open_recording`` only chooses; readers are siblings.

A new container is one reader and one line in ``_OPENERS``; readers are imported when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import EpisodeSource, Recording
from lerobot_pipelines.recordings.layout import container_of
from lerobot_pipelines.recordings.local_source import source_from_path
from lerobot_pipelines.recordings.reports import report_streams

__all__ = ["container_of", "open_recording", "report_streams", "source_from_path"]

# Container -> "module:function" of (source, config) -> Recording.
_OPENERS = {
    "folder": "lerobot_pipelines.recordings.folder:open_folder",
    "ros1": "lerobot_pipelines.recordings.ros:open_bag",
    "ros2": "lerobot_pipelines.recordings.ros:open_bag",
    "mcap": "lerobot_pipelines.recordings.ros:open_bag",
}


def open_recording(source: EpisodeSource, config: DatasetConfig | None = None) -> Recording:
    """Open an episode whose members lie on this machine.

    With ``config`` the recording has the configured streams and cameras under their names there,
    in final units and with final stamps (scale, bias, convert, offset_ms applied). Without, it has
    everything that was found, named after file, folder or topic, and refuses nothing that part of
    the recording survives.

    Raises ``Refused`` for a recording that cannot be used, ``ContentChanged`` for one whose files
    are no longer what ``source.members`` says.
    """
    module, function = _OPENERS[container_of(source.members)].split(":")
    return cast(Recording, getattr(import_module(module), function)(source, config))
