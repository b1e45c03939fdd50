"""Which converted recordings belong to the dataset now, and in which order.

Only records that are new or changed since the last commit are read. Those made by the current
configuration define the schema; older ones stay in while they fit it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lerobot_pipelines.datasets.members import (
    Candidate,
    DatasetSchema,
    Member,
    schema_difference,
)
from lerobot_pipelines.datasets.reading import Found, RecordReader
from lerobot_pipelines.datasets.records import Record
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.local_versions import lasting_etag

# lerobot compares timestamps as float32: past 1024 s at 30 or 50 fps neighbours are further from
# 1 / fps than its tolerance, so a correct episode is refused on load (v2.1) or fails at single
# frames (v3.0, where it concerns the time inside one mp4).
MAX_EPISODE_SECONDS = 1024


class Left(Record):
    """A record that was read and is not in the dataset."""

    etag: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    schema: DatasetSchema
    members: tuple[Member, ...]  # in the order of the episodes
    left: dict[str, Left]  # by object key
    added: tuple[str, ...]  # episode keys
    replaced: tuple[str, ...]
    removed: tuple[str, ...]


def select(
    records: RecordReader,
    config_hash: str,
    *,
    schema: DatasetSchema | None,
    members: tuple[Member, ...],
    left: Mapping[str, Left],
    judged_by: str | None,
) -> Selection | None:
    """What the dataset should hold, given what it holds; None if it is to be left as it is.

    ``judged_by`` is the configuration that ``left`` was judged by. None is returned while records
    exist but not one of the current configuration: a backfill has not reached the first episode.
    """
    versions = records.versions()
    old = {member.record_key: member for member in members}
    known = {key: lasting_etag(member.etag) for key, member in old.items()}
    if judged_by == config_hash:
        known |= {key: lasting_etag(one.etag) for key, one in left.items()}
    read = {
        key: records.candidate(key, etag)
        for key, etag in versions.items()
        if known.get(key) != etag
    }
    staying = {key: one for key, one in old.items() if key in versions and key not in read}

    chosen = _schema(schema, config_hash, staying.values(), read.values())
    if chosen is None:
        if versions or schema is None:
            return None
        chosen = schema
    if schema is not None and chosen != schema:
        # What was left out may fit now, and what is in must be judged again.
        read |= {
            key: records.candidate(key, etag) for key, etag in versions.items() if key not in read
        }
        staying = {}

    verdicts = {
        key: _judge(found, key, versions[key], chosen, config_hash)
        for key, found in read.items()
        if found is not None
    }
    fitting = {key: one for key, one in verdicts.items() if isinstance(one, Member)}
    kept = [staying.get(one.record_key) or fitting.get(one.record_key) for one in members]
    new = sorted((one for key, one in fitting.items() if key not in old), key=lambda one: one.key)
    return Selection(
        schema=chosen,
        members=(*(one for one in kept if one is not None), *new),
        left={key: one for key, one in left.items() if key in versions and key not in read}
        | {key: one for key, one in verdicts.items() if isinstance(one, Left)},
        added=tuple(one.key for one in new),
        replaced=tuple(
            one.key for one in kept if one is not None and old[one.record_key].digest != one.digest
        ),
        removed=tuple(was.key for was, now in zip(members, kept, strict=True) if now is None),
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
        fault = f"[incompatible] {difference}; {_remedy(found, config_hash)}"
    return Left(etag=etag, key=found.member.key, reason=fault) if fault else found.member


def _remedy(found: Candidate, config_hash: str) -> str:
    if found.member.config_hash != config_hash:
        return "convert it again with the current configuration"
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
