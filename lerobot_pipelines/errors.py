"""The errors of the project: one base, three families, and the reason codes people filter by.

``Refused`` is final for the input as it is (poison): trying again changes nothing.
``StoreRejected`` is final until a person corrects keys, bucket or clock; no input is at fault.
``Transient`` is worth another attempt (network, lost worker, content that changed while read).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why an episode or a file was refused. Stored, listed and counted: never rename one."""

    BAD_CONFIG = "bad_config"
    BAD_NAME = "bad_name"
    BAD_STAMPS = "bad_stamps"
    CLEARED = "cleared"  # set aside by a person, see ``retry --clear``
    CLOCK_STEP = "clock_step"
    CONTENT_CHANGED = "content_changed"
    CORRUPT_ARTIFACT = "corrupt_artifact"
    CORRUPT_CONTAINER = "corrupt_container"
    CORRUPT_PICTURE = "corrupt_picture"
    COUNT_MISMATCH = "count_mismatch"
    GAP = "gap"
    INCOMPLETE_UPLOAD = "incomplete_upload"
    MISSING_CAMERA = "missing_camera"
    MISSING_FIELD = "missing_field"
    MISSING_STREAM = "missing_stream"
    NO_OVERLAP = "no_overlap"
    NON_FINITE = "non_finite"
    PICTURE_SIZE_CHANGED = "picture_size_changed"
    RATE_MISMATCH = "rate_mismatch"
    RECORDING_GONE = "recording_gone"
    REMOVED = "removed"
    TOO_FEW_FRAMES = "too_few_frames"
    TOO_LARGE = "too_large"  # see ``limits`` in the configuration
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    UNSUPPORTED = "unsupported"
    WARNINGS = "warnings"  # filtering.strict, and there are some


class PipelineError(Exception):
    """Base of every error this project raises on purpose."""


class Refused(PipelineError):
    """The input cannot become part of a dataset as it is.

    ``reason`` is the code shown in the UI and by ``monitor``; the message is one sentence that
    names the file or stream, the fault, and, where there is one, the remedy.
    """

    def __init__(self, reason: Reason, message: str, **details: Any) -> None:
        super().__init__(f"[{reason}] {message}")
        self.reason = reason
        self.message = message
        self.details = details


class ConfigError(Refused):
    """A configuration is wrong. The message lists every fault found: file, key, remedy."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(Reason.BAD_CONFIG, message, **details)


class Transient(PipelineError):
    """The attempt failed for a cause outside the input; another attempt may succeed."""


class ContentChanged(Transient):
    """The recording's members changed while it was read; the next attempt reads the new ones."""


class NotMadeYet(Transient):
    """What an earlier step should have left is missing, or belongs to another attempt.

    The same step fails again; the whole episode, from its first step, may succeed.
    """


class StoreRejected(PipelineError):
    """The store refuses whoever asks: nothing succeeds until a person does what the message says.

    ``code`` is the store's own name of the fault, e.g. SignatureDoesNotMatch.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class PipelineWarning(UserWarning):
    """Something worth an operator's attention that does not stop the conversion."""


class PipelineNote(UserWarning):
    """Something worth knowing of what was asked for; nothing is wrong with it."""
