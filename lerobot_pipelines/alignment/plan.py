"""From a recording to its rows: the order in which the parts of this package do their work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment.aligned_epoch import (
    EPOCH_REFUSALS,
    AlignedEpoch,
    left_out,
    merged,
    recording_ids,
    trimmed_outside,
)
from lerobot_pipelines.alignment.epochs import Epoch, cut, refuse_steps, usable_epochs
from lerobot_pipelines.alignment.feature_plan import FeaturePlan, plan_features, streams_of
from lerobot_pipelines.alignment.features import StreamMatch, build_features
from lerobot_pipelines.alignment.filters import failing_segments
from lerobot_pipelines.alignment.gaps import (
    Hole,
    longest_allowed_ns,
    refuse_holes,
    row_holes,
    rows_inside,
    segments_of,
    stream_holes,
)
from lerobot_pipelines.alignment.pictures import select_pictures
from lerobot_pipelines.alignment.rate import rate_hz, require_rate
from lerobot_pipelines.alignment.report import Figures, Use, use_of
from lerobot_pipelines.alignment.sampling import Selection
from lerobot_pipelines.alignment.search import Indices
from lerobot_pipelines.alignment.sources import (
    PictureSource,
    Source,
    VectorSource,
    base_camera,
    picture_sources,
    vector_sources,
)
from lerobot_pipelines.alignment.timeline import Timeline, timeline_of
from lerobot_pipelines.alignment.verdicts import Verdicts
from lerobot_pipelines.config.schema import DatasetConfig, FilterConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import AlignedFrames, Recording, Stamps


@dataclass(frozen=True, slots=True)
class Sources:
    vectors: Mapping[str, VectorSource]
    pictures: Mapping[str, PictureSource]
    base: PictureSource | None  # None: uniform timeline

    def all(self) -> list[Source]:
        return [*self.vectors.values(), *self.pictures.values()]

    def required(self) -> list[Source]:
        return [source for source in self.all() if source.required]


@dataclass(frozen=True, slots=True)
class Rows:
    """The kept rows. ``kept`` are their positions among the candidates."""

    kept: Indices
    times: Stamps
    segments: NDArray[np.int32]
    holes: list[Hole]


def align(recording: Recording, config: DatasetConfig) -> AlignedFrames:
    """Decide the rows of a recording and their vectors and pictures.

    Reads stamps and numbers only, never a picture, and depends on nothing else: not on
    ``chunk_frames``, on workers, or on the order in which samples arrived. Raises ``Refused`` with
    the reason: missing_camera, missing_stream, missing_field, no_overlap, rate_mismatch, gap,
    clock_step, too_few_frames, too_short, too_long, non_finite or bad_config.
    """
    sources = _sources(recording, config)
    found = cut(recording, [source.name for source in sources.all()])
    if found is None:
        return _align_epoch(recording, sources, config).frames()
    required = [source.name for source in sources.required() or sources.all()]
    usable = usable_epochs(found, required)
    refuse_steps(recording, found, usable, config.filtering)
    parts: list[AlignedEpoch] = []
    intake: list[IntakeEntry] = []
    refusals: list[Refused] = []
    for number, epoch in enumerate(usable):
        view = Epoch(recording, epoch)
        settings = trimmed_outside(config, first=number == 0, last=number == len(usable) - 1)
        try:
            parts.append(_align_epoch(view, _sources(view, settings), settings))
        except Refused as refusal:
            if refusal.reason not in EPOCH_REFUSALS:
                raise
            refusals.append(refusal)
            intake.append(left_out(view, required[0], refusal))
    if not parts:
        raise refusals[0]
    return merged(parts, intake)


def _align_epoch(recording: Recording, sources: Sources, config: DatasetConfig) -> AlignedEpoch:
    """Rows of streams that share one clock."""
    plans = plan_features(config, sources.vectors)
    timeline = timeline_of(sources.required() or sources.all(), sources.base, config)
    if sources.base is not None:
        require_rate(np.diff(timeline.rows), config, f"frames of camera {sources.base.name}")
    selected = {
        name: source.method.select(source.stamps, timeline.rows, source.limits)
        for name, source in streams_of(plans).items()
    }
    shown = {
        name: select_pictures(source, timeline.rows, causal=config.alignment.causal)
        for name, source in sources.pictures.items()
    }
    verdicts = Verdicts(len(timeline.rows))
    rows = _keep_rows(timeline, sources, plans, selected, shown, verdicts, config)
    matches = {
        name: StreamMatch(
            source, recording.vectors(name), rows.times, selected[name].take(rows.kept)
        )
        for name, source in streams_of(plans).items()
    }
    features = build_features(plans, matches, config)
    shown = {name: selection.take(rows.kept) for name, selection in shown.items()}
    pictures = sources.pictures.values()
    return AlignedEpoch(
        fps=config.dataset.fps,
        row_times_ns=rows.times,
        segments=rows.segments,
        features=features,
        feature_names={plan.key: plan.names for plan in plans},
        recorded_names={plan.key: plan.recorded_names for plan in plans if plan.recorded_names},
        pictures={
            camera.feature: recording_ids(
                recording, camera.name, camera.ids[shown[camera.name].first]
            )
            for camera in pictures
        },
        picture_ages_ns={camera.feature: shown[camera.name].ages_ns for camera in pictures},
        picture_streams={camera.feature: camera.name for camera in pictures},
        figures=_figures(timeline, sources, matches, shown, rows, verdicts, config),
    )


def _sources(recording: Recording, config: DatasetConfig) -> Sources:
    base = base_camera(config)
    pictures = picture_sources(recording, config)
    vectors = vector_sources(recording, config)
    if not vectors and not pictures:
        raise Refused(
            Reason.MISSING_STREAM, "the recording has none of the configured streams and cameras"
        )
    return Sources(vectors, pictures, None if base is None else pictures[base.name])


def _keep_rows(
    timeline: Timeline,
    sources: Sources,
    plans: tuple[FeaturePlan, ...],
    selected: Mapping[str, Selection],
    shown: Mapping[str, Selection],
    verdicts: Verdicts,
    config: DatasetConfig,
) -> Rows:
    filtering, candidates = config.filtering, timeline.rows
    longest_ns = longest_allowed_ns(filtering)
    holes = stream_holes(sources.required(), candidates, longest_ns)
    refuse_holes(holes, int(candidates[0]), filtering)
    verdicts.drop(rows_inside(holes, candidates), "gap")
    _drop_unserved(plans, selected, shown, verdicts)
    kept = verdicts.kept
    if len(kept) == 0:
        raise Refused(
            Reason.TOO_FEW_FRAMES,
            f"none of the {len(candidates)} rows is left: {_listed(verdicts.dropped())}; check "
            "the tolerances and whether the streams share one clock",
            dropped=verdicts.dropped(),
        )

    def blame(pair: int) -> str:
        reason = verdicts.main_reason(int(kept[pair]) + 1, int(kept[pair + 1]))
        if reason is not None:
            return reason.partition(":")[2] or reason
        return "the rows" if sources.base is None else sources.base.name

    holes += row_holes(candidates[kept], blame, holes, longest_ns)
    refuse_holes(holes, int(candidates[0]), filtering)
    segments = segments_of(candidates[kept], holes, filtering)
    kept, segments = _drop_failing(candidates, kept, segments, verdicts, filtering)
    times = candidates[kept]
    inside = np.diff(times)[np.diff(segments) == 0]
    require_rate(inside, config, f"the rows left after dropping ({_listed(verdicts.dropped())})")
    return Rows(kept, times, segments, holes)


def _drop_unserved(
    plans: tuple[FeaturePlan, ...],
    selected: Mapping[str, Selection],
    shown: Mapping[str, Selection],
    verdicts: Verdicts,
) -> None:
    """Drop the rows for which some part of a feature has no sample, or some camera no picture."""
    for part in (part for plan in plans for part in plan.parts):
        valid = [selected[source.stream.name].valid for source in part.sources]
        preferred = part.sources[0].stream
        reason = f"{preferred.method.drop_reason}:{preferred.name}"
        verdicts.drop(~np.logical_or.reduce(valid), reason)
    for name, selection in shown.items():
        verdicts.drop(~selection.valid, f"tolerance:{name}")


def _drop_failing(
    candidates: Stamps,
    kept: Indices,
    segments: NDArray[np.int32],
    verdicts: Verdicts,
    filtering: FilterConfig,
) -> tuple[Indices, NDArray[np.int32]]:
    """What is left of the kept rows and their segments, numbered again without omission."""
    failing = failing_segments(candidates[kept], segments, filtering)
    for segment, reason in failing.items():
        rows = np.zeros(len(candidates), np.bool_)
        rows[kept[segments == segment]] = True
        verdicts.drop(rows, f"segment:{reason}")
    passing = segments[~np.isin(segments, list(failing))]
    return verdicts.kept, np.unique(passing, return_inverse=True)[1].astype(np.int32)


def _listed(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in dropped.items()) or "none"


def _figures(
    timeline: Timeline,
    sources: Sources,
    matches: Mapping[str, StreamMatch],
    shown: Mapping[str, Selection],
    rows: Rows,
    verdicts: Verdicts,
    config: DatasetConfig,
) -> Figures:
    base = config.base_camera
    main_camera = None if base is None else sources.pictures.get(base.name)
    uses: dict[str, Use] = {}
    for name, match in matches.items():
        ages_ns = match.selection.ages_ns[match.used_rows]
        uses[name] = use_of(match.source.stamps, match.used_samples, ages_ns, timeline.overlap)
    for name, camera in sources.pictures.items():
        used = np.zeros(len(camera.all_stamps), np.bool_)
        used[camera.ids[shown[name].first]] = True
        uses[name] = use_of(camera.all_stamps, used, shown[name].ages_ns, timeline.overlap)
    return Figures(
        timeline=timeline,
        dropped=verdicts.dropped(),
        rows_kept=len(rows.kept),
        measured_rate_hz=None if main_camera is None else rate_hz(main_camera.all_stamps),
        holes=rows.holes,
        uses=uses,
    )
