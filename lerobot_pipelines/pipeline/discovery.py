"""Which episodes the bucket holds, and which objects each is made of.

Keys are paths below the raw prefix. With ``storage.sources`` each source is a raw prefix of its own
below it, and its name is the first part of its episodes' keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import EpisodeSource, Member
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.listing import (
    Listing,
    look,
    marker_name,
    sign_folders,
    sign_names,
    source_of,
)
from lerobot_pipelines.pipeline.tree import Probes, episode_keys_below
from lerobot_pipelines.recordings.layout import (
    UPLOADING_NAME,
    EpisodeLayout,
    Section,
    beside,
    is_bag,
    is_file_key,
)
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines.storage.local_versions import lasting_etag
from lerobot_pipelines.storage.names import join

__all__ = [
    "ABANDONED_AFTER_S",
    "SECOND_NS",
    "Names",
    "episode_source",
    "fingerprint",
    "list_bad_names",
    "list_episode_keys",
    "list_members",
    "list_names",
    "readiness",
    "source_of",
    "task_of",
    "upload_signs",
    "why_not_ready",
]

SECOND_NS = 1_000_000_000

# An upload that stands still for so long was given up: let it be refused where people see it.
ABANDONED_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Names:
    """``keys`` in UTF-8 byte order; ``bad``: names that cannot be partitions, and why not;
    ``unreadable``: folders that this user may not list, and what helps; ``bags``: those that are
    passed over because the configuration names no topic."""

    keys: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    bags: tuple[str, ...] = ()


def list_names(
    storage: Storage,
    config: DatasetConfig,
    *,
    known: Collection[str] = frozenset(),
    probes: Probes | None = None,
) -> Names:
    """All episodes, from one walk over listings of folders only.

    Folders in ``known`` are episodes without a look into them: a bucket of 100,000 costs a hundred
    requests instead of 100,000. ``probes`` bounds how many others are looked into; those left over
    are missing from the answer. Bags are left out where no stream or camera has a topic.
    """
    reads_bags = _reads_bags(config)
    keys: list[str] = []
    bad: list[tuple[str, str]] = []
    bags: list[str] = []
    unreadable: list[tuple[str, str]] = []
    for key in episode_keys_below(storage, config, known, probes, unreadable):
        if is_bag(key) and not reads_bags:
            bags.append(key)
        elif key in known or (fault := _fault(key)) is None:
            keys.append(key)
        else:
            bad.append((key, fault))
    return Names(tuple(keys), tuple(bad), tuple(sorted(set(unreadable))), tuple(bags))


def list_episode_keys(storage: Storage, config: DatasetConfig) -> Iterator[str]:
    """The keys of all episodes, in UTF-8 byte order; see ``list_names``."""
    return iter(list_names(storage, config).keys)


def list_bad_names(storage: Storage, config: DatasetConfig) -> Iterator[tuple[str, str]]:
    """Episodes whose names cannot be partitions, each with the reason as a sentence."""
    return iter(list_names(storage, config).bad)


def list_members(storage: Storage, config: DatasetConfig, key: str) -> tuple[Member, ...]:
    """The objects that an episode is made of, by path; empty if there are none.

    Hidden and unfinished files, markers and files of other kinds are no members. Raises ``Refused``
    (bad_name) for a key that is none.
    """
    return look(storage, config, key).members


def fingerprint(members: Sequence[Member]) -> str:
    """SHA-256 over path, size and ETag of the members in any order: 64 hexadecimal digits.

    The ETag is the store's: the MD5 of the content in a bucket, size and modification time in a
    folder. Members that an earlier version wrote down count as they would be listed today.
    """
    digest = hashlib.sha256()
    for member in sorted(members, key=lambda member: member.path.encode()):
        etag = lasting_etag(member.etag)
        digest.update(f"{member.path}\0{member.size}\0{etag}\n".encode())
    return digest.hexdigest()


def episode_source(key: str, root: Path, members: Sequence[Member], uri: str) -> EpisodeSource:
    """The episode as local files below ``root``, the folder that stands for the raw prefix."""
    return EpisodeSource(key, root, tuple(members), uri)


def readiness(
    storage: Storage, config: DatasetConfig, key: str, members: Sequence[Member], now_ns: int
) -> str | None:
    """Why the episode should not be converted yet, or None if it is ready.

    A marker (``scanner.marker``, else ``_READY`` as the publisher writes it) makes it ready at
    once; with ``scanner.marker`` nothing else does. One whose publisher is at work, or died, waits.
    Otherwise a folder has enough files, and joints as well as images where the configuration wants
    both; and nothing of an episode was touched for the quiet period. One that stays incomplete for
    an hour counts as ready: it will be refused, with a reason that people see.
    """
    listing = look(storage, config, key, with_signs=True)
    return why_not_ready(config, key, listing, members, now_ns)


def why_not_ready(
    config: DatasetConfig, key: str, found: Listing, members: Sequence[Member], now_ns: int
) -> str | None:
    """``readiness`` of an episode that was looked at already, with its signs."""
    scanner = config.storage.scanner
    if marker_name(config) in found.signs:
        return None
    if UPLOADING_NAME in found.signs:
        return "being published; if nobody does, its upload broke off: publish it again"
    if scanner.marker is not None:
        return f"no {scanner.marker} yet"
    if not is_file_key(key) and len(members) < scanner.min_episode_files:
        return f"{len(members)} of at least {scanner.min_episode_files} files so far"
    newest_ns = max((info.modified_ns for info in found.objects.values()), default=now_ns)
    age_s = (now_ns - newest_ns) / SECOND_NS
    # Clocks of the store and of this machine differ a little: just ahead is young as well.
    if abs(age_s) < scanner.quiet_period_s:
        return f"younger than the quiet period of {scanner.quiet_period_s:g} s"
    missing = None if is_file_key(key) else _missing_section(config, key, members)
    return missing if age_s < ABANDONED_AFTER_S else None


def upload_signs(storage: Storage, config: DatasetConfig, key: str) -> frozenset[str]:
    """The object keys of every marker and sign of an upload that the episode has."""
    raw = config.storage.raw_prefix
    names = sign_names(config)
    places = [beside(folder, name) for folder in sign_folders(config, key) for name in names]
    return frozenset(place for place in (join(raw, one) for one in places) if storage.head(place))


def task_of(key: str, source: str | None = None) -> str:
    """The task's folder in words ("pick_up-bottle/episode_1" is "pick up bottle").

    An episode that lies in no folder but its source's gets its own name.
    """
    if source is not None:
        key = key.removeprefix(f"{source.strip('/')}/")
    folder, _, name = key.rpartition("/")
    task = folder.rpartition("/")[2] if folder else name.partition(".")[0]
    return " ".join(task.replace("_", " ").replace("-", " ").split()) or key


def _fault(key: str) -> str | None:
    try:
        encode_key(key)
    except Refused as refusal:
        return refusal.message
    return None


def _reads_bags(config: DatasetConfig) -> bool:
    topics = [*(s.topic for s in config.streams), *(c.topic for c in config.cameras)]
    return not topics or any(topic is not None for topic in topics)


def _missing_section(config: DatasetConfig, key: str, members: Sequence[Member]) -> str | None:
    layout = EpisodeLayout(key, config.layout)
    places = layout.places(member.path for member in members)
    there = {place.section for place in places.values()}
    if len(there) != 1:  # both, or a ROS 2 folder
        return None
    wanted = {
        Section.JOINTS: bool(config.streams) or not config.cameras,
        Section.IMAGES: bool(config.cameras) or not config.streams,
    }
    missing = [section for section in Section if wanted[section] and section not in there]
    return f"only {next(iter(there))} so far" if missing else None
