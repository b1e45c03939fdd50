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
class VerifyReport:
    """The verdict on a dataset. ``format`` is None where there is no dataset at all."""

    root: Path
    format: str | None
    episodes: int
    frames: int
    findings: tuple[Finding, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether the dataset loads and trains: no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "ok": self.ok,
            "format": self.format,
            "episodes": self.episodes,
            "frames": self.frames,
            "findings": [asdict(finding) for finding in self.findings],
        }
