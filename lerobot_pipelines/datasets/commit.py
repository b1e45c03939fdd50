"""Bringing a planned change into the bucket so that no reader ever meets half of it.

The order, and why:

1. New videos: no reader looks at an mp4 that the metadata does not name.
2. If anything that the old ``info.json`` reaches is about to change, ``info.json`` is taken away:
   a reader then fails clearly. An append to v3.0 skips this: lerobot takes ``total_frames`` rows
   of the files in the order of their paths, and new rows lie behind the old ones at every moment.
   To v2.1 an append does need it, for as long as its small files take: lerobot 0.3.3 reads every
   parquet below ``data/``, whatever ``info.json`` says, and holds them against the JSON lines.
3. Rows, then what describes them, then removal of what is no longer part of it.
4. ``info.json``: the commit point.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.building import Builder
from lerobot_pipelines.datasets.card import CARD_PATH
from lerobot_pipelines.datasets.contents import FileKind, LargeFile
from lerobot_pipelines.datasets.describing import INFO_PATH
from lerobot_pipelines.datasets.ledger import Kind, Ledger
from lerobot_pipelines.datasets.provenance import PROVENANCE_PATH
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound, Storage

logger = logging.getLogger(__name__)

# No loader looks at these.
_FOR_PEOPLE = (CARD_PATH, PROVENANCE_PATH)


@dataclass(frozen=True, slots=True)
class Plan:
    """A change. ``files`` and ``metas`` (whole small files) hold only what must be written.

    ``info`` is the new ``info.json``; None when nothing is left to describe.
    """

    format: Format
    files: tuple[LargeFile, ...]
    metas: Mapping[str, bytes]  # without info.json
    info: bytes | None
    info_is_new: bool
    deletes: tuple[str, ...]
    reached: Collection[str]  # large files that the old info.json reaches
    is_first: bool  # no reader knows the dataset yet
    adds: bool  # holds episodes that the old dataset does not

    @property
    def writes(self) -> dict[str, str]:
        """The identity of everything that is written, by path."""
        large = {file.path: file.identity for file in self.files}
        small = dict(self.metas)
        if self.info is not None and self.writes_info:
            small[INFO_PATH] = self.info
        return large | {path: sha256(data) for path, data in small.items()}

    @property
    def touches_old(self) -> bool:
        return not self.is_first and (
            any(file.path in self.reached for file in self.files)
            or any(path in self.reached for path in self.deletes)
            or INFO_PATH in self.deletes
        )

    @property
    def kind(self) -> Kind:
        if self.is_first:
            return "create"
        return "append" if self.adds and not self.touches_old else "rewrite"

    @property
    def takes_info_away(self) -> bool:
        shows = self.files or self.deletes or any(path not in _FOR_PEOPLE for path in self.metas)
        return self.touches_old or (self.format is Format.V21 and not self.is_first and bool(shows))

    @property
    def writes_info(self) -> bool:
        return self.info is not None and (self.info_is_new or self.takes_info_away)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def publish(
    storage: Storage, root: str, plan: Plan, builder: Builder, ledger: Ledger, number: int
) -> dict[str, Any]:
    """Carry the plan out; what was written, by path. Raises ``Transient`` when overtaken."""
    written: dict[str, Any] = {}

    def put(file: LargeFile) -> None:
        key = f"{root}/{file.path}"
        there = builder.object_of(file)
        if there is not None and (copied := _copied(storage, there, key)) is not None:
            written[file.path] = copied
            return
        with builder.built(file) as path:
            written[file.path] = _upload(storage, path, key)

    free = [f for f in plan.files if f.kind is FileKind.VIDEO and f.path not in plan.reached]
    for file in free:
        put(file)
    ledger.check_still_newest(number)
    if plan.takes_info_away:
        storage.delete(f"{root}/{INFO_PATH}")
    order = [FileKind.VIDEO, FileKind.DATA, FileKind.EPISODES]
    done = {file.path for file in free}
    rest = [file for file in plan.files if file.path not in done]
    for file in sorted(rest, key=lambda one: order.index(one.kind)):
        put(file)
    for path, data in plan.metas.items():
        storage.write(f"{root}/{path}", data)
        written[path] = {"size": len(data)}
    for path in plan.deletes:
        storage.delete(f"{root}/{path}")
    ledger.check_still_newest(number)
    if plan.info is not None and plan.writes_info:
        storage.write(f"{root}/{INFO_PATH}", plan.info)
    return written


def _copied(storage: Storage, source: str, key: str) -> dict[str, Any] | None:
    """None where the store cannot copy, as some that otherwise speak S3 cannot."""
    try:
        info = storage.copy(source, key)
    except (ObjectNotFound, Transient) as fault:
        logger.warning("%s is fetched and sent, for it cannot be copied: %s", source, fault)
        return None
    return {"size": info.size, "etag": info.etag}


def _upload(storage: Storage, path: Path, key: str) -> dict[str, Any]:
    size = path.stat().st_size
    info: ObjectInfo = storage.upload(path, key)
    if info.size != size:
        raise Transient(f"{key} has {info.size} bytes after its upload instead of {size}")
    return {"size": size, "etag": info.etag}
