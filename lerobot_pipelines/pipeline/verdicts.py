"""What became of every episode that was brought to an end, from as few reads as possible.

The dataset's ledger remembers every record it has judged, by ETag; only records written since are
read, several at a time. Refusals are few and small.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lerobot_pipelines.datasets.ledger import Snapshot
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.artifacts import (
    FailureRecord,
    failures_folder,
    read_artifact,
    records_folder,
)
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound

READ_THREADS = 16


@dataclass(frozen=True, slots=True)
class Refusal:
    """``reason`` is a code of ``errors.Reason``, or ``check:<name>`` for a broken promise."""

    key: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """``refusal`` is None for an episode that is ready for the dataset."""

    modified_ns: int
    refusal: Refusal | None


@dataclass
class VerdictReader:
    """Reads the verdicts of a dataset again and again, and each object once."""

    workspace: Workspace
    _seen: dict[tuple[str, str], Refusal | None] = field(default_factory=dict)

    def read(self, snapshots: Iterable[Snapshot] = ()) -> dict[str, Outcome]:
        """By episode key; a record counts more than a refusal. ``snapshots``: from the ledger."""
        for snapshot in snapshots:
            self._seen |= {(one.record_key, one.etag): None for one in snapshot.members}
        storage = self.workspace.storage
        failures = list(storage.list(failures_folder(self.workspace)))
        records = list(storage.list(records_folder(self.workspace)))
        unread = [info for info in (*failures, *records) if (info.key, info.etag) not in self._seen]
        folder = records_folder(self.workspace)
        with ThreadPoolExecutor(READ_THREADS) as pool:
            kinds = (info.key.startswith(f"{folder}/") for info in unread)
            read = pool.map(self._judge, unread, kinds)
            for info, refusal in zip(unread, read, strict=True):
                self._seen[info.key, info.etag] = refusal
        outcomes: dict[str, Outcome] = {}
        for info in (*failures, *records):
            try:
                key = decode_key(info.key.rpartition("/")[2].removesuffix(".json"))
            except Refused:
                continue
            outcomes[key] = Outcome(info.modified_ns, self._seen[info.key, info.etag])
        return outcomes

    def _judge(self, info: ObjectInfo, is_record: bool) -> Refusal | None:
        try:
            if is_record:
                return _broken(read_artifact(self.workspace, info.key, EpisodeRecord))
            failure = read_artifact(self.workspace, info.key, FailureRecord)
            return Refusal(failure.key, failure.reason, failure.message)
        except ObjectNotFound:
            return Refusal(info.key, str(Reason.CONTENT_CHANGED), "replaced while it was read")
        except Refused as refusal:
            return Refusal(info.key, str(refusal.reason), refusal.message)


def _broken(record: EpisodeRecord) -> Refusal | None:
    broken = [check for check in record.checks if not check.passed and check.severity == "error"]
    if not broken:
        return None
    message = "; ".join(check.description for check in broken)
    return Refusal(record.key, f"check:{broken[0].name}", message)
