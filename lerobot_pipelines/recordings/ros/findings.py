"""What is noted of one stream while its messages are looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import Intake
from lerobot_pipelines.recordings.ros.damage import Damage
from lerobot_pipelines.recordings.ros.plan import StreamPlan
from lerobot_pipelines.recordings.ros.tally import Faults


@dataclass(slots=True)
class Findings:
    """Shared by what looks at the messages of one stream and what puts them together.

    ``faults`` and ``intake`` are the recording's, ``damage`` and ``details`` the stream's own.
    """

    plan: StreamPlan
    faults: Faults
    intake: Intake
    damage: Damage = field(default_factory=Damage)
    details: dict[str, Any] = field(default_factory=dict)
    last_error: str = ""

    def lost(self, where: str, reason: str, count: int = 1) -> None:
        """Messages that hold nothing usable."""
        if count:
            self.damage.reasons[reason] += count
            self.faults.add(self.plan.name, where, reason, count)

    def refused(self, text: str) -> Refused:
        """A refusal (missing_field) that names the stream and its topic."""
        return Refused(
            Reason.MISSING_FIELD,
            f"stream {self.plan.name} (topic {self.plan.topic.name}): {text}",
        )


def where_received(received_ns: int) -> str:
    """The place of a message in the words of a fault."""
    return f"message received at {received_ns} ns"
