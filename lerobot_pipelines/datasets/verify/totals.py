"""Counts in meta/info.json against what the metadata lists."""

from __future__ import annotations

from collections.abc import Sequence

from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.view import Episode, Info

WHERE = "meta/info.json"


def check_totals(
    info: Info, episodes: Sequence[Episode], tasks: Sequence[str], findings: Findings
) -> None:
    counted = {
        "total_episodes": len(episodes),
        "total_frames": sum(episode.length for episode in episodes),
        "total_tasks": len(tasks),
    }
    for key, expected in counted.items():
        if getattr(info, key) != expected:
            findings.error("bad_total", WHERE, f"{key} is {getattr(info, key)}, counted {expected}")
    if len(set(tasks)) != len(tasks):
        findings.error("duplicate_task", "meta/tasks", "the same task has several numbers")


def check_splits(info: Info, findings: Findings) -> None:
    for name, span in info.splits.items():
        first, _, last = span.partition(":")
        if not (first.isdigit() and last.isdigit() and int(last) <= info.total_episodes):
            findings.error(
                "bad_split",
                WHERE,
                f"split {name} is {span!r}, but there are {info.total_episodes} episodes",
            )
