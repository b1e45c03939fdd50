"""The intake report: what was assumed, passed over, repaired, put in order or left out.

One kind of entry for everything that a person has to know before trusting a converted episode.
Readers and the alignment write entries; ``inspect``, ``convert``, the manifest, the UI, ``monitor``
and the provenance of the dataset show the same ones. What was left out as damaged stays a
``model.Fault`` inside a reader; ``entries_of_faults`` makes entries of these too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerobot_pipelines.model import Fault


class Severity(StrEnum):
    """How much an entry matters, least first."""

    NOTE = "note"  # worth knowing; nothing is in doubt
    WARNING = "warning"  # the result may be other than a person expects; ``--strict`` refuses it
    REFUSAL = "refusal"  # the episode, or the stream, is not converted for it


class IntakeCode(StrEnum):
    """What an entry is about. Stored, listed and counted: never rename one."""

    FAULT = "fault"  # samples, pictures or files left out; ``details["reason"]`` says why
    JOINT_ORDER = "joint_order"  # messages list the same joints in other orders; names followed
    JOINT_SETS = "joint_sets"  # messages name different sets of joints
    PARTIAL_MESSAGES = "partial_messages"  # messages with a part of the joints, set aside or merged
    SCHEMA_CHANGED = "schema_changed"  # dimension, encoding, picture size or frame id changed
    CLOCK_STEP = "clock_step"  # the clock jumped: a hole in time
    DISORDER = "disorder"  # stamps out of order by no more than jitter, put in order
    CLOCK_OFFSET = "clock_offset"  # streams' clocks differ: offset, drift or jitter
    CLOCK_CHOICE = "clock_choice"  # which clock was taken instead of the configured one, and why
    UNUSED = "unused"  # a column, topic, field, joint, folder or file that no stream uses
    UNREAD = "unread"  # content that cannot be read: a type, an encoding, a container
    COUNT_MISMATCH = "count_mismatch"  # two lists that should be as long as each other are not
    UNIT_ASSUMED = "unit_assumed"  # a unit taken from a convention
    UNIT_DOUBTFUL = "unit_doubtful"  # values that hardly are in the unit expected of them
    RANGE = "range"  # values or pixels at the end of their range, or without a measurement
    NAME_FORM = "name_form"  # how the names of files were read
    TEXT = "text"  # how a text was decoded, shortened or cleaned
    LABEL_FALLBACK = "label_fallback"  # a task or label that was not given, or could not be read
    LIMIT = "limit"  # a size or count above a limit
    REPAIRED = "repaired"  # an index, container or picture mended while it was read
    RATE = "rate"  # what is known of a rate, and where it is in doubt


@dataclass(frozen=True, slots=True)
class IntakeEntry:
    """One line of the report.

    ``stream`` is the stream's name, "" for the whole recording. ``message`` is one sentence that
    names what was found and, where there is one, the remedy. ``count`` is the number of samples,
    pictures, columns, ... it concerns. ``start_ns`` and ``end_ns`` say where in the recording's
    time, None where it has no place in time. ``details`` holds plain JSON values.
    """

    code: IntakeCode
    severity: Severity
    stream: str
    message: str
    count: int = 1
    start_ns: int | None = None
    end_ns: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Intake:
    """Collects entries; those of one stream, code and message are one, with their counts added."""

    def __init__(self, entries: Iterable[IntakeEntry] = ()) -> None:
        self._entries: dict[tuple[str, str, str], IntakeEntry] = {}
        self.extend(entries)

    def add(self, entry: IntakeEntry) -> None:
        key = (entry.stream, str(entry.code), entry.message)
        known = self._entries.get(key)
        self._entries[key] = (
            entry if known is None else replace(known, count=known.count + entry.count)
        )

    def extend(self, entries: Iterable[IntakeEntry]) -> None:
        for entry in entries:
            self.add(entry)

    def note(self, code: IntakeCode, stream: str, message: str, **more: Any) -> None:
        """``more``: count, start_ns, end_ns, details of ``IntakeEntry``."""
        self.add(IntakeEntry(code, Severity.NOTE, stream, message, **more))

    def warn(self, code: IntakeCode, stream: str, message: str, **more: Any) -> None:
        """``more``: count, start_ns, end_ns, details of ``IntakeEntry``."""
        self.add(IntakeEntry(code, Severity.WARNING, stream, message, **more))

    @property
    def entries(self) -> tuple[IntakeEntry, ...]:
        return tuple(self._entries.values())


def warnings_of(entries: Iterable[IntakeEntry]) -> list[IntakeEntry]:
    """Those that put the result in doubt, in their order."""
    return [entry for entry in entries if entry.severity != Severity.NOTE]


def codes_of(entries: Iterable[IntakeEntry]) -> dict[str, int]:
    """How many entries there are of each code, by code."""
    counts = Counter(str(entry.code) for entry in entries)
    return dict(sorted(counts.items()))


# Faults that lose nothing a person would miss; all others are warnings.
_HARMLESS_FAULTS = frozenset({"before_key_frame", "duplicate_stamp", "index_rebuilt"})


def entries_of_faults(faults: Iterable[Fault]) -> list[IntakeEntry]:
    """The faults of a recording as entries of the report, in their order."""
    return [
        IntakeEntry(
            IntakeCode.FAULT,
            Severity.NOTE if fault.reason in _HARMLESS_FAULTS else Severity.WARNING,
            fault.stream,
            f"{fault.reason} at {fault.where}; left out",
            fault.count,
            details={"reason": fault.reason, "where": fault.where},
        )
        for fault in faults
    ]
