"""Continuing a dataset's totals with further episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lerobot_pipelines.datasets.describing import Statistics
from lerobot_pipelines.datasets.features import DEFAULT_FEATURES
from lerobot_pipelines.datasets.ledger import Totals
from lerobot_pipelines.datasets.members import DatasetSchema, Episode
from lerobot_pipelines.datasets.records import SegmentRecord
from lerobot_pipelines.datasets.totals import (
    add_pictures,
    add_vectors,
    picture_total,
    vector_total,
)


def fold_totals(
    totals: Totals,
    episodes: Iterable[Episode],
    schema: DatasetSchema,
    segment_of: Callable[[Episode], SegmentRecord],
    statistics_of: Callable[[Episode], Statistics],
) -> Totals:
    """``totals`` with the episodes added, in their order."""
    vectors, pictures = dict(totals.vectors), dict(totals.pictures)
    columns = schema.vectors | DEFAULT_FEATURES
    for episode in episodes:
        statistics = statistics_of(episode)
        for name, feature in columns.items():
            vector = vector_total(statistics[name], feature.dtype)
            vectors[name] = add_vectors(vectors[name], vector) if name in vectors else vector
        for camera in schema.cameras:
            picture = picture_total(segment_of(episode).videos[camera])
            known = pictures.get(camera)
            pictures[camera] = add_pictures(known, picture) if known else picture
    return Totals(vectors=vectors, pictures=pictures)
