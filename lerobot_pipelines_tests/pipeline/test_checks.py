"""Each check passes on a sound episode and fails on the one defect it is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.records import CheckResult, VideoRecord
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.model import AlignedFrames, Clock, Fault, Manifest
from lerobot_pipelines.pipeline import checks
from lerobot_pipelines.pipeline.aligned import read_aligned, read_manifest
from lerobot_pipelines.pipeline.checks import CHECK_NAMES, check_episode
from lerobot_pipelines.pipeline.videos import read_videos
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.recordings.clock_figures import measure_clocks
from lerobot_pipelines_tests.conftest import EPISODES, Converted

Segments = tuple[dict[str, VideoRecord], ...]
Episode = tuple[Manifest, AlignedFrames, Segments, DatasetConfig]
Break = Callable[[Episode], Episode]

CAMERA = "observation.images.cam_left"


@pytest.fixture
def episode(converted: Converted) -> Episode:
    workspace = open_workspace(converted.config)
    manifest = read_manifest(workspace, EPISODES[0])
    _, frames = read_aligned(workspace, EPISODES[0])
    videos = read_videos(workspace, EPISODES[0])
    return manifest, frames, videos.segments, converted.config


def with_frames(episode: Episode, **changes: Any) -> Episode:
    return (episode[0], replace(episode[1], **changes), *episode[2:])


def with_video(episode: Episode, **changes: Any) -> Episode:
    manifest, frames, (first,), config = episode
    changed = first | {CAMERA: first[CAMERA].model_copy(update=changes)}
    return manifest, frames, (changed,), config


def one_frame_lost(episode: Episode) -> Episode:
    return with_video(episode, frames=episode[2][0][CAMERA].frames - 1)


def one_camera_lost(episode: Episode) -> Episode:
    manifest, frames, (first,), config = episode
    return manifest, frames, ({k: v for k, v in first.items() if k != CAMERA},), config


def played_too_slowly(episode: Episode) -> Episode:
    times = episode[1].row_times_ns
    return with_frames(episode, row_times_ns=times[0] + (times - times[0]) * 11 // 10)


def every_fifth_row_dropped(episode: Episode) -> Episode:
    frames = episode[1]
    kept = np.arange(len(frames.row_times_ns)) % 5 != 4
    return with_frames(
        episode, row_times_ns=frames.row_times_ns[kept], segments=frames.segments[kept]
    )


def one_old_picture(episode: Episode) -> Episode:
    ages = episode[1].picture_ages_ns[CAMERA].copy()
    ages[7] = -90_000_000
    return with_frames(episode, picture_ages_ns={**episode[1].picture_ages_ns, CAMERA: ages})


def not_a_number(episode: Episode) -> Episode:
    action = episode[1].features["action"].copy()
    action[3, 2] = np.nan
    return with_frames(episode, features={**episode[1].features, "action": action})


def a_picture_out_of_place(episode: Episode) -> Episode:
    proof = episode[2][0][CAMERA].proof
    assert proof is not None
    return with_video(episode, proof=replace(proof, misplaced=(7,)))


def never_looked_at(episode: Episode) -> Episode:
    return with_video(episode, proof=None)


def all_black(episode: Episode) -> Episode:
    black = [[1000] + [0] * 255] * 3
    return with_video(episode, histogram=black)


def many_left_out(episode: Episode) -> Episode:
    manifest = replace(episode[0], faults=(Fault("cam_left", "folder", "not_a_jpeg", 10),))
    return (manifest, *episode[1:])


def read_with_a_warning(episode: Episode) -> Episode:
    warning = IntakeEntry(IntakeCode.CLOCK_OFFSET, Severity.WARNING, "cam_left", "580 ms ahead")
    return (replace(episode[0], intake=(warning,)), *episode[1:])


def aligned_with_a_warning(episode: Episode) -> Episode:
    warning = IntakeEntry(IntakeCode.RATE, Severity.WARNING, "", "in doubt")
    return with_frames(episode, report=replace(episode[1].report, intake=(warning,)))


def two_machines(episode: Episode) -> Episode:
    """The left camera's header stamps lie 580 ms after reception, all others 10 ms before it."""
    manifest, *others = episode
    streams = []
    for stream in manifest.streams:
        taken = 1_764_167_571_000_000_000 + np.arange(50, dtype=np.int64) * 40_000_000
        ahead_ms = 580 if stream.name == "cam_left" else -10
        figures = measure_clocks(taken, taken + ahead_ms * 1_000_000)
        details = {**stream.details, "clocks": figures.as_details()}
        streams.append(replace(stream, clock=Clock.HEADER, details=details))
    return (replace(manifest, streams=tuple(streams)), *others)


BREAKS: dict[str, tuple[str, Break]] = {
    "a frame lost": (checks.ROWS_MATCH_FRAMES, one_frame_lost),
    "a camera lost": (checks.ROWS_MATCH_FRAMES, one_camera_lost),
    "another rate": (checks.MEASURED_RATE, played_too_slowly),
    "rows dropped one by one": (checks.DURATION_KEPT, every_fifth_row_dropped),
    "an old picture": (checks.AGES_WITHIN_TOLERANCE, one_old_picture),
    "not a number": (checks.VALUES_FINITE, not_a_number),
    "a picture out of place": (checks.PICTURES_IN_PLACE, a_picture_out_of_place),
    "pictures never looked at": (checks.PICTURES_IN_PLACE, never_looked_at),
    "all black": (checks.PICTURES_VARY, all_black),
    "clocks of two machines": (checks.CLOCKS_AGREE, two_machines),
    "many pictures left out": (checks.FEW_FAULTS, many_left_out),
    "read with a warning": (checks.NO_WARNINGS, read_with_a_warning),
    "aligned with a warning": (checks.NO_WARNINGS, aligned_with_a_warning),
}


def by_name(episode: Episode) -> dict[str, CheckResult]:
    return {result.name: result for result in check_episode(*episode)}


def test_a_sound_episode_passes_every_check(episode: Episode) -> None:
    results = by_name(episode)
    assert list(results) == list(CHECK_NAMES)
    assert all(result.passed for result in results.values()), results


@pytest.mark.parametrize("what", BREAKS)
def test_a_defect_fails_the_check_that_is_there_for_it(episode: Episode, what: str) -> None:
    name, break_it = BREAKS[what]
    results = by_name(break_it(episode))
    assert not results[name].passed
    assert results[name].description


def test_clocks_that_differ_are_allowed_by_the_key_or_by_their_offset(episode: Episode) -> None:
    broken = two_machines(episode)
    assert by_name(broken)[checks.CLOCKS_AGREE].values["apart_ms"] == 590
    for change in (
        {"alignment.max_clock_offset_ms": None},
        {"alignment.max_clock_offset_ms": 600.0},
        {"cameras.cam_left.offset_ms": -590.0},
    ):
        result = by_name((*broken[:3], override(episode[3], change)))[checks.CLOCKS_AGREE]
        assert result.passed, change


def test_a_note_is_no_warning(episode: Episode) -> None:
    note = IntakeEntry(IntakeCode.UNUSED, Severity.NOTE, "arm", "column x is not used")
    manifest = replace(episode[0], intake=(note,))
    assert by_name((manifest, *episode[1:]))[checks.NO_WARNINGS].passed


def test_a_strict_configuration_makes_every_check_a_condition(episode: Episode) -> None:
    doubted = read_with_a_warning(episode)
    assert by_name(doubted)[checks.NO_WARNINGS].severity == "warn"
    strict = (*doubted[:3], override(doubted[3], {"filtering.strict": True}))
    results = by_name(strict)
    assert {result.severity for result in results.values()} == {"error"}
    assert not results[checks.NO_WARNINGS].passed
