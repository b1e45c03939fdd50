"""All rules between keys, one after another; each yields where and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lerobot_pipelines.config import rules_dataset, rules_features, rules_pictures, rules_storage
from lerobot_pipelines.config.faults import KeyPath
from lerobot_pipelines.config.schema import DatasetConfig

Finding = tuple[KeyPath, str]
Rule = Callable[[DatasetConfig], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    *rules_dataset.RULES,
    *rules_storage.RULES,
    *rules_features.RULES,
    *rules_pictures.RULES,
)


def findings(config: DatasetConfig) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(config)
