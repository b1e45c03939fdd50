"""Asynchronous saving as methods of a dataset: functions that work on any, and a mix-in.

``enable_async_saving`` gives a dataset object these functions as methods. Its ``save_episode``
goes on working: it saves after the episodes submitted before it, and raises if it cannot. lerobot's
own endings (``finalize``, ``push_to_hub``, ``VideoEncodingManager``) wait for what was submitted.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from lerobot_pipelines.recorder.async_saver import AsyncEpisodeSaver
from lerobot_pipelines.recorder.endings import wait_before_endings
from lerobot_pipelines.recorder.lerobot_versions import recording_part
from lerobot_pipelines.recorder.results import EpisodeResult, SaveFailed, SaverStatus
from lerobot_pipelines.recorder.target import is_lerobot

_log = logging.getLogger(__name__)

_SAVER = "_async_episode_saver"
_UNDO_ENDINGS = "_async_endings_undone"


def enable_async_saving(
    dataset: Any, max_queue_size: int = 10, save_timeout: float = 300.0, **options: Any
) -> AsyncEpisodeSaver:
    """Save this dataset's episodes in the background from now on; again does nothing.

    ``options`` are the other ones of ``AsyncEpisodeSaver``, which is returned.
    """
    if (saver := _saver_of(dataset)) is not None:
        return saver
    saver = AsyncEpisodeSaver(dataset, max_queue_size, save_timeout, **options)
    setattr(dataset, _SAVER, saver)
    setattr(dataset, _UNDO_ENDINGS, wait_before_endings(dataset, partial(_wait_for_all, saver)))
    for function in (*_METHODS, save_episode):
        if function is save_episode or not hasattr(type(dataset), function.__name__):
            setattr(dataset, function.__name__, partial(function, dataset))
    return saver


def save_episode_async(dataset: Any, episode_buffer: Any = None) -> bool:
    """Hand over ``episode_buffer``, or what ``add_frame`` collected, and give it a fresh buffer.

    True: the episode was taken over, to be saved in the background, or, where the queue was full,
    saved in place; ``get_async_save_results`` says how it ended. False: the saver was stopped and
    nothing was touched; ``save_episode`` saves it then. Raises ``RuntimeError`` if not enabled.
    """
    saver = _enabled(dataset)
    if saver.is_released:
        return False
    buffer = _recording(dataset).episode_buffer if episode_buffer is None else episode_buffer
    index = _index_of(buffer, saver)
    if not saver.submit_episode(buffer, index):
        saver.save_in_place(buffer, index)
    return True


def save_episode(dataset: Any, episode_data: Any = None, **options: Any) -> None:
    """What ``dataset.save_episode`` is while saving is asynchronous. Raises ``SaveFailed``.

    ``options`` are lerobot's for encoding, which is the saver's own business here.
    """
    saver = _enabled(dataset)
    if saver.is_released:
        disable_async_saving(dataset)
        dataset.save_episode(*([] if episode_data is None else [episode_data]), **options)
        return
    buffer = _recording(dataset).episode_buffer if episode_data is None else episode_data
    result = saver.save_in_place(buffer, _index_of(buffer, saver))
    if not result.success:
        raise SaveFailed(f"episode {result.episode_index} was not saved: {result.error}")


def get_async_save_status(dataset: Any) -> SaverStatus:
    """See ``AsyncEpisodeSaver.get_status``."""
    return _enabled(dataset).get_status()


def wait_for_async_saves(dataset: Any, timeout: float | None = None) -> bool:
    """See ``AsyncEpisodeSaver.wait_for_completion``."""
    return _enabled(dataset).wait_for_completion(timeout)


def get_async_save_results(dataset: Any, timeout: float = 0.0) -> list[EpisodeResult]:
    """See ``AsyncEpisodeSaver.get_results``."""
    return _enabled(dataset).get_results(timeout)


def disable_async_saving(
    dataset: Any, wait_for_completion: bool = True, timeout: float | None = None
) -> bool:
    """Make the dataset what it was. See ``AsyncEpisodeSaver.stop``; True also if not enabled."""
    saver = _saver_of(dataset)
    if saver is None:
        return True
    stopped = saver.stop(wait_for_completion, timeout)
    if stopped:
        if (undo := dataset.__dict__.pop(_UNDO_ENDINGS, None)) is not None:
            undo()
        for name in (_SAVER, "save_episode", *(function.__name__ for function in _METHODS)):
            dataset.__dict__.pop(name, None)
    return stopped


_METHODS = (
    save_episode_async,
    get_async_save_status,
    wait_for_async_saves,
    get_async_save_results,
    disable_async_saving,
)


class AsyncSavingMixin:
    """The same functions as methods, for a dataset class of one's own."""

    enable_async_saving = enable_async_saving
    save_episode_async = save_episode_async
    get_async_save_status = get_async_save_status
    wait_for_async_saves = wait_for_async_saves
    get_async_save_results = get_async_save_results
    disable_async_saving = disable_async_saving


def _wait_for_all(saver: AsyncEpisodeSaver) -> None:
    """Raises ``SaveFailed`` if a save hangs: what is not complete must not be uploaded."""
    if not saver.wait_for_completion():
        status = saver.get_status()
        raise SaveFailed(
            f"{status['pending_tasks']} episodes are not saved, because a save hangs "
            f"({status['last_error']}); the dataset is not complete"
        )
    if failed := saver.get_status()["total_failed"]:
        _log.warning("%d episodes were not saved and are not in the dataset", failed)


def _saver_of(dataset: Any) -> AsyncEpisodeSaver | None:
    saver = getattr(dataset, "__dict__", {}).get(_SAVER)
    return saver if isinstance(saver, AsyncEpisodeSaver) else None


def _recording(dataset: Any) -> Any:
    """What holds ``episode_buffer``: lerobot's dataset, or since 0.6 its writer."""
    return recording_part(dataset)[0] if is_lerobot(dataset) else dataset


def _enabled(dataset: Any) -> AsyncEpisodeSaver:
    if (saver := _saver_of(dataset)) is None:
        raise RuntimeError("call enable_async_saving first")
    return saver


def _index_of(buffer: Any, saver: AsyncEpisodeSaver) -> int:
    """The index an episode goes by in results: its buffer's own, else the number submitted."""
    if isinstance(buffer, dict) and isinstance(buffer.get("episode_index"), int):
        return int(buffer["episode_index"])
    return saver.get_status()["total_submitted"]
