"""``filtering.strict``: what would be a warning refuses the episode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.records import CheckResult
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeEntry, codes_of, warnings_of

# More would hide the first ones in tables; all are in the manifest.
MAX_TOLD = 3


def refuse_warnings(entries: Iterable[IntakeEntry], config: DatasetConfig) -> None:
    """Raises ``Refused`` (warnings) where the configuration is strict and an entry is a warning."""
    if not config.filtering.strict:
        return
    if warnings := warnings_of(entries):
        told = [
            f"{entry.stream}: {entry.message}" if entry.stream else entry.message
            for entry in warnings[:MAX_TOLD]
        ]
        more = len(warnings) - len(told)
        raise Refused(
            Reason.WARNINGS,
            f"{'; '.join(told)}{f'; and {more} more' if more else ''}. Correct the recording or "
            "the configuration, or convert with filtering.strict: false",
            codes=codes_of(warnings),
        )


def as_strict(checks: Sequence[CheckResult], config: DatasetConfig) -> tuple[CheckResult, ...]:
    """The checks, where the configuration is strict all with severity "error"."""
    if not config.filtering.strict:
        return tuple(checks)
    return tuple(check.model_copy(update={"severity": "error"}) for check in checks)
