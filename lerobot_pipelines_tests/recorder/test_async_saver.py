"""Saving in the background: order, failures, limits, time-outs and the end of the process."""

from __future__ import annotations

import ctypes
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lerobot_pipelines.recorder import AsyncEpisodeSaver
from lerobot_pipelines_tests.recorder.fake_datasets import FolderDataset, buffer, full_disk

LONG = 30.0


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[FolderDataset]:
    dataset = FolderDataset(tmp_path / "dataset")
    yield dataset
    dataset.may_save.set()


def test_episodes_are_saved_in_order_by_another_thread(dataset: FolderDataset) -> None:
    saver = AsyncEpisodeSaver(dataset)
    assert all(saver.submit_episode(buffer(index), index) for index in range(5))
    assert saver.wait_for_completion(LONG)
    results = saver.get_results()
    assert [result.episode_index for result in results] == [0, 1, 2, 3, 4]
    assert [result.saved_index for result in results] == [0, 1, 2, 3, 4]
    assert all(result.success and result.error is None for result in results)
    assert dataset.labels() == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in dataset.threads
    assert saver.get_results() == []
    assert saver.stop()


def test_status_counts_what_waits_and_what_is_being_saved(dataset: FolderDataset) -> None:
    dataset.may_save.clear()
    dataset.faults[1] = ValueError("bad picture")
    saver = AsyncEpisodeSaver(dataset)
    for index in range(3):
        saver.submit_episode(buffer(index), index)
    _until(lambda: dataset.begun)
    assert saver.get_status() == {
        "is_running": True,
        "total_submitted": 3,
        "total_completed": 0,
        "total_failed": 0,
        "queue_size": 2,
        "pending_tasks": 3,
        "last_error": None,
        "worker_alive": True,
    }
    assert not saver.wait_for_completion(0.01)
    dataset.may_save.set()
    assert saver.stop(timeout=LONG)
    status = saver.get_status()
    assert not status["is_running"]
    assert (status["total_completed"], status["total_failed"]) == (2, 1)
    assert status["pending_tasks"] == 0
    assert status["last_error"] == "episode 1: ValueError: bad picture"


def test_200_episodes_with_random_failures_leave_no_hole_and_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(6)
    kinds = (ValueError("poison"), full_disk(), SystemExit(1), KeyboardInterrupt(), MemoryError())
    faults = {index: chance.choice(kinds) for index in range(200) if chance.random() < 0.3}
    dataset = FolderDataset(tmp_path / "dataset", faults)
    saver = AsyncEpisodeSaver(dataset, max_queue_size=7)
    in_place = 0
    for index in range(200):
        if not saver.submit_episode(buffer(index), index):
            saver.save_in_place(buffer(index), index)
            in_place += 1
    assert saver.stop(timeout=LONG)
    results = saver.get_results()
    assert [result.episode_index for result in results] == list(range(200))
    assert {result.episode_index for result in results if not result.success} == set(faults)
    saved = [result for result in results if result.success]
    assert dataset.labels() == [result.episode_index for result in saved]
    assert [result.saved_index for result in saved] == list(range(len(saved)))
    assert saver.get_status()["total_submitted"] == 200


def test_a_full_queue_takes_nothing(dataset: FolderDataset) -> None:
    dataset.may_save.clear()
    saver = AsyncEpisodeSaver(dataset, max_queue_size=2)
    assert saver.submit_episode(buffer(0), 0)
    _until(lambda: dataset.begun)
    assert saver.submit_episode(buffer(1), 1)
    assert saver.submit_episode(buffer(2), 2)
    assert not saver.submit_episode(buffer(3), 3)
    assert saver.get_status()["total_submitted"] == 3
    dataset.may_save.set()
    assert saver.save_in_place(buffer(3), 3).saved_index == 3
    assert dataset.labels() == [0, 1, 2, 3]
    assert saver.stop()


def test_memory_is_bounded_in_bytes_and_one_large_episode_still_goes(
    dataset: FolderDataset,
) -> None:
    dataset.may_save.clear()
    saver = AsyncEpisodeSaver(dataset, max_queue_bytes=1000)
    assert saver.submit_episode(buffer(0, size=5000), 0)
    assert not saver.submit_episode(buffer(1, size=100), 1)
    dataset.may_save.set()
    assert saver.wait_for_completion(LONG)
    dataset.may_save.clear()
    assert saver.submit_episode(buffer(1, size=600), 1)
    assert saver.submit_episode(buffer(2, size=400), 2)
    assert not saver.submit_episode(buffer(3, size=1), 3)
    dataset.may_save.set()
    assert saver.stop(timeout=LONG)


def test_a_save_that_takes_too_long_is_reported_and_corrected_if_it_succeeds_late(
    dataset: FolderDataset,
) -> None:
    dataset.may_save.clear()
    saver = AsyncEpisodeSaver(dataset, save_timeout=0.05)
    saver.submit_episode(buffer(0), 0)
    (late,) = saver.get_results(LONG)
    assert not late.success
    assert late.error == "its save took longer than 0.05 s"
    assert not saver.wait_for_completion(LONG)
    assert saver.get_status()["total_failed"] == 1
    dataset.may_save.set()
    (done,) = saver.get_results(LONG)
    assert done.success and done.saved_index == 0
    status = saver.get_status()
    assert (status["total_completed"], status["total_failed"]) == (1, 0)
    assert saver.stop()


def test_saving_in_place_behind_a_save_that_hangs_fails_instead_of_hanging(
    dataset: FolderDataset,
) -> None:
    dataset.may_save.clear()
    saver = AsyncEpisodeSaver(dataset, save_timeout=0.05)
    saver.submit_episode(buffer(0), 0)
    result = saver.save_in_place(buffer(1), 1)
    assert result.error == "a save before it hangs"
    assert [result.success for result in saver.get_results()] == [False, False]
    dataset.may_save.set()
    assert [result.saved_index for result in saver.get_results(LONG)] == [0]
    assert dataset.labels() == [0]
    assert saver.stop()


def test_stopping_without_waiting_cancels_what_has_not_begun(dataset: FolderDataset) -> None:
    dataset.may_save.clear()
    saver = AsyncEpisodeSaver(dataset)
    for index in range(3):
        saver.submit_episode(buffer(index), index)
    _until(lambda: dataset.begun)
    assert not saver.stop(wait=False)
    assert [result.error for result in saver.get_results()] == [
        "cancelled before its save began"
    ] * 2
    assert not saver.submit_episode(buffer(3), 3)
    with pytest.raises(RuntimeError, match="stopped"):
        saver.save_in_place(buffer(3), 3)
    dataset.may_save.set()
    assert saver.stop(timeout=LONG)
    assert dataset.labels() == [0]


def test_stopping_with_a_time_out_keeps_it(dataset: FolderDataset) -> None:
    dataset.may_save.clear()
    saver = AsyncEpisodeSaver(dataset)
    for index in range(2):
        saver.submit_episode(buffer(index), index)
    _until(lambda: dataset.begun)
    assert not saver.stop(timeout=0.05)
    (cancelled,) = saver.get_results()
    assert (cancelled.episode_index, cancelled.success) == (1, False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_saving_thread_that_dies_is_replaced(dataset: FolderDataset) -> None:
    before = set(threading.enumerate())
    saver = AsyncEpisodeSaver(dataset)
    saver.submit_episode(buffer(0), 0)
    assert saver.wait_for_completion(LONG)
    started = set(threading.enumerate()) - before
    (worker,) = (thread for thread in started if thread.name == "episode-saver")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(worker.ident or 0), ctypes.py_object(SystemExit)
    )
    for index in range(1, 4):
        saver.submit_episode(buffer(index), index)
    assert saver.wait_for_completion(LONG)
    worker.join(LONG)
    assert not worker.is_alive()
    assert saver.get_status()["worker_alive"]
    assert dataset.labels() == [0, 1, 2, 3]
    assert saver.stop()


def test_the_recording_thread_gets_a_buffer_of_its_own(dataset: FolderDataset) -> None:
    mine = buffer(0)
    dataset.episode_buffer = mine  # type: ignore[attr-defined]
    dataset.create_episode_buffer = lambda: {"fresh": True}  # type: ignore[attr-defined]
    saver = AsyncEpisodeSaver(dataset)
    saver.submit_episode(mine, 0)
    assert dataset.episode_buffer == {"fresh": True}  # type: ignore[attr-defined]
    assert saver.stop(timeout=LONG)


@pytest.mark.parametrize("leaving", ["return", "exception", "sigterm", "sigint"])
def test_a_process_that_ends_saves_what_was_submitted(tmp_path: Path, leaving: str) -> None:
    code = f"""
import pathlib, signal, sys, threading, time
from lerobot_pipelines.recorder import AsyncEpisodeSaver
from lerobot_pipelines_tests.recorder.fake_datasets import FolderDataset, buffer
dataset = FolderDataset(pathlib.Path({str(tmp_path)!r}))
save = dataset.save_episode
dataset.save_episode = lambda data: (time.sleep(0.1), save(data))
saver = AsyncEpisodeSaver(dataset)
for index in range(5):
    assert saver.submit_episode(buffer(index), index)
print("submitted", flush=True)
if {leaving!r} == "exception":
    raise ValueError("the control loop fell over")
if {leaving!r} != "return":
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "submitted\n"
    if leaving.startswith("sig"):
        process.send_signal(signal.SIGTERM if leaving == "sigterm" else signal.SIGINT)
    process.communicate(timeout=LONG)
    assert FolderDataset(tmp_path).labels() == [0, 1, 2, 3, 4]


def test_a_save_that_hangs_does_not_keep_a_process_alive(tmp_path: Path) -> None:
    code = f"""
import pathlib
from lerobot_pipelines.recorder import AsyncEpisodeSaver
from lerobot_pipelines_tests.recorder.fake_datasets import FolderDataset, buffer
dataset = FolderDataset(pathlib.Path({str(tmp_path)!r}))
dataset.may_save.clear()
AsyncEpisodeSaver(dataset, save_timeout=0.2).submit_episode(buffer(0), 0)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=LONG, check=False).returncode == 0


def test_a_dataset_that_cannot_save_is_refused() -> None:
    with pytest.raises(TypeError, match="save_episode"):
        AsyncEpisodeSaver(object())


@pytest.mark.parametrize("limit", ["max_queue_size", "save_timeout", "max_queue_bytes"])
def test_limits_must_be_positive(dataset: FolderDataset, limit: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        AsyncEpisodeSaver(dataset, **{limit: 0})


def _until(condition: object) -> None:
    deadline = time.monotonic() + LONG
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)
