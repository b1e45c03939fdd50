from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lerobot_pipelines.alignment import align
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, clock, config, stream

ROWS = clock(10, 1)


def aligned(stamps_ms: Sequence[float], **settings: object) -> tuple[list[int], list[float]]:
    """Row times in ms and values (the sample's number) of a stream that frames the rows."""
    stamps = [round(ms * MS) for ms in stamps_ms]
    recording = MemoryRecording({"cam": ROWS}, {"arm": (stamps, range(len(stamps)))})
    gap = {"max_timestamp_gap_ms": None}
    frames = align(recording, config(filtering=gap, rate_tolerance=0.99, **settings))  # type: ignore[arg-type]
    return (frames.row_times_ns // MS).tolist(), frames.features["observation.state"][:, 0].tolist()


def test_of_two_equally_near_samples_the_earlier_serves() -> None:
    rows, values = aligned([0, 95, 105, 195, 204, 300])
    assert rows == [0, 100, 200, 300]
    assert values == [0, 1, 4, 5]


def test_the_tolerance_is_inclusive_to_the_nanosecond() -> None:
    assert aligned([0, 120, 220.000001, 300])[0] == [0, 100, 300]


def test_one_sample_may_serve_several_rows_within_its_tolerance() -> None:
    rows, values = aligned([0, 150, 300], tolerance_ms=50.0)
    assert rows == [0, 100, 200, 300]
    assert values == [0, 1, 1, 2]


def test_causal_rows_never_see_a_later_sample() -> None:
    rows, values = aligned([0, 85, 101, 190, 200, 300], causal=True)
    assert rows == [0, 100, 200, 300]
    assert values == [0, 1, 4, 5]


def test_a_stream_may_have_a_tolerance_of_its_own() -> None:
    rows, _ = aligned([0, 110, 200], streams=(stream(tolerance_ms=5.0),))
    assert rows == [0, 200]


def test_dropped_rows_are_counted_with_their_stream() -> None:
    recording = MemoryRecording({"cam": ROWS}, {"arm": ([0, 100 * MS, 300 * MS], [1, 2, 3])})
    report = align(recording, config()).report
    assert (report.rows_candidate, report.rows_kept) == (4, 3)
    assert report.dropped == {"tolerance:arm": 1}


@pytest.mark.parametrize("origin", [0, 1_764_167_571_671_577_123, -5_000_000_000])
def test_stamps_keep_their_last_nanosecond(origin: int) -> None:
    # As float64 the two samples would be as near; the second is nearer by one nanosecond.
    stamps = origin + np.array([0, 90 * MS, 110 * MS - 1, 200 * MS])
    recording = MemoryRecording({"cam": origin + ROWS}, {"arm": (stamps, [0, 1, 2, 3])})
    frames = align(recording, config())
    assert frames.features["observation.state"][:, 0].tolist() == [0, 2, 3]
    assert frames.row_times_ns.tolist() == (origin + ROWS[:3]).tolist()
