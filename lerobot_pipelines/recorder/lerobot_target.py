"""Saves into a real ``LeRobotDataset`` (0.3: v2.1; 0.4 to 0.6: v3.0) from another thread.

lerobot saves ``episode_buffer`` of the dataset (since 0.6 of its writer, see ``lerobot_versions``;
here either is "the dataset") and changes the dataset while it does. Here a shadow of the dataset
does it: an object of the same class with a buffer of its own; what it learned is copied back
afterwards. Takes are numbered as they are recorded; the index in the dataset is given when a
take is saved, so a failure leaves no hole. Every v3.0 episode gets files of its own: lerobot's open
parquet writers make a dataset that cannot be read after a crash, and an mp4 that is rewritten to
append an episode can lose all of its episodes. Loading knows no difference.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import shutil
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from lerobot_pipelines.recorder.lerobot_versions import recording_part
from lerobot_pipelines.recorder.picture_writer import PictureWriter
from lerobot_pipelines.recorder.spool import Spool, SpooledEpisode, spool_folder
from lerobot_pipelines.recorder.undo import PICTURES, DatasetUndo

# What belongs to the recording thread; everything else is the shadow's to change.
_RECORDING = ("episode_buffer", "image_writer", "_streaming_encoder")
_REPLACED = ("clear_episode_buffer", "_get_image_file_path")
# 0.6 ends a writer that is collected as garbage, which the shadow is in the end.
_ENDED = "_finalized"
_ONE_FILE_PER_EPISODE = ("data_files_size_in_mb", "video_files_size_in_mb")


class InterruptedSave(RuntimeError):
    """The dataset was opened as a crash left it."""


class LerobotTarget:
    """The dataset, its spool and its pictures. See ``Target``."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._names = recording_part(dataset)
        self._meta = dataset.meta
        self._class = type(self._dataset)
        self._meta_class = type(self._meta)
        self._root = Path(dataset.root)
        self._cameras = list(self._meta.camera_keys)
        self._replaced = (self._names.create_buffer, *_REPLACED)
        folder = spool_folder(self._root)
        self._spool = Spool(folder)
        self._undo = DatasetUndo(self._root, folder / "undo")
        self._next_take = 0
        self._shadow: Any = None
        self._found: dict[str, Any] = {}

    def attach(self) -> list[tuple[int, Any]]:
        """Take over recording and saving. Raises ``InterruptedSave``, ``SpoolInUse``, or
        ``ValueError`` if frames were recorded already."""
        dataset = self._dataset
        if dataset.episode_buffer is not None and dataset.episode_buffer["size"]:
            raise ValueError("save or clear the episode in progress before saving asynchronously")
        if self._undo.is_pending:
            raise InterruptedSave(
                f"a crash interrupted a save into {self._root}; run lerobot-pipelines recover "
                f"{self._root} and open the dataset again"
            )
        self._spool.open()
        if (take := self._undo.committed) is not None:
            self._spool.discard(take)
            self._undo.forget()
        shutil.rmtree(self._root / PICTURES, ignore_errors=True)
        owned = (*_RECORDING, self._names.batch_size)
        self._found = {name: getattr(dataset, name, None) for name in owned}
        self._close_writers(dataset)
        self._shadow = object.__new__(self._class)
        setattr(self._shadow, _ENDED, True)
        if all(hasattr(self._meta_class, name) for name in _ONE_FILE_PER_EPISODE):
            self._meta.__class__ = _one_file_per_episode(self._meta_class)
        left = list(self._spool.submitted())
        numbers = [episode.number for episode in left]
        self._next_take = max([self._meta.total_episodes, *(number + 1 for number in numbers)])
        self._pictures = PictureWriter(compressed=self._meta.image_keys)
        dataset.image_writer = self._pictures
        if "_streaming_encoder" in dataset.__dict__:
            # It holds one episode at a time, in memory.
            dataset._streaming_encoder = None
        setattr(dataset, self._names.create_buffer, self._create_buffer)
        dataset.clear_episode_buffer = self._clear_buffer
        dataset._get_image_file_path = self._picture_path
        dataset.episode_buffer = self._create_buffer()
        return [(episode.index, episode) for episode in left]

    def detach(self) -> None:
        dataset = self._dataset
        self._pictures.stop()
        for name in self._replaced:
            dataset.__dict__.pop(name, None)
        for name, value in self._found.items():
            if hasattr(dataset, name):
                setattr(dataset, name, value)
        self._meta.__class__ = self._meta_class
        if hasattr(self._meta_class, "_close_writer") and self._meta.total_episodes:
            # As after opening it again: else lerobot's next save overwrites the newest files,
            # which it believes it still has open.
            getattr(self._meta, self._names.load_metadata)()
            self._meta.latest_episode = None
            setattr(dataset, self._names.latest_episode, None)
        dataset.episode_buffer = getattr(dataset, self._names.create_buffer)()
        shutil.rmtree(self._root / PICTURES, ignore_errors=True)
        self._spool.close()

    def leave(self) -> None:
        # Making the dataset what it was reads it anew, with threads: too late for these.
        self._pictures.stop()
        self._spool.close()

    def admit(self, buffer: Any, episode_index: int) -> SpooledEpisode:
        number = int(buffer["episode_index"])
        if self._dataset.episode_buffer is buffer:
            self._dataset.episode_buffer = self._create_buffer()
        try:
            if not buffer["size"]:
                raise ValueError("the episode has no frames")
            # Nearly all of them are on disk; then the episode survives whatever comes.
            self._pictures.wait_for(number)
            return self._spool.put(number, episode_index, buffer, self._cameras)
        except BaseException:
            self._spool.discard(number)
            raise

    def save(self, payload: SpooledEpisode) -> int:
        dataset, shadow, meta = self._dataset, self._shadow, self._meta
        index: int = meta.total_episodes
        buffer = self._spool.buffer_of(payload)
        own = (*self._replaced, _ENDED)
        before = {key: value for key, value in dataset.__dict__.items() if key not in own}
        shadow.__dict__.update(before)
        setattr(shadow, self._names.batch_size, 1)
        self._undo.begin()
        meta_before = {key: _copied(value) for key, value in meta.__dict__.items()}
        try:
            shadow.episode_buffer = self._with_pictures(buffer, payload, index)
            self._save_whole(shadow)
            self._undo.commit(payload.number)
        except BaseException:
            for owner in (shadow, meta):
                self._drop_writer(owner)
            meta.__dict__.update(meta_before)
            self._undo.undo()
            raise
        for key, value in shadow.__dict__.items():
            if key not in (*self._found, _ENDED) and value is not before.get(key):
                setattr(dataset, key, value)
        shutil.rmtree(self._root / PICTURES, ignore_errors=True)
        self._spool.discard(payload.number)
        self._undo.forget()
        return index

    def abandon(self, payload: SpooledEpisode, error: str) -> None:
        self._spool.set_aside(payload, error)

    def _save_whole(self, shadow: Any) -> None:
        if _takes(self._class.save_episode, "parallel_encoding"):
            # A fork of this process would stop the control loop and inherit its locks.
            self._class.save_episode(shadow, parallel_encoding=False)
        else:
            self._class.save_episode(shadow)
        self._close_writers(shadow)

    def _close_writers(self, dataset: Any) -> None:
        """Give the parquet files their footers, from 0.4 on."""
        for owner, name in ((dataset, self._names.close_writer), (self._meta, "_close_writer")):
            if hasattr(owner, name):
                getattr(owner, name)()

    def _drop_writer(self, owner: Any) -> None:
        """Close a parquet writer whose file goes away; on a full disk that fails too."""
        for name in self._names.parquet_writers:
            if (writer := owner.__dict__.get(name)) is not None:
                with contextlib.suppress(Exception):
                    writer.close()
                setattr(owner, name, None)

    def _create_buffer(self, episode_index: int | None = None) -> dict[str, Any]:
        """A buffer under a take number that no other has or had, so pictures never mix."""
        number, self._next_take = self._next_take, self._next_take + 1
        create = getattr(self._class, self._names.create_buffer)
        buffer: dict[str, Any] = create(self._dataset, number)
        return buffer

    def _clear_buffer(self, delete_images: bool = True) -> None:
        """Throw the take away. ``delete_images`` is lerobot's and always so."""
        number = int(self._dataset.episode_buffer["episode_index"])
        self._dataset.episode_buffer = self._create_buffer()
        self._pictures.discard(number)
        self._spool.discard(number)

    def _picture_path(self, episode_index: int, image_key: str, frame_index: int) -> Path:
        """Pictures are written into the spool: the dataset's folder is the saver's alone.

        Those of other episodes, which ``VideoEncodingManager`` asks for in order to remove them,
        are where lerobot has them: takes that wait in the spool are not its business.
        """
        path: Path = self._class._get_image_file_path(
            self._dataset, episode_index, image_key, frame_index
        )
        if episode_index != self._dataset.episode_buffer["episode_index"]:
            return path
        return self._spool.pictures(episode_index) / image_key / path.name

    def _with_pictures(
        self, buffer: dict[str, Any], episode: SpooledEpisode, index: int
    ) -> dict[str, Any]:
        """The buffer under its final index, its pictures linked to where lerobot looks."""
        shutil.rmtree(self._root / PICTURES, ignore_errors=True)
        buffer["episode_index"] = index
        for camera in self._cameras:
            source = self._spool.pictures(episode.number) / camera
            paths = []
            for frame in range(buffer["size"]):
                path = self._class._get_image_file_path(self._dataset, index, camera, frame)
                if frame == 0:
                    path.parent.mkdir(parents=True)
                os.link(source / path.name, path)
                paths.append(str(path))
            buffer[camera] = paths
        return buffer


def _takes(function: Any, name: str) -> bool:
    return name in inspect.signature(function).parameters


def _one_file_per_episode(meta_class: type) -> type:
    """Every file is as large as it may get, so lerobot begins the next one."""
    full = property(lambda meta: 0)
    return type(meta_class.__name__, (meta_class,), dict.fromkeys(_ONE_FILE_PER_EPISODE, full))


def _copied(value: Any) -> Any:
    """As it is now, where a save changes it in place."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return list(value)
    if is_dataclass(value):  # the info of 0.6
        return copy.deepcopy(value)
    return value.copy() if type(value).__name__ == "DataFrame" else value
