"""The project's errors as Dagster should treat them: what is retried, what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lerobot_pipelines.errors import (
    ContentChanged,
    NotMadeYet,
    PipelineError,
    Reason,
    Refused,
    StoreRejected,
)
from lerobot_pipelines.pipeline.retryable import is_retryable

# A store that hiccups is back within seconds; one that is down is not helped by a run that holds
# its place in the queue for minutes. The hourly rescan asks for such episodes again.
RETRIES = dg.RetryPolicy(
    max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# The same for a step that holds several episodes and tries only some of them again.
RETRY_PAUSES_S = (2.0, 4.0, 8.0)

REMEDIES: dict[Reason, str] = {
    Reason.BAD_CONFIG: "Correct the dataset's YAML (lerobot-pipelines config check FILE).",
    Reason.BAD_STAMPS: "Correct the clock or the stamps of the recording (clock, time_unit).",
    Reason.BAD_NAME: "Rename the episode or file in the bucket.",
    Reason.CLEARED: "lerobot-pipelines retry CONFIG EPISODE tries the episode again.",
    Reason.CLOCK_STEP: "Set filtering.gap_policy to split, or choose the clock that was not set "
    "while it recorded (clock).",
    Reason.CONTENT_CHANGED: "Wait for the upload to end; the episode is then taken by itself.",
    Reason.CORRUPT_ARTIFACT: "Materialise the episode again from raw_episodes.",
    Reason.CORRUPT_CONTAINER: "Upload the recording again; inspect it with lerobot-pipelines.",
    Reason.CORRUPT_PICTURE: "Upload the recording again, or allow more with "
    "filtering.max_corrupt_fraction.",
    Reason.COUNT_MISMATCH: "Upload the recording again: pictures and their stamps must be as many.",
    Reason.GAP: "Set filtering.gap_policy to split or drop, or raise max_timestamp_gap_ms.",
    Reason.INCOMPLETE_UPLOAD: "Finish the upload; the episode is then taken by itself.",
    Reason.MISSING_CAMERA: "Upload the missing camera, or mark it required: false.",
    Reason.MISSING_FIELD: "Correct the stream's field or columns in the dataset's YAML.",
    Reason.MISSING_STREAM: "Upload the missing stream, or mark it required: false.",
    Reason.NO_OVERLAP: "Check the clocks of the streams (offset_ms, clock, time_unit).",
    Reason.NON_FINITE: "Check the source of the values; NaN and infinity cannot be trained on.",
    Reason.PICTURE_SIZE_CHANGED: "Set video.size_change to scale.",
    Reason.RATE_MISMATCH: "Set dataset.fps to the measured rate, or timeline: uniform.",
    Reason.RECORDING_GONE: "Nothing, or upload the recording again: what was made of it stays.",
    Reason.REMOVED: "lerobot-pipelines retry CONFIG EPISODE brings the episode back.",
    Reason.TOO_FEW_FRAMES: "Lower filtering.min_frames, or loosen the tolerance.",
    Reason.TOO_LARGE: "If the file is as meant, raise the limit that the message names (limits).",
    Reason.TOO_LONG: "Raise filtering.max_duration_sec.",
    Reason.TOO_SHORT: "Lower filtering.min_duration_sec.",
    Reason.UNSUPPORTED: "Convert the recording to a supported container or encoding.",
    Reason.WARNINGS: "Look at what is warned of (lerobot-pipelines inspect); where it is as it "
    "should be, convert without filtering.strict.",
}


STORE_REMEDY = "Correct what the message names; the episode is then requested again by itself."


def refusal_metadata(reason: str, message: str) -> dict[str, dg.MetadataValue]:
    known = Reason(reason) if reason in set(Reason) else None
    return {
        "reason": dg.MetadataValue.text(reason),
        "message": dg.MetadataValue.text(message),
        "remedy": dg.MetadataValue.text(REMEDIES[known] if known else "See the message."),
    }


def failure_of(error: Exception) -> dg.Failure:
    """The failure that says what a person should know, and that is not tried again."""
    if isinstance(error, Refused):
        return dg.Failure(
            description=str(error),
            metadata=refusal_metadata(str(error.reason), error.message),
            allow_retries=False,
        )
    metadata = refusal_metadata(type(error).__name__, str(error))
    if isinstance(error, StoreRejected):
        metadata["remedy"] = dg.MetadataValue.text(STORE_REMEDY)
    return dg.Failure(
        description=f"{type(error).__name__}: {error}", metadata=metadata, allow_retries=False
    )


def worth_retrying(error: Exception) -> bool:
    """Whether the same step may succeed in a moment.

    Content that changed after its manifest was written is not: the step would read the old
    manifest again. The sensor sees the new content and requests a run of its own. Nor is what an
    earlier step left out: this one would only look for it again.
    """
    return is_retryable(error) and not isinstance(error, (ContentChanged, NotMadeYet))


@contextmanager
def dagster_failures(*, retry_changed: bool = False) -> Iterator[None]:
    """Turn final errors into a ``Failure`` without retries; let passing ones reach the policy.

    ``retry_changed``: the step lists the episode itself, so changed content is worth a retry.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        if worth_retrying(error) or (retry_changed and isinstance(error, ContentChanged)):
            raise
        if isinstance(error, PipelineError):
            raise failure_of(error) from None
        raise failure_of(error) from error
