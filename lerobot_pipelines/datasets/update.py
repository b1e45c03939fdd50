"""``update_dataset``: bring one dataset to hold exactly the episodes that are ready for it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets import v21, v30
from lerobot_pipelines.datasets.building import Builder
from lerobot_pipelines.datasets.change import Change, large_files
from lerobot_pipelines.datasets.commit import publish
from lerobot_pipelines.datasets.contents import Contents, contents_of, unchanged_episodes
from lerobot_pipelines.datasets.describing import INFO_PATH
from lerobot_pipelines.datasets.inventory import (
    Inventory,
    damages,
    list_files,
    read_inventory,
    taken_down,
    write_inventory,
)
from lerobot_pipelines.datasets.ledger import (
    Intent,
    Kind,
    Ledger,
    Packing,
    Snapshot,
    Totals,
    ledger_folder,
    open_ledger,
)
from lerobot_pipelines.datasets.members import all_tasks, number_episodes
from lerobot_pipelines.datasets.options import dataset_prefix, options_of
from lerobot_pipelines.datasets.reading import ArtifactMissing, ArtifactReader, RecordReader
from lerobot_pipelines.datasets.records import RecordSource
from lerobot_pipelines.datasets.recovery import Standing, take_stock
from lerobot_pipelines.datasets.removal import AS_RECORDED, RemovalRule
from lerobot_pipelines.datasets.selection import Left, Selection, select
from lerobot_pipelines.datasets.turn import Turn
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.base import Storage, TellsVersions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetUpdate:
    """What an update did, by episode keys. ``skipped`` says why one is not in, ``why_removed``
    why one left, ``withheld`` why one would leave if ``--allow-removal`` were given: it stays as it
    was. ``lost`` ones stay as well, though their record is missing. Those ``held_back`` are left as
    they are, in it or not, until all that their new record names is there."""

    format: Format
    root: str  # object prefix
    kind: Kind
    episodes: int
    frames: int
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()  # in it, but made by an older configuration
    withheld: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    why_removed: Mapping[str, str] = field(default_factory=dict)
    # Files that were missing or changed and are in order again: path -> what was wrong.
    mended: Mapping[str, str] = field(default_factory=dict)
    held_back: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.kind != "none"

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.root}: {self.episodes} episodes, {self.frames} frames"]
        counts = {
            "added": self.added,
            "replaced": self.replaced,
            "removed": self.removed,
            "skipped": self.skipped,
            "stale": self.stale,
            "kept though refused or unlike (see --allow-removal)": self.withheld,
            "kept without a record": self.lost,
            "files mended": self.mended,
            "held back, as parts are missing": self.held_back,
        }
        parts += [f"{len(keys)} {what}" for what, keys in counts.items() if keys]
        if not self.changed:
            parts.append("nothing to do")
        return ", ".join(parts)


def update_dataset(
    storage: Storage,
    config: DatasetConfig,
    fmt: Format,
    records: RecordSource,
    *,
    scratch: Path,
    rule: RemovalRule = AS_RECORDED,
) -> DatasetUpdate:
    """Add what is new, replace what changed, remove what ``rule`` lets go; else write nothing.

    Only records that are new or changed since the last commit are read, and only those that passed
    enter. A commit that was interrupted is completed or undone first. An episode whose new parts
    are not all there is left as it is. ``scratch`` is an empty folder on this machine. Raises
    ``Transient`` when another writer is at work, and ``ArtifactMissing`` if parts are missing and
    there is nothing else to do, or nothing that can be done without them.
    """
    root = dataset_prefix(config, fmt)
    ledger = open_ledger(storage, config, fmt)
    standing = take_stock(storage, root, ledger, fmt)
    old = standing.snapshot
    if old is not None and old.options.name != config.dataset.name:
        raise Refused(
            Reason.BAD_CONFIG,
            f"{root} holds the dataset {old.options.name}, not {config.dataset.name}; choose "
            "another dataset.pattern or move it away",
        )
    folder = ledger_folder(config, fmt)
    known = read_inventory(storage, folder, standing.number)
    files = _Files(storage, root, folder, known, ledger)
    damaged = files.damages(old) if old and not (standing.pending or standing.edited) else {}
    if damaged and (standing.trusted or files.some_are_sound(damaged)):
        # It is known of each file whether it is as it was: only those that are not are written.
        missing = () if standing.trusted else (INFO_PATH,)
        standing = replace(standing, edited=frozenset({*damaged, *missing}), trusted=True)
    reader = RecordReader(records)
    job = _Job(storage, config, fmt, root, ledger, standing, files, reader, scratch, rule)
    update = _without_incomplete(job)
    return replace(update, mended=damaged) if update.changed else update


def _without_incomplete(job: _Job) -> DatasetUpdate:
    old = job.standing.snapshot
    held_back: dict[str, Left] = {}
    missing: ArtifactMissing | None = None
    while True:
        try:
            with tempfile.TemporaryDirectory(dir=job.scratch) as folder:
                update = replace(job, scratch=Path(folder)).done(held_back)
        except ArtifactMissing as fault:
            # The episode stays as it is until all of it is there; the others go ahead.
            missing, key = fault, fault.member.record_key
            is_old = old is not None and any(
                one.record_key == key and one.digest == fault.member.digest for one in old.members
            )
            if is_old or key in held_back or job.rule.is_allowed:
                raise
            logger.warning("%s; the dataset is updated without it", fault)
            held_back[key] = Left(etag="", key=fault.member.key, reason=str(fault))
            continue
        if missing is not None and not update.changed:
            raise missing
        return update


@dataclass
class _Files:
    """The dataset's files as they were committed."""

    storage: Storage
    root: str
    folder: str
    inventory: Inventory | None
    ledger: Ledger

    def damages(self, snapshot: Snapshot) -> dict[str, str]:
        return damages(list_files(self.storage, self.root), snapshot, self.inventory)

    def some_are_sound(self, damaged: Mapping[str, str]) -> bool:
        return self.inventory is not None and not self.inventory.files.keys() <= damaged.keys()

    def note(self, snapshot: Snapshot | None, number: int, written: Collection[str]) -> None:
        """After a commit; nothing is written where the list is that of the commit already."""
        if snapshot is None or (self.inventory is not None and self.inventory.number == number):
            return

        def take_down() -> Inventory:
            listed = list_files(self.storage, self.root)
            return taken_down(listed, snapshot, number, self.inventory, written)

        write_inventory(self.storage, self.folder, number, take_down, self.ledger)


@dataclass(frozen=True)
class _Job:
    """One update, from what lies there to the commit."""

    storage: Storage
    config: DatasetConfig
    fmt: Format
    root: str
    ledger: Ledger
    standing: Standing
    files: _Files
    reader: RecordReader
    scratch: Path
    rule: RemovalRule

    def done(self, held_back: Mapping[str, Left]) -> DatasetUpdate:
        """Raises ``ArtifactMissing`` before anything is announced, if an episode is not whole."""
        old, standing = self.standing.snapshot, self.standing
        config_hash = dataset_hash(self.config)
        members = old.members if old else ()
        etags = {one.record_key: one.etag for one in members if one.record_key in held_back}
        selection = select(
            self.reader.without(held_back, etags),
            config_hash,
            schema=old.layout if old else None,
            members=members,
            left=old.left if old else {},
            judged_by=old.config_hash if old else None,
            rule=self.rule,
        )
        if selection is None:
            if old is None or standing.is_intact:
                self.files.note(old, standing.number, ())
                return _report(self.fmt, self.root, "none", old, config_hash, None, held_back)
            # Left as it is does not mean left half written.
            selection = _as_it_is(old)
        new = {key: one for key, one in held_back.items() if key not in etags}
        selection = replace(selection, left=selection.left | new)
        before = contents_of(old) if old else None
        contents = self._contents(selection, before)
        snapshot = self._snapshot(contents, selection, config_hash)
        number = standing.number + 1
        if before is not None and standing.is_intact and _is_same(contents, before):
            if snapshot != old:
                # Other records or another verdict, but not one byte of the dataset differs.
                intent = Intent(kind="none", writes={}, deletes=(), snapshot=snapshot)
                self.ledger.announce(number, intent)
                self.ledger.finish(number, {})
            self.files.note(snapshot, standing.number + (snapshot != old), ())
            return _report(self.fmt, self.root, "none", snapshot, config_hash, selection, held_back)
        change = Change(self.storage, self.root, standing, before, contents, self.reader)
        plan, snapshot = change.planned(snapshot, adds=bool(selection.added))
        artifacts = ArtifactReader(self.storage, self.scratch)
        builder = Builder(contents, artifacts, change.statistics_of, self.scratch)
        builder.look_at(plan.videos)
        rows = builder.prepare(plan.rows)
        intent = Intent(kind=plan.kind, writes=plan.writes, deletes=plan.deletes, snapshot=snapshot)
        self.ledger.announce(number, intent)
        turn = Turn(self.storage, self.root, self.ledger, number, bool(standing.abandoned))
        written = publish(turn, plan, builder, rows, standing.info)
        self.ledger.finish(number, written)
        self.files.note(snapshot, number, plan.writes)
        return _report(self.fmt, self.root, plan.kind, snapshot, config_hash, selection, held_back)

    def _contents(self, selection: Selection, before: Contents | None) -> Contents:
        tasks = all_tasks(before.tasks if before else (), selection.members)
        numbered = number_episodes(selection.members, tasks, before.episodes if before else ())
        number, standing = self.standing.number + 1, self.standing
        has_etags_by_content = not isinstance(self.storage, TellsVersions)
        contents = Contents(
            self.fmt,
            options_of(self.config),
            selection.schema,
            tuple(tasks),
            selection.members,
            tuple(numbered),
            Packing(),
            stamp=number if standing.abandoned and has_etags_by_content else 0,
        )
        claims = standing.claims
        if before is not None and not standing.trusted:
            claims = claims.and_deletes(file.path for file in large_files(before))
        if self.fmt is Format.V30:
            fences = standing.snapshot.fences if standing.snapshot else ()
            return v30.packed(contents, before, claims, fences)
        begun = {one.snapshot.generation for one in standing.pending.values()}
        return v21.placed(contents, before, claims, number, sorted(begun - {0}))

    def _snapshot(self, contents: Contents, selection: Selection, config_hash: str) -> Snapshot:
        old = self.standing.snapshot
        return Snapshot(
            format=self.fmt,
            config_hash=config_hash,
            options=contents.options,
            layout=contents.schema,
            tasks=contents.tasks,
            members=contents.members,
            left=selection.left,
            packing=contents.packing,
            totals=old.totals if old else Totals(),
            metas=old.metas if old else {},
            generation=contents.generation,
            abandoned=self.standing.abandoned,
            fences=old.fences if old else (),
        )


def _as_it_is(old: Snapshot) -> Selection:
    return Selection(old.layout, old.members, old.left)


def _is_same(contents: Contents, before: Contents) -> bool:
    return (
        contents.options == before.options
        and contents.schema == before.schema
        and contents.tasks == before.tasks
        and contents.packing == before.packing
        and contents.generation == before.generation
        and len(contents.episodes) == len(before.episodes)
        and unchanged_episodes(contents, before) == len(before.episodes)
    )


def _report(
    fmt: Format,
    root: str,
    kind: Kind,
    snapshot: Snapshot | None,
    config_hash: str,
    selection: Selection | None = None,
    held_back: Mapping[str, Left] = MappingProxyType({}),
) -> DatasetUpdate:
    members = snapshot.members if snapshot else ()
    lengths = [segment.length for member in members for segment in member.segments]
    there = selection or Selection(snapshot.layout, members, snapshot.left) if snapshot else None
    in_it = {member.key for member in members}
    left = snapshot.left.values() if snapshot else ()
    return DatasetUpdate(
        format=fmt,
        root=root,
        kind=kind,
        episodes=len(lengths),
        frames=sum(lengths),
        added=there.added if there else (),
        replaced=there.replaced if there and kind != "none" else (),
        removed=tuple(there.removed) if there else (),
        skipped={one.key: one.reason for one in left if one.key not in in_it},
        stale=tuple(member.key for member in members if member.config_hash != config_hash),
        withheld=dict(there.withheld) if there else {},
        lost=there.lost if there else (),
        why_removed=dict(there.removed) if there else {},
        held_back={one.key: one.reason for one in held_back.values()},
    )
