"""The result depends on the recording and the configuration alone, and comes fast."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.alignment import align, write_frames
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    MemoryRecording,
    camera,
    clock,
    config,
    feature,
    stream,
)

ARMS = ("left_slave", "right_slave", "left_master", "right_master")


def robot(seconds: float, seed: int = 0) -> MemoryRecording:
    """Three jittered cameras and four arms at 250 Hz."""
    rng = np.random.default_rng(seed)

    def jittered(rate: float, ns: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        stamps = clock(rate, seconds)
        return stamps + rng.integers(-ns, ns + 1, len(stamps))

    cameras = {"high": jittered(30, 2 * MS), "left": jittered(25, 2 * MS)}
    cameras["right"] = jittered(60, 2 * MS)
    count = int(seconds * 250) + 1
    return MemoryRecording(
        cameras, {arm: (jittered(250, MS), rng.normal(size=(count, 7))) for arm in ARMS}
    )


def robot_config(chunk_frames: int = 100, **alignment: object) -> DatasetConfig:
    return config(
        cameras=(
            camera("high", role="base"),
            camera("left"),
            camera("right", role="downsample", target_fps=30.0),
        ),
        streams=tuple(stream(arm) for arm in ARMS),
        features={
            "observation.state": feature("left_slave", "right_slave"),
            "action": feature("left_master", "right_master", chunk=True),
        },
        fps=30,
        chunk_frames=chunk_frames,
        **alignment,  # type: ignore[arg-type]
    )


def stored(recording: MemoryRecording, chosen: DatasetConfig, folder: Path) -> bytes:
    path = folder / "aligned.parquet"
    write_frames(align(recording, chosen), path)
    return path.read_bytes()


@pytest.mark.parametrize("strategy", ["nearest", "chunking", "window", "linear", "hold"])
def test_no_chunk_size_changes_a_byte(strategy: str, tmp_path: Path) -> None:
    files = {
        stored(robot(4), robot_config(chunk_frames=frames, strategy=strategy), tmp_path)
        for frames in (1, 7, 50, 100, 1000)
    }
    assert len(files) == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), strategy=st.sampled_from(["nearest", "window", "linear"]))
def test_the_order_of_arrival_changes_nothing(seed: int, strategy: str) -> None:
    rng = np.random.default_rng(seed)
    stamps, samples = np.unique(rng.integers(0, 2000, 150)) * MS, rng.normal(size=(150, 2))
    samples = samples[: len(stamps)]
    order = rng.permutation(len(stamps))
    chosen = config(strategy=strategy, rate_tolerance=0.99, filtering={"gap_policy": "drop"})
    one, other = (
        align(MemoryRecording({"cam": clock(10, 2)}, {"arm": arrived}), chosen)
        for arrived in ((stamps, samples), (stamps[order], samples[order]))
    )
    assert one.features["observation.state"].tobytes() == (
        other.features["observation.state"].tobytes()
    )
    assert one.report == other.report


@pytest.mark.parametrize("strategy", ["nearest", "chunking", "window", "linear", "hold"])
def test_ten_minutes_of_a_whole_robot_take_well_under_a_second(strategy: str) -> None:
    recording, chosen = robot(600), robot_config(strategy=strategy)
    begin = time.process_time()
    frames = align(recording, chosen)
    seconds = time.process_time() - begin
    assert len(frames.row_times_ns) > 17_900
    # Measured: 0.03 s, chunking (12.6 million numbers) 0.35 s; the rest is for busy machines.
    assert seconds < 2.0
