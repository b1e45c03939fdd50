"""What became of every episode that was brought to an end, from as few reads as possible.

The dataset's ledger remembers every record it has judged, by ETag; only records written since are
read, several at a time. Refusals are few and small. Episodes' files are not listed: what a verdict
means for content that changed since is for ``sightings`` to find.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lerobot_pipelines.datasets.ledger import Snapshot
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline.artifacts import (
    FailureRecord,
    failures_folder,
    read_artifact,
    records_folder,
)
from lerobot_pipelines.pipeline.episode_state import (
    EpisodeState,
    Verdict,
    decide,
    verdict_of_failure,
    verdict_of_member,
    verdict_of_record,
    versions_of,
)
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound
from lerobot_pipelines.storage.local_versions import lasting_etag

READ_THREADS = 16


@dataclass(frozen=True, slots=True)
class Refusal:
    """``reason`` is a code of ``errors.Reason``, or ``check:<name>`` for a broken promise."""

    key: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state that the verdicts alone give, and when the newest of them was given."""

    modified_ns: int
    state: EpisodeState


# Of an object: the verdict in it, or why it cannot be read.
_Seen = Verdict | str


@dataclass
class VerdictReader:
    """Reads the verdicts of a dataset again and again, and each object once."""

    workspace: Workspace
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)

    def read(self, snapshots: Iterable[Snapshot] = ()) -> dict[str, Outcome]:
        """By episode key. ``snapshots``: from the ledger."""
        for snapshot in snapshots:
            for member in snapshot.members:
                self._seen[member.record_key, lasting_etag(member.etag)] = verdict_of_member(member)
        storage = self.workspace.storage
        # Records first: of two verdicts on the same content they count more.
        listed = [
            *storage.list(records_folder(self.workspace)),
            *storage.list(failures_folder(self.workspace)),
        ]
        unread = [info for info in listed if (info.key, info.etag) not in self._seen]
        with ThreadPoolExecutor(READ_THREADS) as pool:
            for info, seen in zip(unread, pool.map(self._read, unread), strict=True):
                self._seen[info.key, info.etag] = seen
        by_key: dict[str, list[ObjectInfo]] = {}
        for info in listed:
            try:
                key = decode_key(info.key.rpartition("/")[2].removesuffix(".json"))
            except Refused:
                continue
            by_key.setdefault(key, []).append(info)
        versions = versions_of(self.workspace.config)
        outcomes: dict[str, Outcome] = {}
        for key, infos in by_key.items():
            seen_ones = [self._seen[info.key, info.etag] for info in infos]
            verdicts = [one for one in seen_ones if isinstance(one, Verdict)]
            # A killed step leaves both: for different content the newer one counts.
            is_of_two = len({one.fingerprint for one in verdicts}) > 1
            if is_of_two and infos[0].modified_ns < infos[-1].modified_ns:
                verdicts.reverse()
            damage = next((one for one in seen_ones if isinstance(one, str)), None)
            state = decide(None, verdicts, versions, damage=None if verdicts else damage)
            outcomes[key] = Outcome(max(info.modified_ns for info in infos), state)
        return outcomes

    def _read(self, info: ObjectInfo) -> _Seen:
        is_record = info.key.startswith(f"{records_folder(self.workspace)}/")
        try:
            if is_record:
                return verdict_of_record(read_artifact(self.workspace, info.key, EpisodeRecord))
            return verdict_of_failure(read_artifact(self.workspace, info.key, FailureRecord))
        except ObjectNotFound:
            return "it was replaced while it was read"
        except Refused as refusal:
            return refusal.message


def refusal_of(key: str, state: EpisodeState) -> Refusal:
    """Of an episode that is refused, or was under another configuration."""
    verdict = state.verdict
    if verdict is None:
        return Refusal(key, "", state.why or "")
    return Refusal(key, verdict.reason, verdict.message)
