"""One dataset per episode: ``dataset.pattern`` with ``{episode_id}``.

Each is an ordinary dataset of one recording, with a ledger of its own. What was made of which
record, and where, is kept in ``<work_prefix>/<dataset>/episode_datasets.json``, so that an update
reads only records that are new or changed, and finds the dataset of an episode that is refused. A
folder is noted there before anything is written to it. Losing the file costs a look at each
dataset. Where the pattern names the strategy, the results of several stand side by side.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.rules_dataset import episode_folder
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets import DatasetUpdate, dataset_prefix, update_dataset
from lerobot_pipelines.datasets.ledger import Kind, open_ledger
from lerobot_pipelines.datasets.options import options_of, work_folder
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.datasets.removal import RemovalRule, Withdrawal
from lerobot_pipelines.errors import PipelineError, Refused
from lerobot_pipelines.pipeline.artifacts import read_artifact, records_folder
from lerobot_pipelines.pipeline.keys import decode_key, encode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.storage.local_versions import lasting_etag
from lerobot_pipelines.storage.names import join

logger = logging.getLogger(__name__)


class Made(BaseModel):
    """An episode's dataset. ``folders`` are below the converted prefix; the last one is that of the
    present record, the others hold what was made with other strategies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    etag: str = ""  # of the record
    made_with: str = ""  # configuration and formats
    folders: tuple[str, ...] = ()
    sizes: dict[str, tuple[int, int]] = {}  # format -> episodes, frames; of the last folder
    others: dict[str, dict[str, tuple[int, int]]] = {}  # the same of the folders before it
    skipped: str | None = None
    stale: bool = False


class State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    made: dict[str, Made] = {}  # by partition key


@dataclass(frozen=True, slots=True)
class _OneRecord:
    """See ``datasets.records.RecordSource``."""

    object_key: str
    etag: str
    record: EpisodeRecord

    def versions(self) -> Mapping[str, str]:
        return {self.object_key: self.etag}

    def read(self, object_key: str) -> EpisodeRecord:
        return self.record


@dataclass(frozen=True, slots=True)
class _NoRecord:
    """See ``datasets.records.RecordSource``."""

    def versions(self) -> Mapping[str, str]:
        return {}

    def read(self, object_key: str) -> EpisodeRecord:
        raise ObjectNotFound(object_key)


def update_episode_datasets(
    workspace: Workspace, rule: RemovalRule, damaged: Collection[str] = ()
) -> tuple[DatasetUpdate, ...]:
    """Make, replace and remove datasets until each ready episode has its own.

    One ``DatasetUpdate`` for each format sums up all of them. A dataset that cannot be brought up
    to date stops no other; the first such fault is raised at the end. What was done stays and is
    not done again. ``damaged``: partition keys of datasets to be looked at whatever is known.
    """
    before = read_state(workspace).made
    made = dict(before)
    versions = {
        info.key.rpartition("/")[2].removesuffix(".json"): (info.key, info.etag)
        for info in workspace.storage.list(records_folder(workspace))
    }
    made_with = _made_with(workspace.config)
    todo = {
        partition: _read_record(workspace, key)
        for partition, (key, etag) in versions.items()
        if partition in damaged or not _is_made_of(before.get(partition, Made()), etag, made_with)
    }
    leaving, lost = _leaving(workspace, rule, before, todo, versions.keys())
    withheld: dict[str, str] = {}
    there = [partition for partition, one in before.items() if one.sizes]
    unforced = {partition: one.reason for partition, one in leaving.items() if not one.on_purpose}
    if not rule.permits(len(unforced), len(there)):
        withheld = unforced
    for partition, record in todo.items():
        if isinstance(record, EpisodeRecord) and record.passed:
            made[partition] = _planned(workspace.config, record, made.get(partition, Made()))
    if todo or leaving:
        _write_state(workspace, made)
    for partition, why in leaving.items():
        if partition not in withheld:
            left = _leave(workspace, partition, made.pop(partition), why)
            made |= {partition: left} if left is not None else {}
    faults: dict[str, Exception] = {}
    for partition, record in todo.items():
        key, etag = versions[partition]
        if isinstance(record, str) or not record.passed:
            if partition not in withheld:
                done = made.get(partition, Made()).model_copy(update={"skipped": _skipped(record)})
                made[partition] = done.model_copy(update={"etag": etag, "made_with": made_with})
            continue
        try:
            done = _make(workspace, partition, key, etag, record, made[partition])
        except (PipelineError, OSError) as fault:
            logger.warning("the dataset of %s: %s", record.key, fault)
            faults[partition] = fault
            continue
        made[partition] = done.model_copy(update={"etag": etag, "made_with": made_with})
    if todo or leaving:
        _write_state(workspace, made)
    if faults:
        raise next(iter(faults.values()))
    told = _Told(leaving, withheld, tuple(lost))
    return tuple(
        _summed_up(workspace, fmt, before, made, told) for fmt in workspace.config.dataset.formats
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What is to be said of episodes that leave, or would, or lack a record; by partition key."""

    leaving: Mapping[str, Withdrawal]
    withheld: Mapping[str, str]
    lost: tuple[str, ...]


def _leaving(
    workspace: Workspace,
    rule: RemovalRule,
    before: Mapping[str, Made],
    todo: Mapping[str, EpisodeRecord | str],
    recorded: Collection[str],
) -> tuple[dict[str, Withdrawal], list[str]]:
    """The episodes whose datasets are to go, with the reason, and those without a record."""
    leaving: dict[str, Withdrawal] = {}
    lost: list[str] = []
    for partition, one in before.items():
        if not one.sizes:
            continue
        if partition in recorded:
            record = todo.get(partition)
            if isinstance(record, EpisodeRecord) and not record.passed:
                leaving[partition] = Withdrawal(_broken(record))
            continue
        why = rule.why_withdrawn(f"{records_folder(workspace)}/{partition}.json")
        if why is None:
            lost.append(partition)
        else:
            leaving[partition] = why
    return leaving, lost


def _leave(workspace: Workspace, partition: str, made: Made, why: Withdrawal) -> Made | None:
    """Remove the dataset of an episode: that of the present strategy, or all if so asked for.

    What is refused with one strategy says nothing of the results of another.
    """
    if why.on_purpose:
        _remove(workspace, partition, made.folders)
        return None
    *others, folder = made.folders
    _remove(workspace, partition, (folder,))
    if not others:
        return None
    # The one before it becomes the present one; without a record nothing is expected of it.
    rest = {name: sizes for name, sizes in made.others.items() if name != others[-1]}
    return Made(folders=tuple(others), sizes=made.others.get(others[-1], {}), others=rest)


def _planned(config: DatasetConfig, record: EpisodeRecord, old: Made) -> Made:
    """``old`` with the record's folder as the present one."""
    folder = _folder(config, record)
    folders = (*(name for name in old.folders if name != folder), folder)
    sizes = dict(old.others)
    if old.folders and old.sizes:
        sizes[old.folders[-1]] = old.sizes
    return Made(folders=folders, sizes=sizes.pop(folder, {}), others=sizes)


def _skipped(record: EpisodeRecord | str) -> str:
    return record if isinstance(record, str) else _broken(record)


def read_state(workspace: Workspace) -> State:
    """Empty if there is none, or none that can be read: every dataset is then looked at anew."""
    try:
        return State.model_validate_json(workspace.storage.read(_state_key(workspace)))
    except (ObjectNotFound, ValidationError):
        return State()


def episode_roots(workspace: Workspace, fmt: Format) -> Iterator[str]:
    """The object prefix of each episode's dataset that was made."""
    for one in read_state(workspace).made.values():
        for folder, sizes in all_sizes(one):
            if str(fmt) in sizes:
                yield join(workspace.config.storage.converted_prefix, folder, fmt.value)


def all_sizes(made: Made) -> Iterator[tuple[str, Mapping[str, tuple[int, int]]]]:
    """Every folder with the sizes of the datasets in it."""
    yield from made.others.items()
    if made.folders:
        yield made.folders[-1], made.sizes


def _make(
    workspace: Workspace,
    partition: str,
    object_key: str,
    etag: str,
    record: EpisodeRecord,
    planned: Made,
) -> Made:
    folder = planned.folders[-1]
    config = config_of(workspace.config, partition, folder)
    source = _OneRecord(object_key, etag, record)
    sizes: dict[str, tuple[int, int]] = {}
    skipped, stale = None, False
    faults: list[Exception] = []
    for fmt in config.dataset.formats:
        try:
            with workspace.scratch() as scratch:
                update = update_dataset(workspace.storage, config, fmt, source, scratch=scratch)
        except (PipelineError, OSError) as fault:
            faults.append(fault)
            continue
        if update.episodes:
            sizes[str(fmt)] = (update.episodes, update.frames)
        skipped = next(iter(update.skipped.values()), skipped)
        stale = stale or bool(update.stale) or not update.episodes
    if faults:
        raise faults[0]
    return planned.model_copy(
        update={"sizes": sizes, "skipped": skipped, "stale": stale and skipped is None}
    )


def _is_made_of(made: Made, etag: str, made_with: str) -> bool:
    return (lasting_etag(made.etag), made.made_with) == (etag, made_with)


def _remove(workspace: Workspace, partition: str, folders: tuple[str, ...]) -> None:
    """Take away what the datasets' ledgers name. Other files in their folders are not ours, and the
    ledgers stay: a writer that comes late finds in them that it is."""
    for folder in folders:
        config = config_of(workspace.config, partition, folder)
        for fmt in Format:
            if open_ledger(workspace.storage, config, fmt).history().number:
                with workspace.scratch() as scratch:
                    update_dataset(workspace.storage, config, fmt, _NoRecord(), scratch=scratch)


def config_of(config: DatasetConfig, partition: str, folder: str) -> DatasetConfig:
    """The configuration of one episode's dataset: its folder written out, a ledger of its own."""
    work = join(config.storage.work_prefix, config.dataset.name, "single", partition)
    dataset = config.dataset.model_copy(update={"pattern": folder})
    storage = config.storage.model_copy(update={"work_prefix": work})
    return config.model_copy(update={"dataset": dataset, "storage": storage})


def _folder(config: DatasetConfig, record: EpisodeRecord) -> str:
    """``{episode_id}`` is the partition key, short of a source that the pattern names: one folder
    whatever the episode is called, so that no dataset lies in another."""
    episode = record.key
    if record.source is not None and "{source}" in config.dataset.pattern:
        episode = episode.removeprefix(f"{record.source}/")
    strategy = str(record.provenance["strategy"])
    return episode_folder(config, record.source or "", encode_key(episode), strategy)


def _read_record(workspace: Workspace, object_key: str) -> EpisodeRecord | str:
    """The record, or why it cannot be used."""
    try:
        return read_artifact(workspace, object_key, EpisodeRecord)
    except ObjectNotFound:
        return "its record went away meanwhile"
    except Refused as refusal:
        return refusal.message


def _broken(record: EpisodeRecord) -> str:
    names = [one.name for one in record.checks if not one.passed and one.severity == "error"]
    return f"[check_failed] {', '.join(names)}"


def _made_with(config: DatasetConfig) -> str:
    parts = (
        dataset_hash(config),
        config.dataset.pattern,
        ",".join(config.dataset.formats),
        options_of(config).model_dump_json(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _summed_up(
    workspace: Workspace,
    fmt: Format,
    before: Mapping[str, Made],
    now: Mapping[str, Made],
    told: _Told,
) -> DatasetUpdate:
    name = str(fmt)
    was = {partition for partition, one in before.items() if name in one.sizes}
    there = {partition for partition, one in now.items() if name in one.sizes}
    replaced = {partition for partition in was & there if before[partition] != now[partition]}
    kind: Kind = "rewrite"
    if was <= there and not replaced:
        kind = "none" if was == there else "append" if was else "create"
    return DatasetUpdate(
        format=fmt,
        root=dataset_prefix(workspace.config, fmt),
        kind=kind,
        episodes=sum(now[partition].sizes[name][0] for partition in there),
        frames=sum(now[partition].sizes[name][1] for partition in there),
        added=_keys(there - was),
        replaced=_keys(replaced),
        removed=_keys(was - there),
        why_removed={
            decode_key(p): told.leaving[p].reason for p in (was - there) & told.leaving.keys()
        },
        withheld={decode_key(partition): why for partition, why in told.withheld.items()},
        lost=_keys(set(told.lost) & there),
        skipped={decode_key(p): one.skipped for p, one in now.items() if one.skipped is not None},
        stale=_keys({partition for partition, one in now.items() if one.stale}),
    )


def _keys(partitions: set[str]) -> tuple[str, ...]:
    return tuple(sorted(decode_key(partition) for partition in partitions))


def _write_state(workspace: Workspace, made: Mapping[str, Made]) -> None:
    data = State(made=dict(made)).model_dump_json().encode()
    workspace.storage.write(_state_key(workspace), data)


def _state_key(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/episode_datasets.json"
