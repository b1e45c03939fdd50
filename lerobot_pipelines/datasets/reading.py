"""Reading what the earlier steps left in the bucket, and making sure it is what was promised."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from lerobot_pipelines.datasets.members import (
    Candidate,
    Episode,
    Member,
    candidate_of,
    record_digest,
)
from lerobot_pipelines.datasets.records import EpisodeRecord, RecordSource, SegmentRecord
from lerobot_pipelines.errors import Refused, Transient
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines.storage.base import ObjectNotFound, Storage
from lerobot_pipelines.storage.local_versions import lasting_etag

# What a record's object holds; None for one that went away since the listing.
Found = Candidate | Refused | None

_KEPT_RECORDS = 16  # some 0.1 MB each: an append judges and then describes the same ones


class RecordReader:
    """The records, with the last few kept in memory."""

    def __init__(self, source: RecordSource) -> None:
        self._source = source
        self._kept: OrderedDict[str, EpisodeRecord] = OrderedDict()
        self._held_back: frozenset[str] = frozenset()
        self._earlier: Mapping[str, str] = {}

    def without(self, held_back: Iterable[str], earlier: Mapping[str, str]) -> RecordReader:
        """The same, as if these records, by object key, had not been written yet.

        ``earlier`` are the ETags of those that were there before in another version.
        """
        other = RecordReader(self._source)
        other._kept = self._kept
        other._held_back = frozenset(held_back)
        other._earlier = {key: lasting_etag(etag) for key, etag in earlier.items()}
        return other

    def versions(self) -> Mapping[str, str]:
        listed = self._source.versions()
        return {
            key: self._earlier.get(key, etag)
            for key, etag in listed.items()
            if key not in self._held_back or key in self._earlier
        }

    def candidate(self, record_key: str, etag: str) -> Found:
        if record_key in self._held_back:
            return None
        try:
            record = self._read(record_key)
        except ObjectNotFound:
            return None
        except Refused as refusal:
            return refusal
        return candidate_of(record, record_key, etag)

    def segment(self, episode: Episode) -> SegmentRecord:
        """The episode's part of its record. ``Transient`` if the record was replaced since."""
        member = episode.member
        record = self._kept.get(member.record_key)
        if record is None:
            try:
                record = self._read(member.record_key)
            except ObjectNotFound as error:
                raise Transient(f"the record of {member.key} went away meanwhile") from error
        if record_digest(record) != member.digest:
            raise Transient(f"the record of {member.key} was replaced meanwhile")
        return next(one for one in record.segments if one.segment == episode.segment.segment)

    def _read(self, record_key: str) -> EpisodeRecord:
        record = self._source.read(record_key)
        self._kept[record_key] = record
        self._kept.move_to_end(record_key)
        if len(self._kept) > _KEPT_RECORDS:
            self._kept.popitem(last=False)
        return record


class ArtifactMissing(Transient):
    """An object that a record names is missing or is another one: the episode is being converted
    again, and its new record will follow, or it was damaged."""

    def __init__(self, message: str, member: Member) -> None:
        super().__init__(message)
        self.member = member


class ArtifactReader:
    """Rows and mp4 files of episodes as local files, checked against their records.

    ``ArtifactMissing`` is raised for an object that is not there or is not what the record names.
    """

    def __init__(self, storage: Storage, scratch: Path) -> None:
        self._storage = storage
        self._scratch = scratch
        self._frames: tuple[str, AlignedFrames] | None = None

    def frames(self, episode: Episode) -> AlignedFrames:
        """All rows of the episode's recording; the last recording's are kept."""
        from lerobot_pipelines.alignment import read_frames

        member = episode.member
        if self._frames is None or self._frames[0] != member.frames_sha256:
            path = self._local(member.frames_key, member.frames_sha256, member)
            self._frames = (member.frames_sha256, read_frames(path))
            self.release(path)
        return self._frames[1]

    def video(self, episode: Episode, camera: str) -> Path:
        """The mp4; hand the path to ``release`` when done with it."""
        part = episode.segment.videos[camera]
        return self._local(part.key, part.sha256, episode.member)

    def video_object(self, episode: Episode, camera: str) -> str | None:
        """The key of the mp4's object if it is still the one whose content was hashed."""
        part = episode.segment.videos[camera]
        there = self._storage.head(part.key)
        known = lasting_etag(part.etag)
        if not known or there is None or (there.etag, there.size) != (known, part.bytes):
            return None
        return part.key

    def release(self, path: Path) -> None:
        """Remove a downloaded copy; a file that lies in the bucket itself stays."""
        if path.is_relative_to(self._scratch):
            path.unlink(missing_ok=True)

    def _local(self, key: str, sha256: str, member: Member) -> Path:
        path = self._storage.local_path(key)
        try:
            if path is None:
                path = self._scratch / f"{sha256}{Path(key).suffix}"
                self._storage.download(key, path)
            found = sha256_of(path)
        except (ObjectNotFound, FileNotFoundError) as error:
            missing = f"{key} of episode {member.key} is not there (any more)"
            raise ArtifactMissing(missing, member) from error
        if found != sha256:
            raise ArtifactMissing(
                f"{key} is not what the record of episode {member.key} names: it is being "
                "converted again, or its artifacts are damaged (then materialise it again)",
                member,
            )
        return path


def sha256_of(path: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
