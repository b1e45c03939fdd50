from __future__ import annotations

from lerobot_pipelines.alignment import align
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, clock, config, stream


def held(stamps_ms: list[int], seconds: float = 1.0, **settings: object) -> AlignedFrames:
    stamps = [ms * MS for ms in stamps_ms]
    recording = MemoryRecording(
        {"cam": clock(10, seconds)}, {"arm": (stamps, [10 + i for i in range(len(stamps))])}
    )
    return align(recording, config(streams=(stream(strategy="hold"),), **settings))  # type: ignore[arg-type]


def test_the_last_sample_stays_in_force_and_the_next_one_is_not_foreseen() -> None:
    frames = held([0, 101, 300])
    assert frames.features["observation.state"][:, 0].tolist() == [10, 10, 11] + [12] * 6


def test_a_value_holds_to_the_end_of_its_maximum_age_and_no_longer() -> None:
    frames = held([0, 200], max_age_ms=300.0)
    # 200 + 300 ms is the last row that may be served; the overlap ends there.
    assert frames.row_times_ns[-1] == 500 * MS
    assert frames.report.trimmed_end_ms == 500.0


def test_silence_of_a_stream_that_holds_is_no_hole() -> None:
    frames = held([0, 900], seconds=1.5, max_age_ms=2000.0)
    assert len(frames.row_times_ns) == 16
    assert frames.report.gaps == []


def test_rows_after_the_maximum_age_are_dropped_and_counted() -> None:
    frames = held([0, 600], max_age_ms=200.0)
    assert frames.report.dropped == {"max_age:arm": 3}
    assert (frames.row_times_ns // MS).tolist() == [0, 100, 200, 600, 700, 800]
