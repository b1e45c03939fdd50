"""What the background saver and the recorder report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from lerobot_pipelines.recorder.delivery import DeliveryStatus


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """The end of one submitted episode.

    ``episode_index`` is the one it was submitted under, ``saved_index`` the one it has in the
    dataset (lower, if an episode before it failed) or None. ``duration`` is that of the save in s.
    """

    episode_index: int
    success: bool
    error: str | None = None
    duration: float = 0.0
    saved_index: int | None = None


class SaverStatus(TypedDict):
    """``queue_size`` episodes wait; ``pending_tasks`` wait or are being saved right now."""

    is_running: bool
    total_submitted: int
    total_completed: int
    total_failed: int
    queue_size: int
    pending_tasks: int
    last_error: str | None
    worker_alive: bool


class SaveFailed(RuntimeError):
    """An episode that was to be saved in place was not; the message says why."""


class TakeFailed(RuntimeError):
    """The take could not be recorded whole; the message says why."""


@dataclass(frozen=True, slots=True)
class SavedTake:
    """The end of one saved episode: in the raw layout at ``path``, or not, with the error.

    One that was not is still in the spool, and tried again at the next start.
    """

    key: str
    path: Path | None
    error: str | None
    duration: float


@dataclass(slots=True)
class RecorderStatus:
    """``blocked_s``: how long ``add`` waited for a slow disk or encoder in the take in progress."""

    recording: str | None
    blocked_s: float
    fault: str | None
    saving: int
    saved: int
    failed: int
    delivery: DeliveryStatus | None
    last_error: str | None
