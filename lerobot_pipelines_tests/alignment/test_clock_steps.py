"""Where a clock was set, each side is what the slow reference makes of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode
from lerobot_pipelines.recordings.chronology import put_in_order
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    SECOND,
    MemoryRecording,
    camera,
    clock,
    config,
    feature,
    stream,
)
from lerobot_pipelines_tests.alignment.reference import Refusal, Result, align_slowly
from lerobot_pipelines_tests.alignment.test_against_reference import assert_same

Stamps = NDArray[np.int64]
T0 = 1_764_167_571 * SECOND
FAR = 55 * 365 * 86_400 * SECOND  # from 1970 to today


class SetClock(MemoryRecording):
    """Streams in recording order, by a clock that is set at true moments."""

    def __init__(
        self, true: Mapping[str, Stamps], settings_: Mapping[int, int], only: tuple[str, ...] = ()
    ) -> None:
        cameras = {name: stamps for name, stamps in true.items() if name.startswith("cam")}
        vectors = {n: (s, (s - T0) / 1e9) for n, s in true.items() if n not in cameras}
        super().__init__(cameras, vectors)
        self.true: dict[str, Stamps] = {}
        self.epochs: dict[str, NDArray[np.int64]] = {}
        for name, stamps in true.items():
            shift, epoch = np.zeros(len(stamps), np.int64), np.zeros(len(stamps), np.int64)
            for at, size in settings_.items():
                if not only or name in only:
                    shift[stamps >= at] += size
                epoch[stamps >= at] += 1
            shown = stamps + shift
            found = put_in_order(shown)
            self._stamps[name] = shown[found.order]
            self.true[name], self.epochs[name] = stamps[found.order], epoch[found.order]
            if name in self._vectors:
                self._vectors[name] = self._vectors[name][found.order]
            ends = (int(shown[found.order[0]]), int(shown[found.order[-1]]))
            self._streams[name] = replace(
                self._streams[name],
                count=len(found.order),
                start_ns=ends[0],
                end_ns=ends[1],
                steps=found.steps,
            )

    def side(self, number: int) -> MemoryRecording:
        """One side of the steps as a recording of its own."""
        parts = {name: epochs == number for name, epochs in self.epochs.items()}
        return MemoryRecording(
            {n: self._stamps[n][p] for n, p in parts.items() if n.startswith("cam")},
            {
                n: (self._stamps[n][p], self._vectors[n][p])
                for n, p in parts.items()
                if n in self._vectors
            },
        )


def two_cameras(data: st.DataObject, seconds: float = 4.0) -> dict[str, Stamps]:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    true = {}
    for name, rate in (("cam", 25.0), ("cam_side", 20.0), ("arm", 100.0), ("hand", 50.0)):
        stamps = clock(rate, seconds, T0 + int(rng.integers(0, 30)) * MS)
        stamps = stamps + rng.integers(0, round(100 / rate), len(stamps)) * MS
        true[name] = stamps[rng.random(len(stamps)) > data.draw(st.sampled_from([0.0, 0.02]))]
    return true


def settings_of(policy: str, **more: Any) -> DatasetConfig:
    return config(
        cameras=(camera("cam", role="base"), camera("cam_side")),
        streams=(stream("arm"), stream("hand")),
        features={
            "observation.state": feature("arm", "hand"),
            "action": feature("arm", chunk=True),
        },
        fps=25,
        filtering={"gap_policy": policy},
        **{"rate_tolerance": 0.2, "chunk_size": 5, **more},
    )


property_test = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@property_test
@given(data=st.data())
def test_each_side_of_a_step_is_that_of_the_reference(data: st.DataObject) -> None:
    true = two_cameras(data)
    at = T0 + data.draw(st.integers(600, 3400)) * MS
    size = data.draw(
        st.one_of(st.integers(-5000, -200).map(lambda ms: ms * MS), st.sampled_from([FAR, -FAR]))
    )
    recording = SetClock(true, {at: size})
    settings_ = settings_of(
        "split",
        strategy=data.draw(st.sampled_from(["nearest", "window", "linear", "hold", "chunking"])),
        timeline=data.draw(st.sampled_from(["base", "uniform"])),
        causal=data.draw(st.booleans()),
    )
    frames = align(recording, settings_)
    expected = Result()
    for number in (0, 1):
        part = align_slowly(recording.side(number), settings_)
        begun = expected.segments[-1] + 1 if expected.segments else 0
        expected.rows += part.rows
        expected.segments += [begun + segment for segment in part.segments]
        for key, values in part.features.items():
            expected.features.setdefault(key, []).extend(values)
        for key, ids in part.pictures.items():
            name = frames.picture_streams[key]
            before = int(np.count_nonzero(recording.epochs[name] < number))
            expected.pictures.setdefault(key, []).extend(id + before for id in ids)
            expected.ages.setdefault(key, []).extend(part.ages[key])
        for reason, count in part.dropped.items():
            expected.dropped[reason] = expected.dropped.get(reason, 0) + count
    assert_same(frames, expected, "plain")


@property_test
@given(data=st.data())
def test_no_row_pairs_two_times_whatever_the_step(data: st.DataObject) -> None:
    """Small steps too, of all clocks or of one stream's alone: right, or refused as clock_step."""
    true = two_cameras(data)
    at = T0 + data.draw(st.integers(100, 3900)) * MS
    size = data.draw(st.integers(-1500, 0)) * MS
    only = data.draw(st.sampled_from([(), (), ("cam",), ("arm", "hand")]))
    # One clock alone by a few of its periods, or over a few samples, is an offset, not a step.
    assume(not only or (size < -200 * MS and 300 * MS < at - T0 < 3700 * MS))
    recording = SetClock(true, {at: size}, only)
    try:
        frames = align(recording, settings_of("split"))
    except Refused as refusal:
        assert refusal.reason is Reason.CLOCK_STEP, refusal
        assert size < -20 * MS
        assert abs(refusal.details["size_ms"] - size / MS) < 100
        return
    pictures = recording.true["cam"][frames.pictures["observation.images.cam"]]
    state = frames.features["observation.state"].astype(np.float64)
    apart_ms = np.abs(state * 1e3 - ((pictures - T0) / MS)[:, None])
    assert apart_ms.max() <= 40, (at - T0, size / MS, only, int(apart_ms.max()))


@pytest.mark.parametrize("policy", ["fail", "drop"])
@pytest.mark.parametrize("size", [-1500 * MS, FAR])
@pytest.mark.parametrize("timeline", ["base", "uniform"])
def test_only_split_goes_on_behind_a_step(policy: str, size: int, timeline: str) -> None:
    true = {"cam": clock(25, 4, T0), "cam_side": clock(25, 4, T0), "arm": clock(100, 4, T0)}
    recording = SetClock({**true, "hand": true["arm"]}, {T0 + 2 * SECOND: size})
    with pytest.raises(Refused) as refusal:
        align(recording, settings_of(policy, timeline=timeline))
    assert refusal.value.reason is Reason.CLOCK_STEP
    assert refusal.value.details["at_s"] == pytest.approx(2, abs=0.05)
    assert refusal.value.details["size_ms"] == pytest.approx(size / MS, abs=50)
    assert "gap_policy: split" in refusal.value.message


def test_a_stream_whose_clock_was_not_set_with_the_others_is_refused_by_name() -> None:
    true = {name: clock(25, 4, T0) for name in ("cam", "cam_side")}
    true |= {name: clock(100, 4, T0) for name in ("arm", "hand")}
    recording = SetClock(true, {T0 + 2 * SECOND: -700 * MS}, only=("cam",))
    with pytest.raises(Refused, match="cam was set back by 700") as refusal:
        align(recording, settings_of("split"))
    assert refusal.value.reason is Reason.CLOCK_STEP
    assert "not that of arm: 75 of its samples" in refusal.value.message


def test_a_slow_stream_is_cut_where_its_stamps_can_only_be_of_one_side() -> None:
    true = {"cam": clock(25, 4, T0), "cam_side": clock(25, 4, T0), "arm": clock(100, 4, T0)}
    # Samples every second: none falls into the moments that come twice.
    recording = SetClock(
        {**true, "hand": T0 + np.array([100, 1100, 2600, 3600], np.int64) * MS},
        {T0 + 2000 * MS: -300 * MS},
    )
    assert recording.streams["hand"].steps == ()
    settings_ = config(
        cameras=(camera("cam", role="base"),),
        streams=(stream("arm"), stream("hand", strategy="hold", max_age_ms=2000.0)),
        features={"observation.state": feature("arm", "hand")},
        fps=25,
        filtering={"gap_policy": "split"},
    )
    frames = align(recording, settings_)
    assert set(frames.segments.tolist()) == {0, 1}
    hand = np.rint(frames.features["observation.state"][:, 1] * 1000).astype(int)
    assert set(hand[frames.segments == 0].tolist()) == {100, 1100}
    assert set(hand[frames.segments == 1].tolist()) == {2600, 3600}


def test_a_side_without_enough_rows_is_left_out_and_said() -> None:
    true = {name: clock(25, 4, T0) for name in ("cam", "cam_side")}
    true |= {name: clock(100, 4, T0) for name in ("arm", "hand")}
    recording = SetClock(true, {T0 + 400 * MS: FAR})
    settings_ = settings_of("split")
    filtering = settings_.filtering.model_copy(update={"min_duration_sec": 1.0})
    frames = align(recording, settings_.model_copy(update={"filtering": filtering}))
    assert set(frames.segments.tolist()) == {0}
    (entry,) = frames.report.intake
    assert entry.code is IntakeCode.CLOCK_STEP
    assert "too_short" in str(entry.details)


def test_trimmed_rows_are_those_at_the_two_ends_of_the_recording() -> None:
    true = {name: clock(25, 4, T0) for name in ("cam", "cam_side")}
    true |= {name: clock(100, 4, T0) for name in ("arm", "hand")}
    recording = SetClock(true, {T0 + 2 * SECOND: -1500 * MS})
    whole = align(recording, settings_of("split"))
    cut = align(recording, settings_of("split", trim_start_frames=3, trim_end_frames=2))
    assert cut.row_times_ns.tolist() == whole.row_times_ns[3:-2].tolist()


def test_nothing_is_sized_by_the_span_of_stamps() -> None:
    """Each jump is shorter than any pause that is a step; together they span a year."""
    stamps = T0 + np.arange(9000, dtype=np.int64) * 3500 * SECOND
    recording = MemoryRecording({"cam": stamps}, {"arm": (stamps, np.zeros(len(stamps)))})
    with pytest.raises(Refused) as refusal:
        align(
            recording, config(fps=30, timeline="uniform", filtering={"max_timestamp_gap_ms": None})
        )
    assert refusal.value.reason is Reason.GAP
    assert refusal.value.details["rows"] > 900_000_000
    thin = camera("cam", role="downsample", target_fps=30.0)
    with pytest.raises((Refused, Refusal)):
        align(recording, config(cameras=(thin,), fps=30, timeline="uniform"))
