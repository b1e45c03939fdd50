"""What is refused because it asks for more than ``limits`` allows."""

from __future__ import annotations

from lerobot_pipelines.config.schema import LimitsConfig
from lerobot_pipelines.errors import Reason, Refused


def above_limit(what: str, found: int, unit: str, key: str, limit: int) -> Refused:
    """The refusal (too_large) of ``what``, which has ``found`` of a unit; ``key`` is the limit."""
    return Refused(
        Reason.TOO_LARGE,
        f"{what} has {found:,} {unit}, more than the {limit:,} that limits.{key} allows; raise it "
        "and retry the episode if the recording is as meant",
        limit=key,
    )


def require_table(what: str, rows: int, values: int, limits: LimitsConfig) -> None:
    """Raises ``Refused`` for more rows, or numbers in the columns asked for, than are allowed."""
    if rows > limits.rows:
        raise above_limit(what, rows, "rows", "rows", limits.rows)
    if values > limits.values:
        raise above_limit(what, values, "values in the columns used", "values", limits.values)
