"""What the UI shows of a dataset after an update, and of the episodes that were refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets import DatasetUpdate
from lerobot_pipelines.defs.tables import MOST_ROWS, table
from lerobot_pipelines.pipeline.artifacts import FailureRecord


def shown_dataset(
    config: DatasetConfig, updates: Iterable[DatasetUpdate], url: str
) -> dict[str, dg.MetadataValue]:
    updates = list(updates)
    rows = [
        {
            "format": str(update.format),
            "change": update.kind,
            "episodes": update.episodes,
            "frames": update.frames,
            "added": len(update.added),
            "replaced": len(update.replaced),
            "removed": len(update.removed),
            "skipped": len(update.skipped),
            "stale": len(update.stale),
            "location": f"{url.rstrip('/')}/{update.root}",
        }
        for update in updates
    ]
    counts = dict.fromkeys(
        ("episodes", "frames", "added", "replaced", "removed", "skipped", "stale"), "int"
    )
    columns = {"format": "string", "change": "string", **counts, "location": "string"}
    skipped = [
        {"episode": key, "reason": reason}
        for key, reason in (updates[0].skipped if updates else {}).items()
    ]
    episodes = updates[0].episodes if updates else 0
    frames = updates[0].frames if updates else 0
    return {
        "summary": dg.MetadataValue.md("\n".join(f"- {update.summary()}" for update in updates)),
        "formats": table(rows, columns),
        "episodes": dg.MetadataValue.int(episodes),
        "dagster/row_count": dg.MetadataValue.int(frames),
        "minutes": dg.MetadataValue.float(round(frames / config.dataset.fps / 60, 3)),
        "changed": dg.MetadataValue.bool(any(update.changed for update in updates)),
        "skipped_episodes": table(skipped, {"episode": "string", "reason": "string"}),
        "stale_episodes": dg.MetadataValue.json(list(updates[0].stale[:MOST_ROWS]))
        if updates
        else dg.MetadataValue.json([]),
        "removed_episodes": table(
            [{"episode": key, "reason": why} for key, why in _removed(updates).items()],
            {"episode": "string", "reason": "string"},
        ),
        "load_with": dg.MetadataValue.md(_how_to_load(config, rows)),
    }


def _removed(updates: Sequence[DatasetUpdate]) -> Mapping[str, str]:
    return updates[0].why_removed if updates else {}


def shown_refusals(failures: Iterable[FailureRecord]) -> dict[str, dg.MetadataValue]:
    failures = list(failures)
    reasons: dict[str, int] = {}
    for failure in failures:
        reasons[failure.reason] = reasons.get(failure.reason, 0) + 1
    rows = [
        {
            "episode": failure.key,
            "reason": failure.reason,
            "step": failure.stage,
            "message": failure.message,
        }
        for failure in failures
    ]
    columns = {"episode": "string", "reason": "string", "step": "string", "message": "string"}
    return {
        "refused": dg.MetadataValue.int(len(failures)),
        "by_reason": table(
            [{"reason": reason, "episodes": count} for reason, count in sorted(reasons.items())],
            {"reason": "string", "episodes": "int"},
        ),
        "episodes": table(rows, columns),
    }


def _how_to_load(config: DatasetConfig, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    location = str(rows[-1]["location"])
    root = location.removeprefix("file://")
    return (
        "```python\nfrom lerobot.datasets.lerobot_dataset import LeRobotDataset\n\n"
        f'dataset = LeRobotDataset("{config.dataset.name}", root="{root}")\n```'
    )
