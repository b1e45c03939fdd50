"""What verification found, for people and for scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

# One broken rule can hold for a million rows; the first few say all there is to say.
MOST_OF_ONE_CODE = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` is stable, for scripts; ``where`` is a file, or a file and a row or episode."""

    code: str
    severity: Literal["error", "warning"]
    where: str
    message: str


class Findings:
    """Collects findings; of one code it keeps the first few and says how many more there were."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._counts: dict[str, int] = {}

    def error(self, code: str, where: str, message: str) -> None:
        self._add(Finding(code, "error", where, message))

    def warning(self, code: str, where: str, message: str) -> None:
        self._add(Finding(code, "warning", where, message))

    @property
    def found(self) -> list[Finding]:
        more = [
            Finding(code, self._severity(code), "", f"{count - MOST_OF_ONE_CODE} more like these")
            for code, count in self._counts.items()
            if count > MOST_OF_ONE_CODE
        ]
        return self._kept + more

    def _add(self, finding: Finding) -> None:
        count = self._counts[finding.code] = self._counts.get(finding.code, 0) + 1
        if count <= MOST_OF_ONE_CODE:
            self._kept.append(finding)

    def _severity(self, code: str) -> Literal["error", "warning"]:
        return next(finding.severity for finding in self._kept if finding.code == code)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A warning that one recording was converted with."""

    recording: str
    code: str
    stream: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class Conversion:
    """``warnings`` counts all of them, ``listed`` holds the first ones of each recording.

    ``unreported`` are recordings that were converted before there was a report.
    """

    recordings: int
    unreported: int
    warnings: int
    listed: tuple[Doubt, ...]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The verdict on a dataset. ``format`` is None where there is no dataset at all.

    ``conversion`` is None for datasets that do not tell of it: those of other programs.
    """

    root: Path
    format: str | None
    episodes: int
    frames: int
    findings: tuple[Finding, ...] = field(default=())
    conversion: Conversion | None = None

    @property
    def ok(self) -> bool:
        """Whether the dataset loads and trains: no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def is_doubtless(self) -> bool:
        """Whether it is sound, and was converted without a warning as far as it tells."""
        return not self.findings and (self.conversion is None or not self.conversion.warnings)

    @property
    def verdict(self) -> str:
        """``sound`` alone is said only of what is sound without reservation."""
        if not self.ok:
            return "defective"
        minor = len(self.findings)
        parts = [_counted(minor, "warning")] if minor else []
        if self.conversion is not None and self.conversion.warnings:
            parts.append(f"{_counted(self.conversion.warnings, 'warning')} at conversion")
        return f"sound, with {' and '.join(parts)}" if parts else "sound"

    def to_json(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "ok": self.ok,
            "verdict": self.verdict,
            "format": self.format,
            "episodes": self.episodes,
            "frames": self.frames,
            "findings": [asdict(finding) for finding in self.findings],
            "conversion": None if self.conversion is None else asdict(self.conversion),
        }


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
