"""Asynchronous saving as methods of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.recorder import AsyncSavingMixin, enable_async_saving
from lerobot_pipelines.recorder.results import SaveFailed
from lerobot_pipelines_tests.recorder.fake_datasets import FolderDataset, buffer, full_disk


class RecordingDataset(FolderDataset):
    """Collects its frames in ``episode_buffer``, as lerobot does."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.episode_buffer = self.create_episode_buffer()

    def create_episode_buffer(self) -> dict[str, Any]:
        return {"episode_index": self.total_episodes, "frames": []}

    def add_frame(self, label: int) -> None:
        self.episode_buffer["label"] = label
        self.episode_buffer["frames"].append(label)

    def save_episode(self, episode_buffer: dict[str, Any] | None = None) -> None:
        super().save_episode(self.episode_buffer if episode_buffer is None else episode_buffer)


class MixedDataset(AsyncSavingMixin, RecordingDataset):
    pass


@pytest.fixture(params=[RecordingDataset, MixedDataset])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.param(tmp_path / "dataset")


def test_the_methods_save_in_the_background_and_go_away_again(dataset: Any) -> None:
    enable_async_saving(dataset)
    for label in (10, 11, 12):
        dataset.add_frame(label)
        assert dataset.save_episode_async()
        assert dataset.episode_buffer["frames"] == []
    assert dataset.wait_for_async_saves(30)
    assert dataset.get_async_save_status()["total_completed"] == 3
    assert [result.saved_index for result in dataset.get_async_save_results()] == [0, 1, 2]
    assert dataset.disable_async_saving()
    dataset.add_frame(13)
    dataset.save_episode()
    assert dataset.labels() == [10, 11, 12, 13]
    assert not hasattr(dataset, "_async_episode_saver")


def test_enabling_twice_keeps_the_saver(dataset: Any) -> None:
    saver = enable_async_saving(dataset)
    assert enable_async_saving(dataset) is saver
    assert dataset.disable_async_saving()


def test_synchronous_saving_keeps_the_order_and_still_raises(dataset: Any) -> None:
    enable_async_saving(dataset)
    dataset.faults[2] = full_disk()
    dataset.add_frame(1)
    dataset.save_episode_async()
    dataset.add_frame(2)
    with pytest.raises(SaveFailed, match="No space left"):
        dataset.save_episode()
    dataset.add_frame(3)
    dataset.save_episode()
    assert dataset.labels() == [1, 3]
    assert dataset.disable_async_saving()


def test_a_full_queue_saves_in_place(dataset: Any) -> None:
    enable_async_saving(dataset, max_queue_bytes=1, max_queue_size=1)
    dataset.may_save.clear()
    assert dataset.save_episode_async(buffer(0))
    assert not dataset._async_episode_saver.submit_episode(buffer(9), 9)
    dataset.may_save.set()
    for label in range(1, 6):
        dataset.save_episode_async(buffer(label))
    assert dataset.wait_for_async_saves(30)
    assert dataset.labels() == [0, 1, 2, 3, 4, 5]
    assert len(dataset.get_async_save_results()) == 6
    assert dataset.disable_async_saving()


def test_the_methods_say_that_they_must_be_enabled(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="enable_async_saving"):
        MixedDataset(tmp_path).save_episode_async()
    assert MixedDataset(tmp_path).disable_async_saving()
