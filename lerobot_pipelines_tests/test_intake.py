"""Entries of one kind are one line; faults become entries."""

from __future__ import annotations

from lerobot_pipelines.intake import Intake, IntakeCode, Severity, entries_of_faults
from lerobot_pipelines.model import Fault


def test_equal_entries_are_one_with_their_counts_added() -> None:
    intake = Intake()
    intake.warn(IntakeCode.DISORDER, "joints", "out of order", count=2, start_ns=5)
    intake.warn(IntakeCode.DISORDER, "joints", "out of order", count=3, start_ns=9)
    intake.note(IntakeCode.UNUSED, "", "column x is not used")
    first, second = intake.entries
    assert (first.count, first.start_ns, first.severity) == (5, 5, Severity.WARNING)
    assert (second.code, second.severity) == (IntakeCode.UNUSED, Severity.NOTE)


def test_faults_are_warnings_unless_nothing_is_lost() -> None:
    lost, harmless = entries_of_faults(
        [Fault("cam", "a.jpg", "truncated", 3), Fault("cam", "start", "before_key_frame", 9)]
    )
    assert (lost.severity, lost.count, lost.stream) == (Severity.WARNING, 3, "cam")
    assert lost.details == {"reason": "truncated", "where": "a.jpg"}
    assert harmless.severity is Severity.NOTE
