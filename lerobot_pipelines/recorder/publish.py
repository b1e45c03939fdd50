"""Put one recording into the bucket so that it is converted once, whole, and never before.

The order makes it safe to stop anywhere and to call again: a sign that an upload is under way, the
marker of an earlier version taken away, the files, the episode's settings, the marker, the sign
taken away. Nothing converts an episode that has the sign and no marker, so a broken upload waits
until it is published again; then what is already there is not sent a second time.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from lerobot_pipelines.config.places import chosen_config
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import (
    ContentChanged,
    PipelineError,
    Transient,
)
from lerobot_pipelines.model import Member
from lerobot_pipelines.pipeline.discovery import (
    fingerprint,
    list_members,
    upload_signs,
)
from lerobot_pipelines.pipeline.episode_config import EpisodeOverrides, overridden, parse_overrides
from lerobot_pipelines.recorder.by_name import announce_by_name
from lerobot_pipelines.recorder.placing import (
    bag_name,
    episode_key,
    local_recording,
    targets,
)
from lerobot_pipelines.recordings.layout import (
    MARKER_NAME,
    OVERRIDES_NAME,
    UPLOADING_NAME,
    beside,
)
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage.base import ObjectInfo, Storage
from lerobot_pipelines.storage.names import join, shown

_log = logging.getLogger(__name__)

SOURCE_VARIABLE = "ROBOT_ID"

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Published:
    """What is in the bucket now. ``fingerprint`` is the content's identity, as in its record."""

    key: str
    uri: str
    fingerprint: str
    files: int
    bytes: int
    uploaded: int
    skipped: int  # were there already, byte for byte
    removed: int  # of an earlier version


@overload
def publish_episode(
    episode_id: str,
    recording: str | Path,
    *,
    config: DatasetConfig | str | Path | None = None,
    source: str | None = None,
    strategy: str | None = None,
    task: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_progress: OnProgress = ...,
) -> Published: ...


@overload
def publish_episode(
    episode_id: str,
    recording: None = None,
    *,
    config: DatasetConfig | str | Path | None = None,
    source: str | None = None,
    strategy: str | None = None,
    task: str | None = None,
) -> bool: ...


def publish_episode(
    episode_id: str,
    recording: str | Path | None = None,
    *,
    config: DatasetConfig | str | Path | None = None,
    source: str | None = None,
    strategy: str | None = None,
    task: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Published | bool:
    """Upload a recording below ``raw/[source/]episode_id`` and mark it complete.

    ``recording`` is what ``lerobot-pipelines inspect`` takes: a bag, or a folder with joints and
    images in either layout. ``config`` is the dataset's configuration or its file; None means what
    the environment variable ``LEROBOT_PIPELINES_CONFIG`` names, else ``config/storage.yaml`` or
    ``storage.yaml`` in the working directory. ``source`` names the robot; None means the
    environment variable ``ROBOT_ID``, and no source if that is not set. ``strategy``, ``task`` and
    ``overrides`` (more keys of ``alignment``) hold for this episode alone. ``on_progress`` gets
    files done and files altogether, from several threads.

    Safe to repeat after any fault: only what is missing or differs is sent. Publishing other
    content under the same name replaces the episode. Raises ``Refused`` for a recording or settings
    that cannot be used (nothing is uploaded then), ``Transient`` where trying again may help,
    ``ConfigError`` where the configuration or the source is wrong.

    Without ``recording``, as earlier systems announced an episode that their bucket had already:
    returns True where it is there and complete, and is converted now or was; ``strategy`` and
    ``task`` become its own. The end of its name is enough where one episode alone ends so. Where
    it cannot be, nothing is raised: the reason is logged as an error, and False returned.
    """
    if recording is None:
        if overrides is not None:
            raise TypeError("overrides go with a recording")
        try:
            announce_by_name(
                chosen_config(config), episode_id, _source(source), strategy=strategy, task=task
            )
        except (PipelineError, OSError) as error:
            _log.error("episode %s is not published: %s", shown(episode_id), error)
            return False
        return True
    resolved = chosen_config(config)
    wanted = _overrides(strategy, task, overrides)
    found = local_recording(Path(recording))
    key = episode_key(resolved, _source(source), episode_id, bag_name(found))
    overridden(resolved, wanted, key)
    files = targets(found, key, resolved.layout)
    upload = _Upload(open_storage(resolved.storage), resolved, key)
    members, counts = upload.run(files, wanted, on_progress)
    return Published(
        key=key,
        uri=f"{upload.storage.url.rstrip('/')}/{join(resolved.storage.raw_prefix, key)}",
        fingerprint=fingerprint(members),
        files=len(members),
        bytes=sum(member.size for member in members),
        **counts,
    )


def _source(source: str | None) -> str | None:
    return source if source is not None else os.environ.get(SOURCE_VARIABLE) or None


def _overrides(
    strategy: str | None, task: str | None, others: Mapping[str, Any] | None
) -> EpisodeOverrides:
    alignment = dict(others or {})
    if strategy is not None:
        alignment["strategy"] = strategy
    wanted = {"task": task, "alignment": alignment}
    return parse_overrides(json.dumps(wanted).encode(), "the episode's overrides")


class _Upload:
    """One episode on its way into the bucket."""

    def __init__(self, storage: Storage, config: DatasetConfig, key: str) -> None:
        self.storage = storage
        self._config = config
        self._key = key
        self._marker = config.storage.scanner.marker or MARKER_NAME

    def run(
        self, files: Mapping[str, Path], overrides: EpisodeOverrides, on_progress: OnProgress
    ) -> tuple[tuple[Member, ...], dict[str, int]]:
        before = {path: _identity(file) for path, file in files.items()}
        settings = self._settings(overrides)
        there = {member.path: member for member in self._members()}
        pool_size = self._config.storage.threads_up
        with ThreadPoolExecutor(pool_size) as pool:
            differing = [
                path
                for path, differs in zip(
                    files,
                    pool.map(lambda path: self._differs(there.get(path), files[path]), files),
                    strict=True,
                )
                if differs
            ]
            stale = sorted(set(there) - set(files) - set(settings))
            new_settings = {
                path: data for path, data in settings.items() if not self._says(path, there, data)
            }
            if differing or stale or new_settings:
                self._begin()
            done = len(files) - len(differing)
            for _ in pool.map(lambda path: self._send(path, files[path]), differing):
                done += 1
                on_progress(done, len(files))
        for path in stale:
            self.storage.delete(self._object(path))
        for path, data in new_settings.items():
            self.storage.write(self._object(path), data)
        members = self._members()
        self._check(members, {*files, *settings})
        if any(_identity(file) != before[path] for path, file in files.items()):
            raise ContentChanged(f"the recording of {self._key} changed while it was published")
        self._end()
        counts = {
            "uploaded": len(differing),
            "skipped": len(files) - len(differing),
            "removed": len(stale),
        }
        return members, counts

    def _begin(self) -> None:
        """The sign first: between the two steps the episode must not look complete."""
        sign = beside(self._key, UPLOADING_NAME)
        self.storage.write(self._object(sign), b"{}\n")
        for place in upload_signs(self.storage, self._config, self._key):
            if place != self._object(sign):
                self.storage.delete(place)

    def _end(self) -> None:
        self.storage.write(self._object(beside(self._key, self._marker)), b"{}\n")
        self.storage.delete(self._object(beside(self._key, UPLOADING_NAME)))

    def _settings(self, overrides: EpisodeOverrides) -> dict[str, bytes]:
        if overrides.is_empty:
            return {}
        text = overrides.model_dump_json(exclude_defaults=True, indent=1)
        return {beside(self._key, OVERRIDES_NAME): f"{text}\n".encode()}

    def _differs(self, there: Member | None, file: Path) -> bool:
        if there is None or there.size != file.stat().st_size:
            return True
        info = ObjectInfo(self._object(there.path), there.size, there.etag, 0)
        return not self.storage.holds(info, file)

    def _says(self, path: str, there: Mapping[str, Member], data: bytes) -> bool:
        return path in there and self.storage.read(self._object(path)) == data

    def _send(self, path: str, file: Path) -> None:
        self.storage.upload(file, self._object(path))

    def _check(self, members: tuple[Member, ...], wanted: set[str]) -> None:
        listed = {member.path for member in members}
        if listed != wanted:
            first = sorted(listed ^ wanted)[0]
            raise Transient(
                f"after the upload {self.storage.url} lists {len(listed)} of {len(wanted)} files "
                f"of {self._key} (for example {first}); publish it again"
            )

    def _members(self) -> tuple[Member, ...]:
        return list_members(self.storage, self._config, self._key)

    def _object(self, path: str) -> str:
        return join(self._config.storage.raw_prefix, path)


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns
