"""The dataset's ledger: what it holds, and every change of it announced before it is made.

``<converted_prefix>/<pattern>/.ledger/<format>/00000007.json`` is an intent: the whole state that
the dataset will be in, and every object that is written or deleted on the way. It is created only
if it does not exist, so of several writers one wins. ``00000007.done`` follows once ``info.json``
is in place. An intent without it is a commit that was interrupted: unless its ``info.json`` is
there, whatever it names cannot be trusted and is written again or deleted by the next one.

It lies beside the dataset, so that the two are copied, moved and deleted together, and nothing is
lost with the artifacts below the work prefix. Earlier versions kept it there: a ledger that is
still there is read until the first commit after it is complete. A copy of the last commit stays
there, for a ledger that is lost or broken beside the dataset.

Snapshots replace one another, so only the last few are kept and the ledger does not grow with the
number of commits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from lerobot_pipelines.config.rules_dataset import dataset_folder
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets.members import DatasetSchema, Member
from lerobot_pipelines.datasets.options import Options, work_folder
from lerobot_pipelines.datasets.records import Record
from lerobot_pipelines.datasets.selection import Left
from lerobot_pipelines.datasets.totals import PictureTotal, VectorTotal
from lerobot_pipelines.errors import Reason, Refused, Transient
from lerobot_pipelines.storage.base import ObjectNotFound, Storage

LEDGER_VERSION = 1

LEDGER_NAME = ".ledger"

_KEPT_COMMITS = 3

Kind = Literal["none", "create", "append", "rewrite"]


class VideoFile(Record):
    """An mp4 of a v3.0 dataset: its number and how many episodes it holds."""

    number: int
    episodes: int


class Packing(Record):
    """How the episodes of a v3.0 dataset, in order, are spread over files (episodes per file).

    ``next_numbers``: from which on no file was ever promised, by kind of file (see ``numbering``).
    """

    data: tuple[int, ...] = ()
    episodes: tuple[int, ...] = ()
    videos: dict[str, tuple[VideoFile, ...]] = Field(default_factory=dict)
    # Earlier versions counted from 0 and wrote no numbers.
    data_numbers: tuple[int, ...] = ()
    episodes_numbers: tuple[int, ...] = ()
    next_numbers: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _counted(self) -> Packing:
        for name in ("data", "episodes"):
            if len(getattr(self, f"{name}_numbers")) != len(getattr(self, name)):
                numbers = tuple(range(len(getattr(self, name))))
                object.__setattr__(self, f"{name}_numbers", numbers)
        return self


class Totals(Record):
    vectors: dict[str, VectorTotal] = Field(default_factory=dict)
    pictures: dict[str, PictureTotal] = Field(default_factory=dict)


class Snapshot(Record):
    """A whole dataset, short of the rows and pictures themselves."""

    ledger_version: int = LEDGER_VERSION
    format: Format
    config_hash: str
    options: Options
    layout: DatasetSchema
    tasks: tuple[str, ...]
    members: tuple[Member, ...]
    left: dict[str, Left]  # records that were read and are not in it
    packing: Packing
    totals: Totals
    metas: dict[str, str]  # SHA-256 of info.json and its like
    generation: int = 0  # of v2.1: the commit whose folder of videos is in use, see ``v21``
    abandoned: int = 0  # the newest commit that another one took the place of; 0: none ever
    fences: tuple[str, ...] = ()  # where late rows would be read: no such place may be empty


class Intent(Record):
    kind: Kind
    writes: dict[str, str]  # path -> identity of the content
    deletes: tuple[str, ...]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class History:
    """``done`` is the last complete commit, ``pending`` the others after it, by number."""

    number: int  # of the newest intent, 0 if there is none
    done: Intent | None
    pending: Mapping[int, Intent]


def ledger_folder(config: DatasetConfig, fmt: Format) -> str:
    return f"{beside_dataset(config)}/{fmt.value}"


def earlier_ledger_folder(config: DatasetConfig, fmt: Format) -> str:
    """Where versions before 0.2 kept it."""
    return f"{work_folder(config)}/ledger/{fmt.value}"


def beside_dataset(config: DatasetConfig) -> str:
    """What belongs to the dataset without being part of it. No dataset can be called like it: a
    folder in ``dataset.pattern`` never begins with a dot."""
    parts = (config.storage.converted_prefix, dataset_folder(config), LEDGER_NAME)
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def open_ledger(storage: Storage, config: DatasetConfig, fmt: Format) -> Ledger:
    return Ledger(storage, ledger_folder(config, fmt), earlier_ledger_folder(config, fmt))


class Ledger:
    """``earlier``: a folder whose commits count for as long as ``folder`` holds no complete one."""

    def __init__(self, storage: Storage, folder: str, earlier: str | None = None) -> None:
        self._storage = storage
        self._folder = folder
        self._earlier = earlier

    def history(self) -> History:
        places = self._places()
        intents = {number for number, suffix in places if suffix == "json"}
        done = {number for number, suffix in places if suffix == "done"}
        last_done = max(done & intents, default=0)
        pending = sorted(number for number in intents if number > last_done)
        return History(
            number=max(intents | done, default=0),
            done=self._read(places[last_done, "json"]) if last_done else None,
            pending={number: self._read(places[number, "json"]) for number in pending},
        )

    def announce(self, number: int, intent: Intent) -> None:
        """Raises ``Transient`` if another writer has announced a commit since ``history``."""
        # A number that is free only because it was cleaned away meanwhile is not ours either.
        data = intent.model_dump_json().encode()
        if not self._storage.create(self._key(number), data) or self._newest() != number:
            raise Transient(f"another writer is at work on the dataset of {self._folder}")

    def check_still_newest(self, number: int) -> None:
        """Raises ``Transient`` if another writer has taken over, having thought us dead."""
        # By listing: the next number may have been cleaned away already.
        if self._newest() != number:
            raise Transient(f"another writer took over the dataset of {self._folder}")

    def finish(self, number: int, written: Mapping[str, Any]) -> None:
        """The commit is in place; forget all but the last few."""
        data = json.dumps(written, indent=1).encode()
        self._storage.write(self._key(number, "done"), data)
        self._keep_copy(number)
        # The marker last: an intent without one would look interrupted.
        order = {"json": 0, "done": 1}
        numbers = [(old, order[suffix], suffix) for old, suffix in self._numbers(self._folder)]
        for old, _, suffix in sorted(numbers):
            if old <= number - _KEPT_COMMITS:
                self._storage.delete(self._key(old, suffix))

    def _keep_copy(self, number: int) -> None:
        """The last complete commit lies below the work prefix as well, where earlier versions look
        for it: a ledger that is lost or broken in one place is read from the other."""
        if self._earlier is None:
            return
        self._copy(self._key(number), f"{self._earlier}/{_name(number, 'json')}")
        self._storage.write(f"{self._earlier}/{_name(number, 'done')}", b"{}")
        for old, suffix in sorted(self._numbers(self._earlier), key=lambda one: one[1] == "done"):
            if old < number:
                self._storage.delete(f"{self._earlier}/{_name(old, suffix)}")

    def _copy(self, source: str, key: str) -> None:
        try:
            self._storage.copy(source, key)
        except Transient:  # a store that cannot copy
            self._storage.write(key, self._storage.read(source))
        except ObjectNotFound:  # it is a commit of an earlier version, and there already
            return

    def _places(self) -> dict[tuple[int, str], str]:
        """The object key of every intent ("json") and marker ("done") that counts, by number."""
        found = self._numbers(self._folder)
        own = {one: self._key(*one) for one in found}
        last_done = max((number for number, suffix in found if suffix == "done"), default=0)
        # A marker alone: its intent is lost, and its copy counts.
        if self._earlier is None or (last_done and (last_done, "json") in found):
            return own
        earlier = {one: f"{self._earlier}/{_name(*one)}" for one in self._numbers(self._earlier)}
        return earlier | own

    def _newest(self) -> int:
        return max((number for number, suffix in self._places() if suffix == "json"), default=0)

    def _numbers(self, folder: str) -> set[tuple[int, str]]:
        _, objects = self._storage.list_level(folder)
        found = set()
        for info in objects:
            stem, _, suffix = info.key.rpartition("/")[2].partition(".")
            if suffix in ("json", "done") and stem.isdigit():
                found.add((int(stem), suffix))
        return found

    def _key(self, number: int, suffix: str = "json") -> str:
        return f"{self._folder}/{_name(number, suffix)}"

    def _read(self, key: str) -> Intent:
        """Raises ``Transient`` if it was cleaned away since the listing."""
        error: Exception | None = None
        for place in dict.fromkeys(
            (key, f"{self._earlier or self._folder}/{key.rpartition('/')[2]}")
        ):
            try:
                return Intent.model_validate_json(self._storage.read(place))
            except (ObjectNotFound, ValidationError) as fault:
                error = error or fault
        if isinstance(error, ObjectNotFound):
            raise Transient(f"another writer is at work on the dataset of {self._folder}")
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{key} is not a ledger entry of this version, and there is no copy of it below the "
            f"work prefix; delete {self._folder} and the dataset to have it built anew",
        ) from error


def _name(number: int, suffix: str) -> str:
    return f"{number:08d}.{suffix}"
