"""Recordings as they come from robots. ``open_recording`` only chooses; readers are siblings.

A new container is one reader and one line in ``_OPENERS``; readers are imported when used.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, DatasetConfig
from lerobot_pipelines.model import EpisodeSource
from lerobot_pipelines.recordings.layout import container_of
from lerobot_pipelines.recordings.limits import above_limit
from lerobot_pipelines.recordings.local_source import source_from_path
from lerobot_pipelines.recordings.reports import report_intake, report_streams
from lerobot_pipelines.recordings.rows import OpenRecording

__all__ = ["container_of", "open_recording", "report_intake", "report_streams", "source_from_path"]

# Container -> "module:function" of (source, config) -> Recording.
_OPENERS = {
    "folder": "lerobot_pipelines.recordings.folder:open_folder",
    "ros1": "lerobot_pipelines.recordings.ros:open_bag",
    "ros2": "lerobot_pipelines.recordings.ros:open_bag",
    "mcap": "lerobot_pipelines.recordings.ros:open_bag",
}


def open_recording(
    source: EpisodeSource, config: DatasetConfig | None = None, *, notes: Path | None = None
) -> OpenRecording:
    """Open an episode whose members lie on this machine.

    With ``config`` the recording has the configured streams and cameras under their names there,
    in final units and with final stamps (scale, bias, convert, offset_ms applied). Without, it has
    everything that was found, named after file, folder or topic, and refuses nothing that part of
    the recording survives.

    ``notes`` is a folder of this machine in which readers of bags keep what their first pass found,
    for the next step that opens the same content with the same configuration.

    Raises ``Refused`` for a recording that cannot be used, ``ContentChanged`` for one whose files
    are no longer what ``source.members`` says.
    """
    limits = config.limits if config is not None else DEFAULT_LIMITS
    if len(source.members) > limits.members:
        raise above_limit(
            *(f"episode {source.key}", len(source.members), "files", "members", limits.members)
        )
    container = container_of(source.members)
    module, function = _OPENERS[container].split(":")
    options = {} if container == "folder" else {"notes": notes}
    return cast(OpenRecording, getattr(import_module(module), function)(source, config, **options))
