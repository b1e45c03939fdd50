"""A dataset as it is to lie in the bucket: its episodes and the large files that hold them.

Each large file has an identity, known without building it, that is equal exactly when its content
is. Comparing identities tells what an update must write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.ledger import Packing, Snapshot
from lerobot_pipelines.datasets.members import DatasetSchema, Episode, Member, number_episodes
from lerobot_pipelines.datasets.options import Options


class FileKind(Enum):
    VIDEO = "video"
    DATA = "data"
    EPISODES = "episodes"  # v3.0: meta/episodes/...


@dataclass(frozen=True, slots=True)
class LargeFile:
    """``episodes`` are neighbours. ``number`` counts the files of one kind (and camera)."""

    path: str
    identity: str
    kind: FileKind
    number: int
    episodes: tuple[Episode, ...]
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    format: Format
    options: Options
    schema: DatasetSchema
    tasks: tuple[str, ...]
    members: tuple[Member, ...]
    episodes: tuple[Episode, ...]
    packing: Packing
    generation: int = 0  # see ``ledger.Snapshot``
    stamp: int = 0  # see ``stamping``

    @property
    def frames(self) -> int:
        return sum(episode.length for episode in self.episodes)


def contents_of(snapshot: Snapshot) -> Contents:
    return Contents(
        snapshot.format,
        snapshot.options,
        snapshot.layout,
        snapshot.tasks,
        snapshot.members,
        tuple(number_episodes(snapshot.members, snapshot.tasks)),
        snapshot.packing,
        snapshot.generation,
    )


def unchanged_episodes(contents: Contents, before: Contents | None) -> int:
    """How many leading episodes are as they were: numbers, tasks, rows, pictures, statistics."""
    if before is None:
        return 0
    pairs = zip(contents.episodes, before.episodes, strict=False)
    for count, (new, old) in enumerate(pairs):
        if new is not old and new.description_identity != old.description_identity:
            return count
    return min(len(contents.episodes), len(before.episodes))


def identity_of(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def rows_identity(contents: Contents, episodes: Sequence[Episode]) -> str:
    columns = (f"{name} {one.dtype} {one.shape}" for name, one in contents.schema.vectors.items())
    header = (f"rows {contents.options.layout_version} {contents.schema.fps}", *columns)
    return identity_of(*header, *(episode.rows_identity for episode in episodes))


def video_identity(episodes: Sequence[Episode], camera: str) -> str:
    """The SHA-256 of the mp4 itself where the file holds one episode."""
    parts = [episode.segment.videos[camera].sha256 for episode in episodes]
    return parts[0] if len(parts) == 1 else identity_of("joined", *parts)
