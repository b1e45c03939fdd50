"""Making streams: several datasets interleaved by weight, or one map-style dataset's items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.balance import Balance
from lerobot_pipelines.loading.chunks import ChunkDataset
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.items import ItemBuilder
from lerobot_pipelines.loading.mixing import common_plans, common_tasks
from lerobot_pipelines.loading.opening import Place, open_source
from lerobot_pipelines.loading.order import Ends, Items, Shuffle, runs_of
from lerobot_pipelines.loading.reading import Reading
from lerobot_pipelines.loading.source import Source, starts_of
from lerobot_pipelines.loading.streams import StreamDataset, StreamSettings
from lerobot_pipelines.loading.usable import usable_rows
from lerobot_pipelines.loading.verdict import judge

RUN_ROWS = 16  # of one decoding stretch under ``shuffle: local``
# Beyond the runs that are mixed, the next one is being decoded; and windows overlap.
_SHARE_FOR_RUNS = 0.7


class StreamOptions(TypedDict, total=False):
    """How a stream draws, whatever it is made of.

    ``balance``: how often each dataset is drawn, by default by size. ``seed``: what every order
    follows from. ``shuffle``: ``full`` mixes all items, ``local`` decodes stretches of episodes
    once and mixes as many of them as the frame cache holds, ``none`` keeps the order; by default
    ``full``, of lazy datasets ``local``. ``epoch_items``: how many items an epoch draws on all
    ranks together, by default as many as there are. ``ends``: where the ranks do not divide them,
    up to ranks - 1 items come twice (``pad``, the default) or not at all (``drop``).
    """

    balance: Balance | None
    seed: int
    shuffle: Shuffle
    ends: Ends
    epoch_items: int | None


def make_interleave_dataset(
    places: Mapping[str, Place] | Sequence[Place],
    config: LoadingConfig | None = None,
    *,
    storage: StorageConfig | None = None,
    lazy: bool = False,
    **options: Unpack[StreamOptions],
) -> StreamDataset:
    """Interleave LeRobot datasets (folders, ``s3://`` addresses, or prefixes in ``storage``).

    ``places`` by name, or a list: then named after their folders. ``options``: ``balance``,
    ``seed``, ``shuffle``, ``ends``, ``epoch_items``, see ``StreamOptions``. Raises ``ConfigError``
    or ``Refused`` (naming the file).
    """
    config = config or LoadingConfig()
    named = places.items() if isinstance(places, Mapping) else [(None, place) for place in places]
    sources = [
        open_source(place, config, storage=storage, name=name, lazy=lazy) for name, place in named
    ]
    return stream_of(sources, config, **options)


def stream_of(
    sources: Sequence[Source], config: LoadingConfig, **options: Unpack[StreamOptions]
) -> StreamDataset:
    """The stream over opened sources."""
    if not sources:
        raise ConfigError("there is no dataset to stream")
    if len({source.name for source in sources}) < len(sources):
        raise ConfigError("two datasets have the same name; give places by name")
    tasks, numbers = common_tasks(sources)
    readings = []
    by_frame = config.validation.exclude == "frame"
    for source, plans, numbering in zip(
        sources, common_plans(sources, config), numbers, strict=True
    ):
        verdict = judge(source, config.validation)
        rows = usable_rows(source, verdict, plans, by_frame=by_frame)
        builder = ItemBuilder(source, plans, config.tasks or "index", numbering)
        runs = runs_of(rows, starts_of(source.lengths), RUN_ROWS)
        readings.append(Reading(builder, Items(rows, runs), verdict))
    settings = StreamSettings(
        seed=options.get("seed", 0),
        shuffle=options.get("shuffle", "full"),
        ends=options.get("ends", "pad"),
        epoch_items=options.get("epoch_items") or sum(len(one.items) for one in readings),
        mixed_runs=_mixed_runs(readings, config),
        read_ahead=config.read_ahead,
    )
    return StreamDataset(readings, options.get("balance") or Balance.by_size(), tasks, settings)


def stream_of_chunks(dataset: ChunkDataset, *, seed: int, shuffle: Shuffle) -> StreamDataset:
    """The stream of a map-style dataset's items."""
    source = dataset.source
    runs = runs_of(dataset.rows, starts_of(source.lengths), RUN_ROWS)
    reading = Reading(dataset.builder, Items(dataset.rows, runs), dataset.verdict)
    settings = StreamSettings(seed, shuffle, "pad", len(dataset), 1, read_ahead=2)
    return StreamDataset([reading], Balance.by_size(), source.tasks, settings)


def _mixed_runs(readings: Sequence[Reading], config: LoadingConfig) -> int:
    """How many runs the frame cache holds at once, of the most expensive dataset."""
    most = 1
    for one in readings:
        cameras = [plan for plan in one.builder.plans.values() if plan.is_camera and plan.feature]
        run_bytes = sum(
            one.source.picture_bytes(plan.feature or "") * (RUN_ROWS + _extent(plan.offsets))
            for plan in cameras
        )
        most = max(most, run_bytes)
    return max(int(config.frame_cache_mb * 1e6 * _SHARE_FOR_RUNS / most), 1) if most > 1 else 64


def _extent(offsets: Rows | None) -> int:
    return 0 if offsets is None else int(max(offsets.max(), 0) - min(offsets.min(), 0))
