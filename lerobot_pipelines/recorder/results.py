"""What the background saver reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


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
