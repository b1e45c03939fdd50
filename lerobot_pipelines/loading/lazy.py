"""The lazy dataset: episodes opened on demand, of converted datasets and of raw recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.interleave import StreamOptions, stream_of
from lerobot_pipelines.loading.opening import Place, open_source
from lerobot_pipelines.loading.raw import RawSource
from lerobot_pipelines.loading.source import Source
from lerobot_pipelines.loading.streams import StreamDataset

LazyPlace = Place | DatasetConfig


def make_lazy_dataset(
    places: LazyPlace | Sequence[LazyPlace],
    config: LoadingConfig | None = None,
    *,
    storage: StorageConfig | None = None,
    statistics_of: Place | None = None,
    **options: Unpack[StreamOptions],
) -> StreamDataset:
    """Stream episodes that are opened when their turn comes.

    A place is a LeRobot dataset, or a conversion's configuration (``DatasetConfig`` or its YAML
    file): then its recordings are read as they are, row by row as the conversion would align them.
    ``statistics_of`` names a converted dataset whose statistics normalise raw recordings, which
    have none. ``options`` as in ``make_interleave_dataset``; ``shuffle`` is ``local`` by default.

    Per process at most ``config.max_open_files`` files, ``config.row_cache_mb`` of numbers and
    ``config.frame_cache_mb`` of pictures are held, whatever the size of the data.
    """
    config = config or LoadingConfig()
    given = places if isinstance(places, Sequence) and not isinstance(places, str) else [places]
    sources = [_open(place, config, storage, statistics_of) for place in given]
    options.setdefault("shuffle", "local")
    return stream_of(sources, config, **options)


def _open(
    place: LazyPlace,
    config: LoadingConfig,
    storage: StorageConfig | None,
    statistics_of: Place | None,
) -> Source:
    if isinstance(place, str | Path) and str(place).endswith((".yaml", ".yml")):
        from lerobot_pipelines.config import load_config

        place = load_config(Path(place))
    if not isinstance(place, DatasetConfig):
        return open_source(place, config, storage=storage, lazy=True)
    from lerobot_pipelines.pipeline.workspace import open_workspace

    known = None
    if statistics_of is not None:
        known = open_source(statistics_of, config, storage=storage, lazy=True).statistics
    return RawSource(open_workspace(place), config, known)
