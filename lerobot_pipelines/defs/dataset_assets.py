"""The dataset of all episodes as one asset, its checks, and the list of refused episodes."""

# No postponed annotations here: Dagster looks at the type of ``context`` itself.

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming
from lerobot_pipelines.defs.faults import RETRIES, dagster_failures
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.pipeline.dataset import dataset_roots, is_up_to_date, update_datasets
from lerobot_pipelines.pipeline.metadata import CODE_VERSION
from lerobot_pipelines.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from lerobot_pipelines.datasets import DatasetUpdate
    from lerobot_pipelines.datasets.verify import VerifyReport

UP_TO_DATE = "dataset_up_to_date"
NONE_STALE = "no_stale_episodes"
NONE_SKIPPED = "no_skipped_episodes"

INLINE_CHECKS: Mapping[str, str] = {
    UP_TO_DATE: "The dataset holds exactly the episodes that are ready now.",
    NONE_STALE: "Every episode was made with the configuration as it is now.",
    NONE_SKIPPED: "Every episode with a passing verdict is in the dataset.",
}
MOST_FINDINGS = 50


def dataset_asset(config: DatasetConfig) -> dg.AssetsDefinition:
    name = config.dataset.name
    key = naming.asset_key(name, naming.DATASET)

    @dg.asset(
        key=key,
        group_name=name,
        deps=[naming.asset_key(name, naming.METADATA)],
        code_version=f"{CODE_VERSION}-{dataset_hash(config)[:12]}",
        kinds={"lerobot", "parquet", "video"},
        owners=list(config.dataset.owners),
        tags={"format": "-".join(config.dataset.formats)},
        pool=naming.writer_pool(name),
        retry_policy=RETRIES,
        check_specs=[
            dg.AssetCheckSpec(check, asset=key, description=description)
            for check, description in INLINE_CHECKS.items()
        ],
    )
    def lerobot_dataset(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """The LeRobot dataset of every episode with a passing verdict, in the configured formats.

        Brought up to date by appending, replacing and removing episodes; with nothing to do
        nothing is written. Readers never see half a dataset.
        """
        from lerobot_pipelines.defs.shown import shown_dataset

        with dagster_failures():
            workspace = pipeline.workspace(config)
            updates = update_datasets(workspace)
            for update in updates:
                context.log.info(update.summary())
            return dg.MaterializeResult(
                metadata=shown_dataset(workspace.config, updates, workspace.storage.url),
                check_results=_inline_results(workspace, updates),
                tags={naming.DATASET_TAG: name},
            )

    return lerobot_dataset


def dataset_checks(config: DatasetConfig) -> dg.AssetChecksDefinition:
    """The validation of the whole dataset, a step of its own because it reads all of it."""

    @dg.asset_check(
        name=naming.VALIDATES,
        asset=naming.asset_key(config.dataset.name, naming.DATASET),
        description="Every file of the dataset agrees with its metadata, so that it loads and "
        "trains. Pictures are counted, not decoded; `lerobot-pipelines verify` decodes them.",
    )
    def dataset_validates(pipeline: PipelineResource) -> dg.AssetCheckResult:
        with dagster_failures():
            workspace = pipeline.workspace(config)
            reports = {
                _named(workspace, str(fmt), root): _verify(workspace, root)
                for fmt in config.dataset.formats
                for root in dataset_roots(workspace, fmt)
            }
        return dg.AssetCheckResult(
            passed=all(report.ok for report in reports.values()),
            description="; ".join(
                f"{fmt}: {report.episodes} episodes, {report.frames} frames, "
                f"{len(report.findings)} findings"
                for fmt, report in reports.items()
            ),
            metadata={
                fmt: dg.MetadataValue.json(
                    [str(finding) for finding in list(report.findings)[:MOST_FINDINGS]]
                )
                for fmt, report in reports.items()
            },
        )

    return dataset_validates


def refused_episodes(config: DatasetConfig) -> dg.AssetSpec:
    """The list of refused episodes; the dataset's sensor reports it whenever it changes."""
    name = config.dataset.name
    return dg.AssetSpec(
        key=naming.asset_key(name, naming.REFUSED),
        group_name=name,
        deps=[naming.asset_key(name, naming.METADATA)],
        description=(
            "Episodes that are not in the dataset, each with the reason. Reported by the sensor "
            f"`{naming.dataset_sensor(name)}` whenever the list changes; its history shows when "
            "what was refused, and how many there were."
        ),
        kinds={"json"},
        owners=list(config.dataset.owners),
    )


def _inline_results(
    workspace: Workspace, updates: "Sequence[DatasetUpdate]"
) -> list[dg.AssetCheckResult]:
    stale = sorted({key for update in updates for key in update.stale})
    skipped = {key: reason for update in updates for key, reason in update.skipped.items()}
    return [
        dg.AssetCheckResult(
            check_name=UP_TO_DATE,
            passed=is_up_to_date(workspace),
            severity=dg.AssetCheckSeverity.WARN,
            description="not up to date means that an episode came meanwhile; the sensor goes on",
        ),
        dg.AssetCheckResult(
            check_name=NONE_STALE,
            passed=not stale,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(stale)} episodes are of another configuration; backfill them"
            if stale
            else None,
            metadata={"episodes": dg.MetadataValue.json(stale[:MOST_FINDINGS])},
        ),
        dg.AssetCheckResult(
            check_name=NONE_SKIPPED,
            passed=not skipped,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(skipped)} episodes are left out" if skipped else None,
            metadata={
                "episodes": dg.MetadataValue.json(dict(list(skipped.items())[:MOST_FINDINGS]))
            },
        ),
    ]


def _named(workspace: Workspace, fmt: str, root: str) -> str:
    return root if workspace.config.has_dataset_per_episode else fmt


def _verify(workspace: Workspace, prefix: str) -> "VerifyReport":
    from lerobot_pipelines.datasets.verify import verify_dataset

    local = workspace.storage.local_path(prefix)
    if local is not None:
        return verify_dataset(local, decode=False)
    with workspace.scratch() as folder:
        for info in workspace.storage.list(prefix):
            target = Path(folder) / info.key[len(prefix) :].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            workspace.storage.download(info.key, target)
        return verify_dataset(folder, decode=False)
