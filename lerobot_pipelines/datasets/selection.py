"""Which converted recordings belong to the dataset now, and in which order.

Only records that are new or changed since the last commit are read. Those made by the current
configuration define the schema; older ones stay in while they fit it. Which of the members may
leave is a matter of the ``RemovalRule``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from lerobot_pipelines.datasets.members import (
    Candidate,
    DatasetSchema,
    Member,
    joint_names_remedy,
    schema_difference,
)
from lerobot_pipelines.datasets.reading import Found, RecordReader
from lerobot_pipelines.datasets.records import Record
from lerobot_pipelines.datasets.removal import AS_RECORDED, Leaving, RemovalRule, Withdrawal
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.local_versions import lasting_etag

# lerobot compares timestamps as float32: past 1024 s at 30 or 50 fps neighbours are further from
# 1 / fps than its tolerance, so a correct episode is refused on load (v2.1) or fails at single
# frames (v3.0, where it concerns the time inside one mp4).
MAX_EPISODE_SECONDS = 1024

INCOMPATIBLE = "[incompatible]"


class Left(Record):
    """A record that was read and is not in the dataset."""

    etag: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """``removed``: episode key -> why. ``withheld``: members that would leave, were it allowed;
    ``lost``: members whose record is missing. Both stay as they are."""

    schema: DatasetSchema
    members: tuple[Member, ...]  # in the order of the episodes
    left: dict[str, Left]  # by object key
    added: tuple[str, ...] = ()  # episode keys
    replaced: tuple[str, ...] = ()
    removed: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Known:
    """What is known of the records before a schema is chosen, by object key."""

    members: tuple[Member, ...]
    versions: Mapping[str, str]
    read: Mapping[str, Found]
    left: Mapping[str, Left]  # those that need not be read again
    withdrawn: Mapping[str, Withdrawal]

    @cached_property
    def lost(self) -> frozenset[str]:
        """Members whose record is missing without a reason, or was replaced while it was read."""
        return frozenset(
            one.record_key
            for one in self.members
            if (one.record_key not in self.versions and one.record_key not in self.withdrawn)
            or self.read.get(one.record_key, _NOT_READ) is None
        )

    @cached_property
    def staying(self) -> dict[str, Member]:
        """Members that nothing speaks against, short of another schema."""
        return {
            one.record_key: one
            for one in self.members
            if one.record_key in self.lost
            or (
                one.record_key in self.versions
                and one.record_key not in self.read
                and one.record_key not in self.left
            )
        }


_NOT_READ: Found = Refused(Reason.CONTENT_CHANGED, "not read")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one schema makes of the records."""

    schema: DatasetSchema
    staying: Mapping[str, Member]
    fitting: Mapping[str, Member]
    left: Mapping[str, Left]
    leaving: Leaving


def select(
    records: RecordReader,
    config_hash: str,
    *,
    schema: DatasetSchema | None,
    members: tuple[Member, ...],
    left: Mapping[str, Left],
    judged_by: str | None,
    rule: RemovalRule = AS_RECORDED,
) -> Selection | None:
    """What the dataset should hold, given what it holds; None if it is to be left as it is.

    ``judged_by`` is the configuration that ``left`` was judged by. None is returned while records
    exist but not one of the current configuration: a backfill has not reached the first episode.
    """
    known = _look_at(records, config_hash, members, left, judged_by, rule)
    chosen = _schema(schema, config_hash, known.staying.values(), known.read.values())
    if chosen is None:
        is_named = any(one.on_purpose for one in known.withdrawn.values())
        if schema is None or (known.versions and not is_named):
            return None
        chosen = schema
    if schema is not None and chosen != schema:
        known = _read_all(records, known)
    outcome = _outcome(known, chosen, schema, config_hash)
    if schema is not None and chosen != schema and not _may_switch(outcome, known, rule):
        outcome = _outcome(known, schema, schema, config_hash)
    return _selected(known, outcome, _withheld(outcome, rule, len(members), config_hash))


def _look_at(
    records: RecordReader,
    config_hash: str,
    members: tuple[Member, ...],
    left: Mapping[str, Left],
    judged_by: str | None,
    rule: RemovalRule,
) -> _Known:
    versions = records.versions()
    # Leave to remove members is leave to judge all anew: what is withheld may belong elsewhere now.
    is_judged = judged_by == config_hash and not rule.is_allowed
    settled = {
        key: one
        for key, one in left.items()
        if is_judged and versions.get(key) == lasting_etag(one.etag)
    }
    etags = {one.record_key: lasting_etag(one.etag) for one in members}
    read = {
        key: records.candidate(key, etag)
        for key, etag in versions.items()
        if key not in settled and (rule.is_allowed or etags.get(key) != etag)
    }
    withdrawn = {
        one.record_key: why
        for one in members
        if one.record_key not in versions and (why := rule.why_withdrawn(one.record_key))
    }
    return _Known(members, versions, read, settled, withdrawn)


def _read_all(records: RecordReader, known: _Known) -> _Known:
    """What was left out may fit another schema, and what is in must be judged again."""
    others = {
        key: records.candidate(key, etag)
        for key, etag in known.versions.items()
        if key not in known.read
    }
    return replace(known, read={**known.read, **others}, left={})


def _outcome(
    known: _Known, chosen: DatasetSchema, schema: DatasetSchema | None, config_hash: str
) -> _Outcome:
    staying = known.staying if schema is None or chosen == schema else {}
    verdicts = {
        key: _judge(found, key, known.versions[key], chosen, config_hash)
        for key, found in known.read.items()
        if found is not None
    }
    fitting = {key: one for key, one in verdicts.items() if isinstance(one, Member)}
    left = {**known.left, **{k: one for k, one in verdicts.items() if isinstance(one, Left)}}
    reasons: dict[str, str] = {}
    for one in known.members:
        key = one.record_key
        if key in staying or key in fitting:
            continue
        if key in known.withdrawn:
            reasons[key] = known.withdrawn[key].reason
        else:
            reasons[key] = left[key].reason if key in left else _LOST_AND_UNLIKE
    forced = frozenset(key for key, one in known.withdrawn.items() if one.on_purpose)
    return _Outcome(chosen, staying, fitting, left, Leaving(reasons, forced))


_LOST_AND_UNLIKE = f"{INCOMPATIBLE} its record is lost, and the dataset takes another form"


def _may_switch(outcome: _Outcome, known: _Known, rule: RemovalRule) -> bool:
    """Whether the dataset may take another form now.

    Not while that would cost members which were not refused but only not converted again yet, or
    cannot be, because their recording is in cold storage.
    """
    if rule.may_switch:
        return True
    waiting = [key for key in outcome.leaving.reasons if key not in known.withdrawn]
    return not waiting and rule.permits(outcome.leaving.unforced, len(known.members))


def _withheld(
    outcome: _Outcome, rule: RemovalRule, members: int, config_hash: str
) -> Mapping[str, str]:
    """Which of the leaving members stay as they are, by record key, and why they would leave."""
    reasons = outcome.leaving.reasons
    if not rule.permits(outcome.leaving.unforced, members):
        return {key: why for key, why in reasons.items() if key not in outcome.leaving.forced}
    there = (*outcome.staying.values(), *outcome.fitting.values())
    if rule.may_switch or any(one.config_hash == config_hash for one in there):
        return {}
    # Converted again in a form that the dataset is to take when all of it is.
    return {key: why for key, why in reasons.items() if why.startswith(INCOMPATIBLE)}


def _selected(known: _Known, outcome: _Outcome, withheld: Mapping[str, str]) -> Selection:
    old = {one.record_key: one for one in known.members}
    kept = [
        one
        if one.record_key in withheld
        else outcome.staying.get(one.record_key) or outcome.fitting.get(one.record_key)
        for one in known.members
    ]
    new = sorted(
        (one for key, one in outcome.fitting.items() if key not in old), key=lambda one: one.key
    )
    leaving = outcome.leaving.reasons
    return Selection(
        schema=outcome.schema,
        members=(*(one for one in kept if one is not None), *new),
        left=dict(outcome.left),
        added=tuple(one.key for one in new),
        replaced=tuple(
            one.key for one in kept if one is not None and old[one.record_key].digest != one.digest
        ),
        removed={old[key].key: why for key, why in leaving.items() if key not in withheld},
        withheld={old[key].key: why for key, why in withheld.items()},
        lost=tuple(old[key].key for key in old if key in known.lost and key in outcome.staying),
    )


def _schema(
    schema: DatasetSchema | None,
    config_hash: str,
    staying: Iterable[Member],
    read: Iterable[Found],
) -> DatasetSchema | None:
    """The dataset's schema while a record of the current configuration has it, else theirs: the
    one that most of them have."""
    current = [
        one
        for one in read
        if isinstance(one, Candidate)
        and one.member.config_hash == config_hash
        and _fault(one) is None
    ]
    if schema is not None and (
        any(member.config_hash == config_hash for member in staying)
        or any(_difference(one, schema) is None for one in current)
    ):
        return schema
    if not current:
        return None
    # What most have: the first by name may be the odd one, and would keep all others out.
    kinds = [one.schemas[0].model_dump_json() for one in current]
    return current[kinds.index(Counter(kinds).most_common(1)[0][0])].schemas[0]


def _judge(
    found: Candidate | Refused, key: str, etag: str, schema: DatasetSchema, config_hash: str
) -> Member | Left:
    if isinstance(found, Refused):
        return Left(etag=etag, key=key, reason=str(found))
    fault = _fault(found)
    if fault is None and (difference := _difference(found, schema)):
        fault = f"{INCOMPATIBLE} {difference}; {_remedy(found, schema, config_hash)}"
    return Left(etag=etag, key=found.member.key, reason=fault) if fault else found.member


def _remedy(found: Candidate, schema: DatasetSchema, config_hash: str) -> str:
    if found.member.config_hash != config_hash:
        return "convert it again with the current configuration"
    different = next((one for one in found.schemas if schema_difference(one, schema)), None)
    if different is not None and (joints := joint_names_remedy(different, schema)):
        return joints
    return (
        "it was recorded differently: give such recordings a dataset of their own, or one picture "
        "size (video.size)"
    )


def _difference(found: Candidate, schema: DatasetSchema) -> str | None:
    differences = (schema_difference(one, schema) for one in found.schemas)
    return next(filter(None, differences), None)


def _fault(found: Candidate) -> str | None:
    """What keeps a record out of every dataset."""
    if found.broken_checks:
        return f"[check_failed] {'; '.join(found.broken_checks)}"
    lengths = [segment.length for segment in found.member.segments]
    if not lengths or min(lengths) < 1:
        return f"[{Reason.TOO_FEW_FRAMES}] it has a segment without rows"
    for segment in found.member.segments:
        for camera, video in segment.videos.items():
            if video.frames != segment.length:
                return (
                    f"[{Reason.CORRUPT_ARTIFACT}] {camera} has {video.frames} frames for "
                    f"{segment.length} rows; materialise the episode again"
                )
    fps = found.schemas[0].fps
    if max(lengths) > MAX_EPISODE_SECONDS * fps:
        return (
            f"[{Reason.TOO_LONG}] one episode of {max(lengths) / fps:.0f} s; lerobot accepts "
            f"correct timestamps up to {MAX_EPISODE_SECONDS} s only: split the recording"
        )
    return None
