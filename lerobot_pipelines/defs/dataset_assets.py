"""The dataset of all episodes as one asset, its checks, and the list of refused episodes."""

# No postponed annotations here: Dagster looks at the type of ``context`` itself.

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming
from lerobot_pipelines.defs.faults import RETRIES, dagster_failures
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.pipeline.dataset import dataset_roots, is_up_to_date
from lerobot_pipelines.pipeline.metadata import CODE_VERSION
from lerobot_pipelines.pipeline.updating import update_and_heal
from lerobot_pipelines.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from lerobot_pipelines.datasets import DatasetUpdate
    from lerobot_pipelines.datasets.verify import VerifyReport

UP_TO_DATE = "dataset_up_to_date"
NONE_STALE = "no_stale_episodes"
NONE_SKIPPED = "no_skipped_episodes"
NONE_WITHHELD = "no_withheld_removals"

INLINE_CHECKS: Mapping[str, str] = {
    UP_TO_DATE: "The dataset holds exactly the episodes that are ready now.",
    NONE_STALE: "Every episode was made with the configuration as it is now.",
    NONE_SKIPPED: "Every episode with a passing verdict is in the dataset.",
    NONE_WITHHELD: "No episode is kept in the dataset that should leave it.",
}
MOST_FINDINGS = 50


class DatasetRun(dg.Config):
    """In the launchpad: ``ops: {<dataset>__lerobot_dataset: {config: {allow_removal: true}}}``."""

    allow_removal: bool = Field(
        default=False,
        description="Let episodes leave the dataset that are refused or unlike it now, however "
        "many. Without it none does where it would be more than a quarter of them, or the last.",
    )


def dataset_asset(settings: DatasetConfig) -> dg.AssetsDefinition:
    name = settings.dataset.name
    key = naming.asset_key(name, naming.DATASET)

    @dg.asset(
        key=key,
        group_name=name,
        deps=[naming.asset_key(name, naming.METADATA)],
        code_version=f"{CODE_VERSION}-{dataset_hash(settings)[:12]}",
        kinds={"lerobot", "parquet", "video"},
        owners=list(settings.dataset.owners),
        tags={"format": "-".join(settings.dataset.formats)},
        pool=naming.writer_pool(name),
        retry_policy=RETRIES,
        check_specs=[
            dg.AssetCheckSpec(check, asset=key, description=description)
            for check, description in INLINE_CHECKS.items()
        ],
    )
    def lerobot_dataset(
        context: dg.AssetExecutionContext, pipeline: PipelineResource, config: DatasetRun
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """The LeRobot dataset of every episode with a passing verdict, in the configured formats.

        Brought up to date by appending, replacing and removing episodes; with nothing to do
        nothing is written. Readers never see half a dataset. Where more than a quarter of the
        episodes would leave, or the last one, none does without `allow_removal: true` in the run's
        configuration.
        """
        from lerobot_pipelines.defs.shown_dataset import shown_dataset

        with dagster_failures():
            workspace = pipeline.workspace(settings)
            updates = update_and_heal(workspace, allow_removal=config.allow_removal)
            for update in updates:
                context.log.info(update.summary())
                for key in update.removed:
                    context.log.warning(f"{key} left: {update.why_removed.get(key)}")
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
    withheld = {key: reason for update in updates for key, reason in update.withheld.items()}
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
        dg.AssetCheckResult(
            check_name=NONE_WITHHELD,
            passed=not withheld,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(withheld)} episodes are kept as they were; a run with "
            "`allow_removal: true` lets them go"
            if withheld
            else None,
            metadata={
                "episodes": dg.MetadataValue.json(dict(list(withheld.items())[:MOST_FINDINGS]))
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
