"""The recording loop and the methods of the fork of lerobot, with its names and its keywords.

The real lerobot takes part in ``conformance``; here is a dataset that saves as told.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lerobot_pipelines.recorder import AsyncEpisodeSaver, enable_async_saving
from lerobot_pipelines_tests.migration.snippets import snippet
from lerobot_pipelines_tests.recorder.fake_datasets import buffer
from lerobot_pipelines_tests.recorder.test_async_methods import RecordingDataset

EPISODES = 20


class SlowDataset(RecordingDataset):
    def save_episode(self, episode_buffer: dict[str, Any] | None = None) -> None:
        time.sleep(0.02)
        super().save_episode(episode_buffer)


def test_the_documented_loop_loses_nothing_with_a_queue_of_one(tmp_path: Path) -> None:
    dataset: Any = SlowDataset(tmp_path / "dataset")
    enable_async_saving(dataset, max_queue_size=1, save_timeout=300.0)
    for episode in range(EPISODES):
        dataset.add_frame(episode)
        success = dataset.save_episode_async()
        if not success:
            dataset.save_episode()
    assert dataset.wait_for_async_saves(timeout=None) is True
    results = dataset.get_async_save_results()
    assert [result["saved_index"] for result in results] == list(range(EPISODES))
    assert all(result["success"] and result["error"] is None for result in results)
    status = dataset.get_async_save_status()
    assert status["total_submitted"] == status["total_completed"] == EPISODES
    assert status["total_failed"] == status["queue_size"] == status["pending_tasks"] == 0
    assert dataset.disable_async_saving(wait_for_completion=True, timeout=None)
    assert dataset.labels() == list(range(EPISODES))


def test_a_buffer_of_ones_own_is_taken(tmp_path: Path) -> None:
    dataset: Any = RecordingDataset(tmp_path / "dataset")
    enable_async_saving(dataset, max_queue_size=10, save_timeout=300.0)
    assert dataset.save_episode_async(episode_buffer=buffer(0)) is True
    assert dataset.wait_for_async_saves(timeout=30) is True
    assert dataset.labels() == [0]
    assert dataset.disable_async_saving()


def test_the_saver_takes_the_arguments_it_always_took(tmp_path: Path) -> None:
    dataset = RecordingDataset(tmp_path / "dataset")
    saver = AsyncEpisodeSaver(dataset, max_queue_size=10, save_timeout=300.0)
    assert (saver.max_queue_size, saver.save_timeout) == (10, 300.0)
    assert saver.submit_episode(buffer(0), 0)
    assert saver.stop()
    assert dataset.labels() == [0]


def test_the_loop_of_the_page_runs(tmp_path: Path) -> None:
    dataset: Any = SlowDataset(tmp_path / "dataset")
    labels = iter(range(6))
    results = snippet("def record")["record"](
        dataset, 6, lambda dataset: dataset.add_frame(next(labels))
    )
    assert [result["success"] for result in results] == [True] * 6
    assert dataset.disable_async_saving()
    assert dataset.labels() == list(range(6))
