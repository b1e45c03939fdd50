"""The promises an episode must keep to enter the dataset, each a named check.

Rows, pictures and metadata are held against one another as they were written, not as they were
meant. ``CHECK_NAMES`` is the list the UI shows; the names are stored, so never rename one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lerobot_pipelines.alignment.rate import require_rate
from lerobot_pipelines.alignment.search import NS_PER_S
from lerobot_pipelines.alignment.sources import picture_limits
from lerobot_pipelines.config.schema import DatasetConfig, Strategy
from lerobot_pipelines.datasets.records import CheckResult, VideoRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.intake import IntakeEntry, codes_of, warnings_of
from lerobot_pipelines.model import AlignedFrames, Clock, Manifest, StreamKind
from lerobot_pipelines.periods import period_ns
from lerobot_pipelines.pipeline.depth_range import depth_shares, impossible_ranges
from lerobot_pipelines.pipeline.strictness import as_strict
from lerobot_pipelines.recordings.clock_evidence import clock_offsets_ms, shifts_of

Segments = Sequence[Mapping[str, VideoRecord]]

ROWS_MATCH_FRAMES = "rows_match_frames"
MEASURED_RATE = "measured_rate"
DURATION_KEPT = "duration_kept"
AGES_WITHIN_TOLERANCE = "ages_within_tolerance"
VALUES_FINITE = "values_finite"
PICTURES_IN_PLACE = "pictures_in_place"
PICTURES_VARY = "pictures_vary"
DEPTH_IN_RANGE = "depth_in_range"
CLOCKS_AGREE = "clocks_agree"
FEW_FAULTS = "few_faults"
NO_WARNINGS = "no_warnings"

CHECK_NAMES: Mapping[str, str] = {
    ROWS_MATCH_FRAMES: "Every camera's mp4 has exactly one frame for each row of its segment.",
    MEASURED_RATE: "The rows follow one another at the rate the dataset is labelled with.",
    DURATION_KEPT: "The rows last as long, played at fps, as the robot took; none are missing.",
    AGES_WITHIN_TOLERANCE: "No row shows a picture or sample older or newer than allowed.",
    VALUES_FINITE: "No feature holds NaN or infinity.",
    PICTURES_IN_PLACE: "Frames decoded from each mp4 show the picture that their row names.",
    PICTURES_VARY: "No camera shows one and the same colour throughout.",
    DEPTH_IN_RANGE: "Distances lie within the range kept, not all at or beyond one of its ends.",
    CLOCKS_AGREE: "The streams are stamped by clocks that show the same time.",
    FEW_FAULTS: "Hardly anything of the recording had to be left out.",
    NO_WARNINGS: "Reading and aligning the recording gave no reason to doubt the result.",
}

# Above it an operator should look at the robot's disk or network.
FAULTS_WORTH_A_WARNING = 0.01
NS_PER_MS = 1e6


def check_episode(
    manifest: Manifest,
    frames: AlignedFrames,
    videos: Segments,
    config: DatasetConfig,
    intake: Sequence[IntakeEntry] = (),
) -> tuple[CheckResult, ...]:
    """One result for each of ``CHECK_NAMES``, in that order.

    ``intake``: what was found after reading and aligning, besides what these had to say.
    """
    found = (
        _rows_match_frames(frames, videos),
        _measured_rate(frames, config),
        _duration_kept(frames, config),
        _ages_within_tolerance(frames, config),
        _values_finite(frames),
        _pictures_in_place(videos),
        _pictures_vary(videos),
        _depth_in_range(videos, config),
        _clocks_agree(manifest, config),
        _few_faults(manifest),
        _no_warnings((*manifest.intake, *frames.report.intake, *intake)),
    )
    return as_strict(found, config)


def _rows_match_frames(frames: AlignedFrames, videos: Segments) -> CheckResult:
    lengths = np.bincount(frames.segments, minlength=len(videos)).tolist()
    wrong = [
        f"segment {segment}: {feature} has {video.frames} frames for {lengths[segment]} rows"
        for segment, cameras in enumerate(videos)
        for feature, video in cameras.items()
        if video.frames != lengths[segment]
    ]
    wrong += [
        f"segment {segment}: no video of {feature}"
        for segment, cameras in enumerate(videos)
        for feature in sorted(set(frames.pictures) - set(cameras))
    ]
    wrong += [
        f"{name} has {len(values)} values for {len(frames.row_times_ns)} rows"
        for name, values in frames.features.items()
        if len(values) != len(frames.row_times_ns)
    ]
    if len(lengths) != len(videos):
        wrong.append(f"{len(lengths)} segments of rows, {len(videos)} of videos")
    return CheckResult(
        name=ROWS_MATCH_FRAMES,
        passed=not wrong,
        description="; ".join(wrong),
        values={"rows": len(frames.row_times_ns), "segments": len(lengths)},
    )


def _measured_rate(frames: AlignedFrames, config: DatasetConfig) -> CheckResult:
    steps = np.diff(frames.row_times_ns)[np.diff(frames.segments) == 0]
    period = period_ns(steps)
    measured = NS_PER_S / period if period else float(frames.fps)
    try:
        require_rate(steps, config, "the rows")
    except Refused as refusal:
        passed, description = False, refusal.message
    else:
        passed, description = True, f"rows at {measured:.3f} Hz, label {frames.fps} fps"
    return CheckResult(
        name=MEASURED_RATE,
        passed=passed,
        description=description,
        values={"measured_hz": measured, "fps": frames.fps},
    )


def _duration_kept(frames: AlignedFrames, config: DatasetConfig) -> CheckResult:
    """LeRobot plays row k at k / fps: where rows were dropped one by one, time shrinks."""
    within = np.diff(frames.segments) == 0
    taken_s = float(np.diff(frames.row_times_ns)[within].sum()) / NS_PER_S
    played_s = int(within.sum()) / frames.fps
    shrunk = 1.0 - played_s / taken_s if taken_s else 0.0
    return CheckResult(
        name=DURATION_KEPT,
        # A difference of less than one row is what any jitter makes of a short episode.
        passed=abs(shrunk) <= config.alignment.rate_tolerance
        or abs(taken_s - played_s) < 1.0 / frames.fps,
        severity="warn",
        description=f"{taken_s:.3f} s of recording play in {played_s:.3f} s",
        values={"recorded_s": taken_s, "played_s": played_s},
    )


def _ages_within_tolerance(frames: AlignedFrames, config: DatasetConfig) -> CheckResult:
    oldest: dict[str, float] = {}
    wrong: list[str] = []
    for camera in config.cameras:
        ages = frames.picture_ages_ns.get(camera.feature)
        if ages is None:
            continue
        older_ns, newer_ns = picture_limits(camera, config)
        oldest[camera.feature] = float(np.abs(ages).max()) / NS_PER_MS
        if ages.min() < -older_ns or ages.max() > newer_ns:
            wrong.append(
                f"{camera.feature}: pictures from {ages.min() / NS_PER_MS:.3f} to "
                f"{ages.max() / NS_PER_MS:.3f} ms from their rows, -{older_ns / NS_PER_MS:g} to "
                f"{newer_ns / NS_PER_MS:g} ms allowed"
            )
    for stream in config.streams:
        ages_ms = frames.report.age_ms.get(stream.name)
        if (
            ages_ms is None
            or (stream.strategy or config.alignment.strategy) is not Strategy.NEAREST
        ):
            continue
        oldest[stream.name] = ages_ms["max"]
        allowed = stream.tolerance_ms or config.alignment.tolerance_ms
        if ages_ms["max"] > allowed:
            wrong.append(f"{stream.name}: {ages_ms['max']:.3f} ms, {allowed:g} ms allowed")
    return CheckResult(
        name=AGES_WITHIN_TOLERANCE,
        passed=not wrong,
        description="; ".join(wrong),
        values={f"max_ms:{name}": age for name, age in oldest.items()},
    )


def _values_finite(frames: AlignedFrames) -> CheckResult:
    wrong = [name for name, values in frames.features.items() if not np.isfinite(values).all()]
    return CheckResult(
        name=VALUES_FINITE,
        passed=not wrong,
        description=f"not finite: {', '.join(wrong)}" if wrong else "",
        values={"features": len(frames.features)},
    )


def _pictures_in_place(videos: Segments) -> CheckResult:
    wrong: list[str] = []
    looked_at, largest = 0, 0.0
    for segment, cameras in enumerate(videos):
        for feature, video in cameras.items():
            if video.proof is None or not video.proof.rows:
                wrong.append(f"segment {segment}: no frame of {feature} was looked at")
                continue
            looked_at += video.proof.rows
            largest = max(largest, video.proof.largest_difference)
            if video.proof.misplaced:
                rows = ", ".join(map(str, video.proof.misplaced))
                wrong.append(f"segment {segment}: {feature} shows other pictures on rows {rows}")
    return CheckResult(
        name=PICTURES_IN_PLACE,
        passed=not wrong,
        description="; ".join(wrong),
        values={"frames_decoded": looked_at, "largest_difference": round(largest, 3)},
    )


def _pictures_vary(videos: Segments) -> CheckResult:
    dull = sorted(
        {
            feature
            for cameras in videos
            for feature, video in cameras.items()
            if all(np.count_nonzero(channel) <= 1 for channel in video.histogram)
        }
    )
    return CheckResult(
        name=PICTURES_VARY,
        passed=not dull,
        severity="warn",
        description=f"one colour throughout: {', '.join(dull)}" if dull else "",
    )


def _depth_in_range(videos: Segments, config: DatasetConfig) -> CheckResult:
    wrong = impossible_ranges(videos, config)
    shares = depth_shares(videos)
    return CheckResult(
        name=DEPTH_IN_RANGE,
        passed=not wrong,
        description="; ".join(wrong),
        values={f"at_far_end:{name}": round(one.farthest, 6) for name, one in shares.items()},
    )


def _no_warnings(intake: Sequence[IntakeEntry]) -> CheckResult:
    warnings = warnings_of(intake)
    first = f"{warnings[0].stream}: {warnings[0].message}".lstrip(": ") if warnings else ""
    more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
    return CheckResult(
        name=NO_WARNINGS,
        passed=not warnings,
        severity="warn",
        description=first + more,
        values={"warnings": len(warnings), **codes_of(warnings)},
    )


def _clocks_agree(manifest: Manifest, config: DatasetConfig) -> CheckResult:
    """Transport takes some ms, another machine's clock any time: reception is what both share."""
    offsets = clock_offsets_ms(manifest.streams, shifts_of(config))
    on_receive = [s.name for s in manifest.streams if s.clock is Clock.RECEIVE and s.count]
    compared = {**dict.fromkeys(on_receive[:1], 0.0), **offsets}
    limit = config.alignment.max_clock_offset_ms
    if len(compared) < 2:
        return CheckResult(name=CLOCKS_AGREE, passed=True, values={"apart_ms": 0.0})
    late = max(compared, key=lambda name: compared[name])
    early = min(compared, key=lambda name: compared[name])
    apart = compared[late] - compared[early]
    passed = limit is None or apart <= limit
    return CheckResult(
        name=CLOCKS_AGREE,
        passed=passed,
        description=""
        if passed
        else f"stamps of {late} lie {compared[late]:.1f} ms before reception, those of {early} "
        f"{compared[early]:.1f} ms: {apart:.1f} ms apart, alignment.max_clock_offset_ms allows "
        f"{limit:g}; use clock: receive for the one that is wrong, or correct it with offset_ms",
        values={"apart_ms": round(apart, 3)}
        | {f"offset_ms:{name}": round(offset, 3) for name, offset in offsets.items()},
    )


def _few_faults(manifest: Manifest) -> CheckResult:
    samples = {report.name: report.count for report in manifest.streams}
    kinds = {report.name: report.kind for report in manifest.streams}
    worst, share = "", 0.0
    for stream, count in samples.items():
        left_out = sum(fault.count for fault in manifest.faults if fault.stream == stream)
        if left_out and left_out / (left_out + count) > share:
            worst, share = stream, left_out / (left_out + count)
    what = "pictures" if kinds.get(worst) is StreamKind.PICTURE else "samples"
    return CheckResult(
        name=FEW_FAULTS,
        passed=share <= FAULTS_WORTH_A_WARNING,
        severity="warn",
        description=f"{share:.1%} of the {what} of {worst} were left out" if worst else "",
        values={
            "faults": sum(fault.count for fault in manifest.faults),
            "largest_share": share,
        },
    )
