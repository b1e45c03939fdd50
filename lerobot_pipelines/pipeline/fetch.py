"""An episode's members as local files, and the proof that they were the same until the end.

A store on this machine is read in place; from any other the members are fetched, several at a
time, into this machine's cache.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Member, Recording
from lerobot_pipelines.pipeline.discovery import episode_source, fingerprint, list_members
from lerobot_pipelines.pipeline.episode_config import without_overrides
from lerobot_pipelines.pipeline.workspace import KeptOpen, Workspace
from lerobot_pipelines.recordings import open_recording
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.storage.local_versions import lasting_etag

logger = logging.getLogger(__name__)

PROGRESS_EVERY_S = 5.0


def members_of(workspace: Workspace, key: str) -> tuple[Member, ...]:
    """The episode's members as the bucket has them now.

    Raises ``Refused`` (incomplete_upload) if there are none.
    """
    members = list_members(workspace.storage, workspace.config, key)
    if not members:
        raise Refused(
            Reason.INCOMPLETE_UPLOAD,
            f"episode {key} has no files below "
            f"{workspace.storage.url}/{workspace.config.storage.raw_prefix}",
        )
    return members


@contextmanager
def opened_recording(
    workspace: Workspace, key: str, members: tuple[Member, ...]
) -> Iterator[Recording]:
    """Open the episode for reading; at the end check that no member changed meanwhile.

    Raises ``ContentChanged`` when the members listed now differ from those given, also if reading
    failed for that very cause.
    """
    try:
        if (kept := workspace.kept_open) is None:
            with _recording(workspace, key, members) as recording:
                yield recording
        else:
            identity = (key, fingerprint(members))
            if identity not in kept.recordings:
                kept.recordings[identity] = kept.until_closed.enter_context(
                    _recording(workspace, key, members)
                )
            yield kept.recordings[identity]
    except Exception as error:
        _refuse_changed(workspace, key, members, error)
        raise
    _refuse_changed(workspace, key, members, None)


@contextmanager
def kept_open(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace for several steps on one machine: what one opens, the next ones go on with."""
    with ExitStack() as until_closed:
        yield replace(workspace, kept_open=KeptOpen(until_closed))


@contextmanager
def _recording(workspace: Workspace, key: str, members: tuple[Member, ...]) -> Iterator[Recording]:
    prefix = workspace.config.storage.raw_prefix
    uri = "/".join(part for part in (workspace.storage.url.rstrip("/"), prefix, key) if part)
    with _local_root(workspace, members) as root:
        recorded, _ = without_overrides(workspace.config, key, members)
        source = episode_source(key, root, recorded, uri)
        notes = workspace.cache_dir / "first_passes"
        with closing(open_recording(source, workspace.config, notes=notes)) as recording:
            yield recording


def _refuse_changed(
    workspace: Workspace, key: str, members: tuple[Member, ...], cause: Exception | None
) -> None:
    now = list_members(workspace.storage, workspace.config, key)
    if fingerprint(now) != fingerprint(members):
        raise ContentChanged(f"episode {key} changed in the bucket while it was read") from cause


@contextmanager
def _local_root(workspace: Workspace, members: tuple[Member, ...]) -> Iterator[Path]:
    prefix = workspace.config.storage.raw_prefix
    in_place = workspace.storage.local_path(prefix)
    if in_place is not None:
        yield in_place
        return
    size = sum(member.size for member in members)
    with workspace.cache.held(
        fingerprint(members), size, lambda folder: _fetch(workspace, members, folder)
    ) as folder:
        yield folder


def _fetch(workspace: Workspace, members: tuple[Member, ...], folder: Path) -> None:
    """All members into ``folder``. An episode is thousands of small objects: several at a time."""
    prefix = workspace.config.storage.raw_prefix

    def fetch(member: Member) -> None:
        target = folder / member.path
        target.parent.mkdir(parents=True, exist_ok=True)
        key = f"{prefix}/{member.path}" if prefix else member.path
        try:
            found = workspace.storage.download(key, target)
        except ObjectNotFound as error:
            raise ContentChanged(f"{key} disappeared before it was fetched") from error
        if found.etag != lasting_etag(member.etag):
            raise ContentChanged(f"{key} changed before it was fetched")

    size = sum(member.size for member in members)
    fetched, told_s = 0, time.monotonic()
    with ThreadPoolExecutor(workspace.config.storage.transfer_threads) as pool:
        for number, (member, _) in enumerate(
            zip(members, pool.map(fetch, members), strict=True), start=1
        ):
            fetched += member.size
            if time.monotonic() - told_s > PROGRESS_EVERY_S:
                told_s = time.monotonic()
                logger.info(
                    "fetched %d of %d objects, %.0f of %.0f MB",
                    *(number, len(members), fetched / 1e6, size / 1e6),
                )
