"""One run of lerobot's recording command whose episodes are saved in the background.

All three versions record inside ``with VideoEncodingManager(dataset)``: that is where saving
becomes asynchronous. By then the dataset is made or reopened, its picture writer is started, and
no frame was recorded. The loop's ``dataset.save_episode()`` hands the episode over.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lerobot_pipelines.recorder.async_saver import AsyncEpisodeSaver
from lerobot_pipelines.recorder.dataset_methods import enable_async_saving
from lerobot_pipelines.recorder.lerobot_options import AsyncOptions
from lerobot_pipelines.recorder.lerobot_versions import recording_part
from lerobot_pipelines.recorder.results import EpisodeResult
from lerobot_pipelines.recorder.spool import spool_folder

_log = logging.getLogger(__name__)

_MANAGER = "VideoEncodingManager"


class AsyncRecording:
    """The dataset that lerobot's command records into, and what became of its episodes."""

    def __init__(self, options: AsyncOptions) -> None:
        self._options = options
        self._dataset: Any = None
        self._saver: AsyncEpisodeSaver | None = None
        self._results: list[EpisodeResult] = []
        self._first = 0

    @contextlib.contextmanager
    def hooked(self, module: Any) -> Iterator[None]:
        """``module``, lerobot's, records asynchronously while this lasts."""
        original = getattr(module, _MANAGER)

        def begin(dataset: Any) -> Any:
            self._begin(dataset)
            return original(dataset)

        setattr(module, _MANAGER, begin)
        try:
            yield
        finally:
            setattr(module, _MANAGER, original)

    def finish(self) -> None:
        """Save what is under way. ``KeyboardInterrupt`` leaves what waits for the next start."""
        if self._saver is None:
            return
        if waiting := self._saver.get_status()["pending_tasks"]:
            _log.warning("%d episodes are still being saved; Ctrl-C leaves them for later", waiting)
        try:
            self._saver.stop(wait=True)
        except KeyboardInterrupt:
            self._saver.stop(wait=False)
            raise

    def report(self) -> tuple[list[str], int]:
        """What became of the episodes, a line each, and how many are not in the dataset."""
        if self._saver is None:
            return [], 0
        self._note_results()
        status = self._saver.get_status()
        total, saved = status["total_submitted"], status["total_completed"]
        root = Path(self._dataset.root)
        lines = [f"{root}: {saved} of {total} episodes saved"]
        # A save that was too late and succeeded after all has two results; the last one holds.
        last = {result.episode_index: result for result in self._results}
        lines += [
            f"episode {index} is NOT in the dataset: {result.error}"
            for index, result in sorted(last.items())
            if not result.success
        ]
        if total > saved and spool_folder(root).is_dir():
            lines.append(
                f"what could be kept of them lies in {spool_folder(root)}; after "
                f'"lerobot-pipelines recover {root} --retry-failed" the next recording into it '
                "(--resume=true) saves it first"
            )
        if frames := self._unfinished_frames():
            lines.append(
                f"the episode in progress ({frames} frames) was given up, as lerobot-record does"
            )
        return lines, total - saved

    def _begin(self, dataset: Any) -> None:
        self._dataset = dataset
        self._saver = saver = enable_async_saving(
            dataset,
            max_queue_size=self._options.async_save_queue_size,
            save_timeout=self._options.async_save_timeout,
        )
        if waiting := saver.get_status()["pending_tasks"]:
            _log.warning("%d episodes of an earlier recording are being saved first", waiting)
        dataset.save_episode = self._save_episode
        dataset.__class__ = _counting_pending(type(dataset), saver)

    def _save_episode(self) -> None:
        """What lerobot's loop calls. An episode that fails must not stop the recording."""
        self._dataset.save_episode_async()
        self._note_results()

    def _note_results(self) -> None:
        assert self._saver is not None
        for result in self._saver.get_results():
            self._results.append(result)
            if not result.success:
                _log.error("episode %d was not saved: %s", result.episode_index, result.error)

    def _unfinished_frames(self) -> int:
        with contextlib.suppress(Exception):
            buffer = recording_part(self._dataset)[0].episode_buffer
            return int(buffer["size"]) if buffer else 0
        return 0


def _counting_pending(original: type, saver: AsyncEpisodeSaver) -> type:
    """``num_episodes`` counts those under way too: the number that lerobot announces next."""
    counted: Callable[[Any], int] = original.num_episodes.fget  # type: ignore[attr-defined]

    def num_episodes(dataset: Any) -> int:
        return counted(dataset) + saver.get_status()["pending_tasks"]

    return type(original.__name__, (original,), {"num_episodes": property(num_episodes)})
