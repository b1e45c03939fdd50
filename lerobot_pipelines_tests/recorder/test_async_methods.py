"""Asynchronous saving as methods of a dataset."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
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


class EndingDataset(RecordingDataset):
    """Ends as lerobot's does: by methods, or by ``VideoEncodingManager``'s first question."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.episodes_since_last_encoding = 0
        self.seen: list[tuple[str, int]] = []

    def finalize(self) -> None:
        self.seen.append(("finalize", self.total_episodes))

    def push_to_hub(self, branch: str | None = None) -> str | None:
        self.seen.append(("push_to_hub", self.total_episodes))
        return branch


def _submitted_slowly(dataset: EndingDataset, episodes: int) -> None:
    dataset.may_save.clear()
    for label in range(episodes):
        dataset.add_frame(label)
        assert dataset.save_episode_async()  # type: ignore[attr-defined]
    threading.Timer(0.2, dataset.may_save.set).start()


def test_lerobots_own_endings_wait_for_what_was_submitted(tmp_path: Path) -> None:
    dataset = EndingDataset(tmp_path / "dataset")
    enable_async_saving(dataset)
    _submitted_slowly(dataset, 3)
    dataset.finalize()
    _submitted_slowly(dataset, 2)
    assert dataset.push_to_hub(branch="b") == "b"
    _submitted_slowly(dataset, 1)
    assert dataset.episodes_since_last_encoding == 0
    assert dataset.total_episodes == 6
    assert dataset.seen == [("finalize", 3), ("push_to_hub", 5)]
    dataset.episodes_since_last_encoding = 2
    assert dataset.disable_async_saving()  # type: ignore[attr-defined]
    assert type(dataset) is EndingDataset and dataset.episodes_since_last_encoding == 2
    assert "finalize" not in vars(dataset)


def test_a_dataset_whose_save_hangs_is_not_uploaded(tmp_path: Path) -> None:
    dataset = EndingDataset(tmp_path / "dataset")
    enable_async_saving(dataset, save_timeout=0.1)
    dataset.may_save.clear()
    dataset.add_frame(1)
    dataset.save_episode_async()  # type: ignore[attr-defined]
    with pytest.raises(SaveFailed, match="1 episodes are not saved"):
        dataset.push_to_hub()
    assert dataset.seen == []
    dataset.may_save.set()
    assert dataset._async_episode_saver.get_results(30)  # type: ignore[attr-defined]
    while not dataset.disable_async_saving():  # type: ignore[attr-defined]
        time.sleep(0.01)
    dataset.push_to_hub()
    assert dataset.seen == [("push_to_hub", 1)]


def test_a_dataset_whose_saver_was_stopped_saves_for_itself_again(dataset: Any) -> None:
    saver = enable_async_saving(dataset)
    dataset.add_frame(7)
    dataset.save_episode_async()
    assert saver.stop()
    dataset.add_frame(8)
    dataset.save_episode()
    assert dataset.labels() == [7, 8]


def test_saves_at_exit_may_still_use_executors(tmp_path: Path) -> None:
    code = f"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import time
from lerobot_pipelines.recorder import AsyncEpisodeSaver

class Pooled:
    def save_episode(self, buffer):
        time.sleep(0.3)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(Path({str(tmp_path)!r}, str(buffer)).touch).result()

saver = AsyncEpisodeSaver(Pooled())
for k in range(3):
    assert saver.submit_episode(k, k)
raise SystemExit("robot unplugged")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "robot unplugged\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
