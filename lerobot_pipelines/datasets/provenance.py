"""``meta/provenance.jsonl``: what each recording of a dataset was, and what was in doubt about it.

One line per recording, in the order of the episodes. lerobot reads neither format's datasets by
listing ``meta/`` itself, so it never looks at the file; ``verify`` does.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from lerobot_pipelines.datasets.contents import Contents
from lerobot_pipelines.datasets.intake_summary import IntakeSummary
from lerobot_pipelines.datasets.members import Member

PROVENANCE_PATH = "meta/provenance.jsonl"


class ProvenanceLine(BaseModel):
    """One recording. ``episodes`` are the first and the last of its LeRobot episodes.

    ``intake`` is None where the recording was converted before there was a report. The fingerprint
    is not told: it depends on the store, and the same recordings make the same dataset anywhere.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    recording: str
    episodes: tuple[int, int]
    source: str | None = None
    config_hash: str = ""
    code_version: str = ""
    intake: IntakeSummary | None = None


def provenance(contents: Contents) -> bytes:
    """JSON lines, ASCII only: names and messages in it come from recordings."""
    lines, first = [], 0
    for member in contents.members:
        lines.append(_line(member, first))
        first += len(member.segments)
    return b"".join(lines)


def _line(member: Member, first: int) -> bytes:
    line = ProvenanceLine(
        recording=member.key,
        episodes=(first, first + len(member.segments) - 1),
        source=member.source,
        config_hash=member.config_hash,
        code_version=member.code_version,
        intake=member.intake,
    )
    value: dict[str, Any] = line.model_dump(mode="json")
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode() + b"\n"
