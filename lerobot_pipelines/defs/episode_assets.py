"""The four steps of an episode as assets of one dataset's group, one partition per episode.

Each body names a step of ``pipeline`` and what to show of it; nothing passes between assets but
the artifacts in the bucket.
"""

# No postponed annotations here: Dagster looks at the type of ``context`` itself.

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming
from lerobot_pipelines.defs.faults import RETRIES
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.defs.stepping import StepResult, materialize_episodes
from lerobot_pipelines.pipeline.checks import CHECK_NAMES
from lerobot_pipelines.pipeline.metadata import CODE_VERSION
from lerobot_pipelines.pipeline.workspace import Workspace

# The hash of the part of the configuration that a step depends on is in its code version, so that
# a change of the YAML makes exactly the steps stale whose output it changes.
STEP_HASHES: Mapping[str, Callable[[DatasetConfig], str]] = {
    naming.RAW: raw_hash,
    naming.ALIGNED: alignment_hash,
    naming.VIDEOS: video_hash,
    naming.METADATA: dataset_hash,
}


def step_version(config: DatasetConfig, step: str) -> str:
    return f"{CODE_VERSION}-{STEP_HASHES[step](config)[:12]}"


def episode_assets(config: DatasetConfig) -> list[dg.AssetsDefinition]:
    return [
        _raw_episodes(config),
        _aligned_frames(config),
        _encoded_videos(config),
        _episode_metadata(config),
    ]


def check_specs(config: DatasetConfig) -> list[dg.AssetCheckSpec]:
    """One verdict per promise and episode; a broken one of severity error fails the run."""
    name = config.dataset.name
    return [
        dg.AssetCheckSpec(
            check,
            asset=naming.asset_key(name, naming.METADATA),
            description=description,
            blocking=True,
            partitions_def=naming.episodes_partitions(name),
        )
        for check, description in CHECK_NAMES.items()
    ]


def _raw_episodes(config: DatasetConfig) -> dg.AssetsDefinition:
    @_step(config, naming.RAW, kinds={_store_kind(config)})
    def raw_episodes(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """What the recording is made of: files, streams, rates, gaps. No picture is decoded.

        Writes the manifest whose fingerprint is the episode's identity.
        """
        return materialize_episodes(context, pipeline, config, _scan, lists_members=True)

    return raw_episodes


def _aligned_frames(config: DatasetConfig) -> dg.AssetsDefinition:
    @_step(config, naming.ALIGNED, kinds={"parquet", "numpy"}, after=[naming.RAW])
    def aligned_frames(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """The rows: for each moment the state and action vectors and which picture it shows.

        Decided from stamps and numbers alone; a row without a close enough sample is dropped and
        counted by reason.
        """
        return materialize_episodes(context, pipeline, config, _align)

    return aligned_frames


def _encoded_videos(config: DatasetConfig) -> dg.AssetsDefinition:
    @_step(config, naming.VIDEOS, kinds={"video"}, after=[naming.ALIGNED], pool=naming.ENCODE_POOL)
    def encoded_videos(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """One mp4 per camera, frame k for row k, with the statistics of its pictures."""
        return materialize_episodes(context, pipeline, config, _encode)

    return encoded_videos


def _episode_metadata(config: DatasetConfig) -> dg.AssetsDefinition:
    @_step(
        config,
        naming.METADATA,
        kinds={"json"},
        after=[naming.ALIGNED, naming.VIDEOS],
        checks=check_specs(config),
    )
    def episode_metadata(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """The verdict: length, tasks, statistics, provenance and checks.

        An episode enters the dataset when this is written and every check of severity error passed.
        """
        return materialize_episodes(context, pipeline, config, _describe)

    return episode_metadata


def _scan(workspace: Workspace, key: str) -> StepResult:
    from lerobot_pipelines.defs.shown import shown_raw
    from lerobot_pipelines.pipeline.raw import scan_episode

    return shown_raw(scan_episode(workspace, key))


def _align(workspace: Workspace, key: str) -> StepResult:
    from lerobot_pipelines.defs.shown import shown_aligned
    from lerobot_pipelines.pipeline.aligned import align_episode
    from lerobot_pipelines.pipeline.artifacts import AlignedIndex, episode_keys, read_artifact

    frames = align_episode(workspace, key)
    index = read_artifact(workspace, episode_keys(workspace, key).aligned, AlignedIndex)
    return shown_aligned(frames, index.frames_sha256)


def _encode(workspace: Workspace, key: str) -> StepResult:
    from lerobot_pipelines.defs.shown import shown_videos
    from lerobot_pipelines.pipeline.videos import encode_episode

    return shown_videos(workspace, encode_episode(workspace, key))


def _describe(workspace: Workspace, key: str) -> StepResult:
    from lerobot_pipelines.defs.shown import shown_metadata
    from lerobot_pipelines.pipeline.metadata import describe_episode

    return shown_metadata(describe_episode(workspace, key))


def _step(
    config: DatasetConfig,
    step: str,
    *,
    kinds: set[str],
    after: Sequence[str] = (),
    pool: str | None = None,
    checks: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """``dg.asset`` with what the four steps have in common; ``after``: the steps it reads."""
    name = config.dataset.name
    return dg.asset(
        key=naming.asset_key(name, step),
        deps=[naming.asset_key(name, other) for other in after],
        group_name=name,
        partitions_def=naming.episodes_partitions(name),
        backfill_policy=dg.BackfillPolicy.multi_run(
            max_partitions_per_run=config.storage.scanner.episodes_per_run
        ),
        code_version=step_version(config, step),
        retry_policy=RETRIES,
        kinds=kinds,
        owners=list(config.dataset.owners),
        tags={"robot": _tag_value(config.dataset.robot_type)},
        pool=pool,
        check_specs=list(checks),
    )


def _store_kind(config: DatasetConfig) -> str:
    return "s3" if config.storage.url.startswith("s3://") else "file"


def _tag_value(text: str) -> str:
    """Dagster tags hold letters, digits, ``_``, ``-`` and ``.``, at most 63 of them."""
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "_-.") else "_" for c in text)
    return cleaned[:63].strip("_-.") or "unknown"
