"""Recordings that were never converted, as a source: rows by the alignment of their configuration.

Rows and pictures are those that the conversion would make, without the loss of its encoder.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.forks import ForkLock, keep_untouched
from lerobot_pipelines.loading.frames import FrameCache
from lerobot_pipelines.loading.raw_index import RawIndex, read_index, specs_of
from lerobot_pipelines.loading.source import FeatureSpec, Picture, starts_of
from lerobot_pipelines.model import AlignedFrames, Recording
from lerobot_pipelines.pipeline.discovery import list_members
from lerobot_pipelines.pipeline.episode_config import overridden, read_overrides
from lerobot_pipelines.pipeline.fetch import opened_recording
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.video.depth import DepthFramer
from lerobot_pipelines.video.framing import Framer
from lerobot_pipelines.video.pictures import PictureDecoder
from lerobot_pipelines.video.plan import PACKET_ENCODINGS


@dataclass(slots=True)
class _Open:
    """A recording that is open, and its rows."""

    recording: Recording
    frames: AlignedFrames
    stack: ExitStack
    framers: dict[str, Framer | DepthFramer] = field(default_factory=dict)


class RawSource:
    """See ``Source``. An episode is a segment of a recording; ``refused`` says what is left out.

    At most ``config.max_open_files`` recordings are open, and ``config.frame_cache_mb`` of decoded
    pictures kept, per process.
    """

    def __init__(
        self,
        workspace: Workspace,
        config: LoadingConfig,
        statistics: Mapping[str, Mapping[str, NDArray[np.float64]]] | None = None,
    ) -> None:
        self.name = workspace.dataset
        self.fps = workspace.config.dataset.fps
        self.statistics = dict(statistics or {})
        self._workspace = workspace
        self._max_open = config.max_open_files
        self._cache_bytes = int(config.frame_cache_mb * 1e6)
        self._remote = workspace.storage.local_path("") is None
        self._lock = ForkLock()
        self._start()
        index: RawIndex = read_index(workspace)
        self.refused = index.refused
        self._episodes = [(one.key, n) for one in index.episodes for n in range(len(one.lengths))]
        self.lengths: Rows = np.asarray(
            [length for one in index.episodes for length in one.lengths], dtype=np.int64
        )
        if not self._episodes:
            told = next(iter(index.refused.items()), ("no recording", "there is none"))
            raise Refused(
                Reason.INCOMPLETE_UPLOAD,
                f"{self.name} has no recording that can be used; {told[0]}: {told[1]}",
            )
        self.tasks = list(dict.fromkeys(one.task for one in index.episodes))
        numbers = {task: number for number, task in enumerate(self.tasks)}
        self._tasks = [numbers[one.task] for one in index.episodes for _ in one.lengths]
        self._starts = starts_of(self.lengths)
        self.features: dict[str, FeatureSpec] = specs_of(self._opened(self._episodes[0][0]).frames)
        self._add_cameras()

    def _start(self) -> None:
        self._process = os.getpid()
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._cache = FrameCache(self._cache_bytes)

    def __getstate__(self) -> dict[str, object]:
        volatile = ("_process", "_open", "_cache", "_workspace")
        state = {key: value for key, value in self.__dict__.items() if key not in volatile}
        return {**state, "_config": (self._workspace.config, self._workspace.cache_dir)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from lerobot_pipelines.pipeline.workspace import open_workspace

        config, cache_dir = state.pop("_config")
        self.__dict__.update(state)
        self._workspace = open_workspace(config, cache_dir=cache_dir)
        self._start()

    @property
    def needs_spawn(self) -> bool:
        return self._remote

    @property
    def open_recordings(self) -> int:
        """Recordings open in this process."""
        return len(self._open)

    def values(self, key: str, episode: int, rows: Rows) -> NDArray[Any]:
        if key == "timestamp":
            return (rows / self.fps).astype(np.float32)
        computed = {
            "frame_index": rows,
            "episode_index": np.full(len(rows), episode),
            "index": rows + self._starts[episode],
            "task_index": np.full(len(rows), self._tasks[episode]),
        }
        if key in computed:
            return np.asarray(computed[key])
        with self._lock:
            frames = self._opened(self._episodes[episode][0]).frames
        values: NDArray[Any] = frames.features[key][self._rows(frames, episode)[rows]]
        return values

    def pictures(
        self, camera: str, episode: int, rows: Rows, keep: range | None = None
    ) -> list[Picture]:
        key = self._episodes[episode][0]
        with self._lock:
            one = self._opened(key)
            ids = one.frames.pictures[camera][self._rows(one.frames, episode)]
            wanted = ids[rows]
            place = f"{key}/{camera}"
            if any(self._cache.get((place, int(number))) is None for number in wanted):
                soon = wanted if keep is None else np.union1d(wanted, ids[keep.start : keep.stop])
                found = self._decode(one, camera, place, np.unique(soon))
            else:
                found = {int(n): self._cache.get((place, int(n))) for n in wanted}
        return [found[int(number)].to_ndarray(format="rgb24") for number in wanted]

    def picture_bytes(self, camera: str) -> int:
        height, width = self.features[camera].shape[:2]
        return height * width * 3 // 2

    def will_need(self, episode: int) -> None:
        """Nothing to do: recordings are opened when they are read."""

    def _decode(self, one: _Open, camera: str, place: str, ids: Rows) -> dict[int, Any]:
        """The frames of those picture ids, in the encoder's form; they are kept, too."""
        stream = one.frames.picture_streams[camera]
        asked = ids
        if one.recording.streams[stream].details.get("encoding") in PACKET_ENCODINGS:
            asked = np.arange(int(ids[-1]) + 1, dtype=np.int64)  # each needs those before it
        wanted = {int(number) for number in ids}
        framer = one.framers.setdefault(camera, self._framer(camera))
        decoder = PictureDecoder(self._workspace.config.limits.max_pixels)
        found: dict[int, Any] = {}

        def take(decoded: Any) -> None:
            if decoded.id in wanted:
                found[decoded.id] = framer.frame(decoded).frame
                self._cache.put((place, decoded.id), found[decoded.id])

        for picture in one.recording.pictures({stream: asked}):
            for decoded in decoder.decode(picture):
                take(decoded)
        for decoded in decoder.flush():
            take(decoded)
        if missing := wanted - set(found):
            raise Refused(
                Reason.CORRUPT_PICTURE, f"{place}: picture {min(missing)} cannot be decoded"
            )
        return found

    def _framer(self, camera: str) -> Framer | DepthFramer:
        """As the conversion has it; depth becomes the grey that it is loaded as from a dataset."""
        config = self._workspace.config
        depth = {one.feature: one for one in config.cameras if one.depth}
        if camera in depth:
            return DepthFramer(depth[camera], config.video)
        return Framer(camera, config.video)

    def _rows(self, frames: AlignedFrames, episode: int) -> Rows:
        return np.flatnonzero(frames.segments == self._episodes[episode][1])

    def _opened(self, key: str) -> _Open:
        if os.getpid() != self._process:
            if self._remote:
                raise Refused(
                    Reason.UNSUPPORTED,
                    f"recordings of {self._workspace.storage.url} cannot be read in a forked "
                    'worker; use make_loader, or multiprocessing_context="spawn"',
                )
            keep_untouched(self._open, self._cache)
            self._start()
        with self._lock:
            if key not in self._open:
                self._open[key] = self._open_recording(key)
                while len(self._open) > self._max_open:
                    _, oldest = self._open.popitem(last=False)
                    oldest.stack.close()
            self._open.move_to_end(key)
            return self._open[key]

    def _open_recording(self, key: str) -> _Open:
        workspace = self._workspace
        members = list_members(workspace.storage, workspace.config, key)
        stack = ExitStack()
        recording = stack.enter_context(opened_recording(workspace, key, members))
        try:
            config = overridden(workspace.config, read_overrides(workspace, key, members), key)
            return _Open(recording, align(recording, config), stack)
        except BaseException:
            stack.close()
            raise

    def _add_cameras(self) -> None:
        first = self._opened(self._episodes[0][0]).frames
        row = np.zeros(1, dtype=np.int64)
        for camera in first.pictures:
            shape = self.pictures(camera, 0, row)[0].shape
            self.features[camera] = FeatureSpec("video", shape)
