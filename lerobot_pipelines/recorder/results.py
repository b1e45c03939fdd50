"""What the background saver and the recorder report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from lerobot_pipelines.recorder.delivery import DeliveryStatus


@dataclass(frozen=True, slots=True)
class EpisodeResult(Mapping[str, Any]):
    """The end of one submitted episode; also a mapping of its fields (``result["success"]``).

    ``episode_index`` is the one it was submitted under, ``saved_index`` the one it has in the
    dataset (lower, if an episode before it failed) or None. ``duration`` is that of the save in s.
    """

    episode_index: int
    success: bool
    error: str | None = None
    duration: float = 0.0
    saved_index: int | None = None

    def __getitem__(self, key: str) -> Any:
        if key not in _RESULT_KEYS:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(_RESULT_KEYS)

    def __len__(self) -> int:
        return len(_RESULT_KEYS)


_RESULT_KEYS = tuple(field.name for field in fields(EpisodeResult))


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
