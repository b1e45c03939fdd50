"""The vectors of the kept rows: parts concatenated in order, as float32.

A part takes its row from its stream, or from its fallback on rows where the stream has no valid
sample; rows that neither serves were dropped before. ``binary_threshold`` turns values into 1.0
(at or above) and 0.0 before anything is padded. Samples that are not finite never pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment.chunks import chunk_blocks, chunk_offsets
from lerobot_pipelines.alignment.feature_plan import FeaturePlan, PartPlan, PartSource
from lerobot_pipelines.alignment.gaps import longest_allowed_ns
from lerobot_pipelines.alignment.sampling import Selection
from lerobot_pipelines.alignment.search import Indices, Mask, exact_rate
from lerobot_pipelines.alignment.sources import VectorSource
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps, Vectors


@dataclass
class StreamMatch:
    """One stream on the kept rows, and what of it the features have used so far."""

    source: VectorSource
    samples: Vectors  # (count, d)
    rows: Stamps  # (n,)
    selection: Selection  # (n,)
    used_rows: Mask = field(init=False)  # (n,)
    used_samples: Mask = field(init=False)  # (count,)
    _values: Vectors | None = None

    def __post_init__(self) -> None:
        self.used_rows = np.zeros(len(self.rows), np.bool_)
        self.used_samples = np.zeros(len(self.source.stamps), np.bool_)

    def values(self) -> Vectors:
        """One vector per row, shape (n, d); 0 where no sample is valid."""
        if self._values is None:
            valid = self.selection.valid
            self._values = np.zeros((len(self.rows), self.samples.shape[1]))
            # What is not finite is refused by name below, where a feature uses it.
            with np.errstate(invalid="ignore", over="ignore"):
                self._values[valid] = self.source.method.values(
                    self.samples,
                    self.source.stamps,
                    self.rows[valid],
                    self.selection.take(valid),
                    self.source.limits,
                )
        return self._values

    def use(self, rows: Mask, samples: Mask, columns: Indices) -> None:
        """Note the use; raises ``Refused`` (non_finite) if a sample used is not finite."""
        self.used_rows |= rows
        self.used_samples |= samples
        positions = np.flatnonzero(samples)
        finite = np.isfinite(_float32(self.samples[positions][:, columns])).all(axis=1)
        if not finite.all():
            self._refuse(int(positions[~finite][0]), int(np.count_nonzero(~finite)))

    def _refuse(self, first: int, count: int) -> None:
        stamps = self.source.stamps
        raise Refused(
            Reason.NON_FINITE,
            f"stream {self.source.name} has {count} samples with NaN, infinity or a number beyond "
            f"float32 that rows would use, the first {(stamps[first] - stamps[0]) / 1e9:.3f} s "
            "after its beginning; repair or remove them",
            stream=self.source.name,
            stamp_ns=int(stamps[first]),
            count=count,
        )


def build_features(
    plans: tuple[FeaturePlan, ...], matches: Mapping[str, StreamMatch], config: DatasetConfig
) -> dict[str, NDArray[Any]]:
    """Every feature, and the padding mask of each chunked one: see ``AlignedFrames.features``."""
    features: dict[str, NDArray[Any]] = {}
    for plan in plans:
        if plan.chunked:
            features[plan.key], features[plan.mask_key] = _chunked(plan, matches, config)
        else:
            features[plan.key] = _plain(plan, matches)
    return features


def _plain(plan: FeaturePlan, matches: Mapping[str, StreamMatch]) -> NDArray[np.float32]:
    columns = []
    for part in plan.parts:
        result = np.zeros((_row_count(part, matches), part.dimension))
        for source, match, rows in _shares(part, matches):
            match.use(
                rows, _covered(match.selection.take(rows), len(match.samples)), source.columns
            )
            result[rows] = match.values()[rows][:, source.columns]
        columns.append(_thresholded(result, part.threshold))
    return _float32(np.concatenate(columns, axis=1))


def _chunked(
    plan: FeaturePlan, matches: Mapping[str, StreamMatch], config: DatasetConfig
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    alignment = config.alignment
    size = alignment.chunk_size
    rate = None if alignment.chunk_rate_hz is None else exact_rate(alignment.chunk_rate_hz)
    offsets = chunk_offsets(size, rate, plan.parts[0].sources[0].stream.stamps)
    count = _row_count(plan.parts[0], matches)
    values = np.zeros((count, size, plan.dimension), np.float32)
    padding = np.zeros((count, size), np.bool_)
    start = 0
    for part in plan.parts:
        columns = slice(start, start + part.dimension)
        start += part.dimension
        for source, match, rows in _shares(part, matches):
            positions = np.flatnonzero(rows)
            used = np.zeros(len(match.samples), np.bool_)
            blocks = chunk_blocks(
                match.source,
                match.rows[rows],
                match.selection.take(rows),
                offsets,
                longest_allowed_ns(config.filtering),
            )
            chosen = _thresholded(match.samples[:, source.columns], part.threshold)
            for block in blocks:
                at = positions[block.rows]
                values[at, :, columns] = _float32(chosen[block.samples])
                padding[at] |= block.padding
                used[block.samples] = True
            match.use(rows, used, source.columns)
    if alignment.padding_mode == "constant":
        values[padding] = alignment.padding_value
    return values, padding


def _shares(
    part: PartPlan, matches: Mapping[str, StreamMatch]
) -> Iterator[tuple[PartSource, StreamMatch, Mask]]:
    """Which rows each of a part's sources serves: every row exactly one."""
    open_rows: Mask | None = None
    for source in part.sources:
        match = matches[source.stream.name]
        valid = match.selection.valid
        rows = valid if open_rows is None else open_rows & valid
        open_rows = ~valid if open_rows is None else open_rows & ~valid
        yield source, match, rows


def _row_count(part: PartPlan, matches: Mapping[str, StreamMatch]) -> int:
    return len(matches[part.sources[0].stream.name].rows)


def _covered(selection: Selection, count: int) -> Mask:
    """Which samples lie in at least one row's run, shape (count,)."""
    begun = np.bincount(selection.first, minlength=count + 1)
    ended = np.bincount(selection.stop, minlength=count + 1)
    return np.cumsum(begun - ended)[:count] > 0


def _thresholded(values: Vectors, threshold: float | None) -> Vectors:
    return values if threshold is None else (values >= threshold).astype(np.float64)


def _float32(values: Vectors) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # infinity is refused by name
        return values.astype(np.float32)
