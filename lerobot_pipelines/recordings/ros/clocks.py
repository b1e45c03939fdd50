"""Which stamps a stream of messages goes by: the recorder's, or those in the messages."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Clock, Stamps
from lerobot_pipelines.recordings.clock_figures import DETAILS_KEY, measure_clocks
from lerobot_pipelines.recordings.other_clock import jumps_ahead

NO_STAMP = np.iinfo(np.int64).min


class StreamClock(NamedTuple):
    stamps: Stamps  # (n,), not sorted
    clock: Clock  # the one in use
    unstamped: int  # messages whose header is empty while others' are not
    details: dict[str, Any]  # clocks (see clock_figures), skew_ms, clock_fallback
    jumps: NDArray[np.int64] | None = None  # where that clock was set ahead, see ``other_clock``


def stamps_by(wanted: Clock, receive: Stamps, headers: Stamps) -> StreamClock:
    """Stamps by the wanted clock, (n,) like both arguments.

    ``headers`` holds ``NO_STAMP`` or zero where a message has no stamp of its own. If none has,
    the recorder's stamps are used and ``details`` says so, because the rows then hang on another
    clock than was asked for. A message without a stamp among others that have one is given the
    recorder's stamp less the stream's median delay.
    """
    stamped = headers > 0
    delays = (receive - headers)[stamped]
    details: dict[str, Any] = {}
    if len(receive):
        details[DETAILS_KEY] = measure_clocks(receive, headers).as_details()
    if len(delays):
        low, median, high = np.percentile(delays / 1e6, [0, 50, 100]).tolist()
        details["skew_ms"] = {
            "min": round(low, 3),
            "p50": round(median, 3),
            "max": round(high, 3),
        }
    if wanted is not Clock.HEADER:
        jumps = jumps_ahead(receive, headers) if stamped.all() else None
        return StreamClock(receive, Clock.RECEIVE, 0, details, jumps)
    if not len(delays):
        if len(receive):
            details["clock_fallback"] = "messages have no header stamp"
        return StreamClock(receive, Clock.RECEIVE, 0, details)
    stamps = np.where(stamped, headers, receive - np.int64(np.median(delays)))
    jumps = jumps_ahead(headers, receive) if stamped.all() else None
    return StreamClock(stamps, Clock.HEADER, int(np.count_nonzero(~stamped)), details, jumps)
