"""The state of an episode now, and why: decided here, by value, and nowhere else.

Sensor, rescan, ``scan``, ``monitor``, ``retry``, ``convert`` and the dataset gather what they can
afford to look at (the episode's files, its record, its refusal, the dataset's ledger) and ask
``decide``. So they may know more or less than one another, but never disagree about the same facts.
Reading those facts is not done here; see ``sightings`` and ``verdicts``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.intake_summary import IntakeSummary, summary_of
from lerobot_pipelines.datasets.members import Member
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Reason
from lerobot_pipelines.pipeline import aligned, metadata, raw, videos
from lerobot_pipelines.pipeline.artifacts import (
    ANY_CONFIGURATION,
    CLEARED_STAGE,
    REMOVED_STAGE,
    FailureRecord,
)
from lerobot_pipelines.pipeline.metadata import CODE_VERSION

# What each step's refusal depends on; a verdict on a whole episode depends on all of it.
STEP_HASHES: Mapping[str, Callable[[DatasetConfig], str]] = {
    raw.STAGE: raw_hash,
    aligned.STAGE: alignment_hash,
    videos.STAGE: video_hash,
    metadata.STAGE: dataset_hash,
    REMOVED_STAGE: lambda config: ANY_CONFIGURATION,
    CLEARED_STAGE: lambda config: ANY_CONFIGURATION,
}


class State(StrEnum):
    """Shown to people and in JSON: never rename one."""

    WAITING = "waiting"  # not complete yet; the sensor does not take it so far
    NEW = "new"  # complete, and this content was never brought to an end
    CHANGED = "changed"  # its content is another one than was converted or refused
    REOPENED = "reopened"  # refused under another configuration; this one may let it in
    DAMAGED = "damaged"  # converted, but part of what was made of it is missing or broken
    STALE = "stale"  # in order, but of another configuration or program: a backfill's business
    CONVERTED = "converted"
    REFUSED = "refused"
    CLEARED = "cleared"  # refused, and set aside by a person until its content changes
    GONE = "gone"  # its recording is not in the bucket; what was made of it stays


# What is converted without being asked for, as soon as it is seen ...
TAKEN_AT_SIGHT = frozenset({State.NEW, State.CHANGED})
# ... and by the rescan, which looks at everything.
TAKEN_BY_RESCAN = TAKEN_AT_SIGHT | {State.REOPENED, State.DAMAGED}
# What the datasets may hold, or hold already.
HOLDS_ROWS = frozenset({State.CONVERTED, State.STALE, State.DAMAGED})


@dataclass(frozen=True, slots=True)
class Content:
    """What the listing says of the episode's files: an empty ``fingerprint`` says there are none.

    ``waiting``: why they are not complete yet. ``earlier``: how an earlier version of the program
    wrote the fingerprint of the very same files, see ``identity``.
    """

    fingerprint: str
    waiting: str | None = None
    earlier: str | None = None

    def is_of(self, fingerprint: str | None) -> bool:
        """Whether a fingerprint that was written down stands for these files."""
        return (fingerprint or "") in (self.fingerprint, self.earlier)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an earlier conversion came to, and for what. None: not known.

    ``reason`` is a code of ``errors.Reason``, or ``check:<name>`` for a broken promise; "" for an
    episode that ``passed``.
    """

    passed: bool
    fingerprint: str | None
    config_hash: str | None
    stage: str = metadata.STAGE
    code_version: str | None = None
    reason: str = ""
    message: str = ""
    rows: int | None = None
    warnings: tuple[str, ...] = ()  # codes of those it was converted with


@dataclass(frozen=True, slots=True)
class Versions:
    """What a conversion would be made with now: the configuration, by stage, and the program."""

    config_hashes: Mapping[str, str]
    code_version: str = CODE_VERSION

    def difference(self, verdict: Verdict) -> str | None:
        """What the verdict was given with that is another one now, as a clause."""
        now = self.config_hashes.get(verdict.stage, self.config_hashes[metadata.STAGE])
        if verdict.config_hash != now:
            return "with another configuration"
        if verdict.code_version not in (None, self.code_version):
            return f"by version {verdict.code_version} of the program"
        return None


@dataclass(frozen=True, slots=True)
class EpisodeState:
    """``why`` is a sentence for people, None where the state says all."""

    state: State
    why: str | None = None
    verdict: Verdict | None = None  # the one that the state rests on

    @property
    def rows(self) -> int | None:
        return self.verdict.rows if self.verdict and self.state in HOLDS_ROWS else None


def versions_of(config: DatasetConfig) -> Versions:
    return Versions({stage: hash_of(config) for stage, hash_of in STEP_HASHES.items()})


def decide(
    content: Content | None,
    verdicts: Sequence[Verdict],
    now: Versions,
    *,
    damage: str | None = None,
    is_wished: bool = False,
) -> EpisodeState:
    """The state, from whatever is known.

    ``content``: None where the files were not looked at; the verdicts are then taken at their word.
    ``verdicts``: at most one from the record (or the ledger, which has read it) and one refusal.
    ``damage``: what is missing or broken of the artifacts, or of the verdict itself.
    ``is_wished``: an operator wants another attempt.
    """
    if content is not None and not content.fingerprint and any(one.passed for one in verdicts):
        return _gone(verdicts)
    found = [one for one in verdicts if content is None or content.is_of(one.fingerprint)]
    # A killed step leaves a record and a refusal: the one that suits the present counts.
    told = min(found, key=lambda one: now.difference(one) is not None, default=None)
    if told is None:
        return _without_verdict(content, verdicts, damage, is_wished)
    difference = now.difference(told)
    if not told.passed:
        why = f"{told.reason}: {told.message}"
        if told.stage == CLEARED_STAGE:
            return EpisodeState(State.CLEARED, f"set aside as it is ({why})", told)
        if difference is None:
            return EpisodeState(State.REFUSED, why, told)
        return EpisodeState(State.REOPENED, f"refused {difference} ({why})", told)
    if damage is not None:
        return EpisodeState(State.DAMAGED, damage, told)
    if difference is not None:
        return EpisodeState(State.STALE, f"converted {difference}", told)
    return EpisodeState(State.CONVERTED, None, told)


def _gone(verdicts: Sequence[Verdict]) -> EpisodeState:
    kept = next(one for one in verdicts if one.passed)
    why = "its recording is not in the bucket; what was made of it stays"
    return EpisodeState(State.GONE, why, kept)


def without_recording(state: EpisodeState) -> EpisodeState | None:
    """That of an episode whose verdicts gave ``state``, and whose recording is not listed; None if
    nothing but a refusal is left of it."""
    verdict = state.verdict
    return _gone([verdict]) if verdict is not None and verdict.passed else None


def _without_verdict(
    content: Content | None, verdicts: Sequence[Verdict], damage: str | None, is_wished: bool
) -> EpisodeState:
    if content is not None and content.waiting is not None:
        return EpisodeState(State.WAITING, content.waiting)
    if verdicts:
        was = "converted" if any(one.passed for one in verdicts) else "refused"
        return EpisodeState(State.CHANGED, f"its content changed since it was {was}")
    if damage is not None:
        return EpisodeState(State.DAMAGED, damage)
    return EpisodeState(State.NEW, "to be tried again, as asked for" if is_wished else None)


def verdict_of_record(record: EpisodeRecord) -> Verdict:
    broken = [one for one in record.checks if not one.passed and one.severity == "error"]
    return Verdict(
        passed=not broken,
        fingerprint=record.fingerprint,
        config_hash=record.config_hash,
        code_version=record.code_version,
        reason=f"check:{broken[0].name}" if broken else "",
        message="; ".join(one.description for one in broken),
        rows=sum(segment.length for segment in record.segments),
        warnings=_codes(summary_of(record)),
    )


def verdict_of_failure(failure: FailureRecord) -> Verdict:
    return Verdict(
        passed=False,
        fingerprint=failure.fingerprint,
        config_hash=failure.config_hash,
        stage=failure.stage,
        reason=failure.reason,
        message=failure.message,
    )


def verdict_of_member(member: Member) -> Verdict:
    """Of an episode in the dataset, whose record is still as the ledger has read it."""
    return Verdict(
        passed=True,
        fingerprint=member.fingerprint,
        config_hash=member.config_hash,
        code_version=member.code_version,
        rows=sum(segment.length for segment in member.segments),
        warnings=_codes(member.intake),
    )


def _codes(summary: IntakeSummary | None) -> tuple[str, ...]:
    return () if summary is None else tuple(summary.warnings)


def bad_name(fault: str) -> EpisodeState:
    """Of a folder whose name cannot be an episode's."""
    verdict = Verdict(False, None, None, reason=str(Reason.BAD_NAME), message=fault)
    return EpisodeState(State.REFUSED, f"{Reason.BAD_NAME}: {fault}", verdict)


def with_damage(state: EpisodeState, damage: str | None) -> EpisodeState:
    """The same state, once the artifacts of the episode were looked at as well.

    ``damage`` is known of episodes alone that were converted; one without a record looks new.
    """
    if damage is None or state.state not in (State.NEW, *HOLDS_ROWS):
        return state
    return replace(state, state=State.DAMAGED, why=damage)
