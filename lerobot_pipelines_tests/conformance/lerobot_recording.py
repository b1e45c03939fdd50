"""Records with the real lerobot and saves asynchronously. Run in lerobot's own interpreter.

ORDER is JSON: root, and what to do. Prints one JSON document, or, when it is to be killed, a line
for every episode that was submitted.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lerobot.datasets import lerobot_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.video_utils import VideoEncodingManager

from lerobot_pipelines.recorder import enable_async_saving
from lerobot_pipelines.recorder.picture_writer import png
from lerobot_pipelines.recorder.recovery import recover_dataset, save_waiting
from lerobot_pipelines.recorder.results import SaveFailed

REPO = "tests/async"
CAMERA, IMAGE = "observation.images.front", "observation.images.wrist"
HEIGHT, WIDTH = 48, 64
PICTURE = {"shape": (HEIGHT, WIDTH, 3), "names": ["height", "width", "channels"]}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
    "action": {"dtype": "float32", "shape": (1,), "names": ["a"]},
    CAMERA: {"dtype": "video", **PICTURE},
    IMAGE: {"dtype": "image", **PICTURE},
}


def shade(label: int, frame: int) -> int:
    return (37 * label + 5 * frame) % 200 + 20


def length_of(label: int) -> int:
    return 4 + label % 5


def opened(root: Path) -> Any:
    if root.exists():  # since 0.6 it is opened to be read unless it says "resume"
        return getattr(LeRobotDataset, "resume", LeRobotDataset)(REPO, root=root)
    return LeRobotDataset.create(REPO, 30, FEATURES, root=root, robot_type="arm")


def record(dataset: Any, label: int) -> None:
    wants_task = "task" in inspect.signature(dataset.add_frame).parameters
    task = f"task {label % 3}"
    for frame in range(length_of(label)):
        picture = np.full((HEIGHT, WIDTH, 3), shade(label, frame), np.uint8)
        values = {
            "observation.state": np.array([label, frame, 0.5], np.float32),
            "action": np.array([label], np.float32),
            CAMERA: picture,
            IMAGE: picture,
        }
        if wants_task:
            dataset.add_frame(values, task=task)
        else:
            dataset.add_frame({**values, "task": task})


def with_faults(root: Path, episodes: int, seed: int) -> dict[str, Any]:
    """Record episodes while the functions that a save is made of fail at random."""
    chance = random.Random(seed)
    _fail_at_random(chance)
    dataset = opened(root)
    enable_async_saving(dataset)
    for label in range(episodes):
        record(dataset, label)
        if label % 7 == 3:
            # A longer take, thrown away: nothing of it may turn up in the next.
            record(dataset, label)
            dataset.clear_episode_buffer()
            record(dataset, label)
        if label % 9 == 4:
            # As a program does that knows nothing of asynchronous saving.
            with contextlib.suppress(SaveFailed):
                dataset.save_episode()
        else:
            dataset.save_episode_async()
    assert dataset.wait_for_async_saves(600)
    results = dataset.get_async_save_results()
    assert dataset.disable_async_saving()
    _FAULTS.clear()
    record(dataset, episodes)
    dataset.save_episode()
    if hasattr(dataset, "finalize"):
        dataset.finalize()
    return {
        "saved": [k for k, result in enumerate(results) if result.success] + [episodes],
        "failed": [k for k, result in enumerate(results) if not result.success],
        "indices": [result.saved_index for result in results if result.success],
    }


def as_documented(root: Path, episodes: int) -> dict[str, Any]:
    """The loop that older recorders have, with a queue of one and a slow disk."""
    dataset = opened(root)
    enable_async_saving(dataset, max_queue_size=1, save_timeout=300.0)
    target = dataset._async_episode_saver._target
    save = target.save
    target.save = lambda payload: (time.sleep(0.1), save(payload))[1]
    taken = 0
    for label in range(episodes):
        record(dataset, label)
        if label % 2:
            success = dataset.save_episode_async()
        else:
            success = dataset.save_episode_async(episode_buffer=None)
        if not success:
            dataset.save_episode()
        taken += success
    assert dataset.wait_for_async_saves(timeout=None) is True
    status = dataset.get_async_save_status()
    assert isinstance(status, dict) and status["total_completed"] == episodes, status
    results = dataset.get_async_save_results()
    assert dataset.get_async_save_results() == []
    assert dataset.disable_async_saving(wait_for_completion=True, timeout=None)
    if hasattr(dataset, "finalize"):
        dataset.finalize()
    return {
        "taken": taken,
        "failed": [dict(one) for one in results if not one["success"]],
        "mapped": [one["episode_index"] for one in results] == list(range(episodes)),
    }


def until_killed(root: Path, first: int) -> None:
    dataset = opened(root)
    enable_async_saving(dataset)
    print("ready", flush=True)
    label = first
    while True:
        record(dataset, label)
        dataset.save_episode_async()  # or saved in place, when the queue is full
        print(label, flush=True)
        label += 1


class _Hub:
    """Answers in place of the hub, and says what it was given."""

    uploads: ClassVar[list[tuple[int, int, int]]] = []

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        def answer(*_: Any, **options: Any) -> bool:
            if name.startswith("upload"):
                root = Path(options["folder_path"])
                info = json.loads((root / "meta/info.json").read_text())
                videos = len(list(root.glob("videos/**/*.mp4")))
                rows = len(list(root.glob("data/**/*.parquet")))
                _Hub.uploads.append((info["total_episodes"], rows, videos))
            return False

        return answer


def ended_by_lerobot(root: Path, episodes: int) -> dict[str, Any]:
    """In the order of lerobot's own recording program, one take left unfinished."""
    lerobot_dataset.HfApi = _Hub
    dataset = opened(root)
    enable_async_saving(dataset)
    with VideoEncodingManager(dataset):
        for label in range(episodes):
            record(dataset, label)
            dataset.save_episode_async()
        record(dataset, episodes)
        seen = dataset.num_episodes
    after = dataset.num_episodes
    with contextlib.suppress(OSError):  # the card is checked by a server that is not there
        dataset.push_to_hub(tag_version=False)
    return {"before": seen, "after": after, "uploads": _Hub.uploads}


def recovered(root: Path) -> dict[str, Any]:
    report = recover_dataset(root)
    results = save_waiting(root, REPO)
    return {
        "undone": report.undone,
        "waiting": report.waiting,
        "errors": [result.error for result in results if not result.success],
    }


def loaded(root: Path) -> dict[str, Any]:
    """Every row through the library: labels by episode, and what is wrong."""
    dataset = LeRobotDataset(REPO, root=root)
    labels: dict[int, int] = {}
    rows: dict[int, int] = {}
    faults = []
    for position in range(len(dataset)):
        item = dataset[position]
        episode, frame = int(item["episode_index"]), int(item["frame_index"])
        label = int(item["observation.state"][0])
        rows[episode] = rows.get(episode, 0) + 1
        expected = shade(label, frame)
        seen = {name: float(item[name].mean()) * 255 for name in (CAMERA, IMAGE)}
        right = (
            labels.setdefault(episode, label) == label
            and int(item["index"]) == position
            and int(item["observation.state"][1]) == frame
            and item["task"] == f"task {label % 3}"
            and abs(seen[CAMERA] - expected) < 4
            and abs(seen[IMAGE] - expected) < 0.01
        )
        if not right:
            faults.append([position, episode, frame, label, expected, seen])
    wrong = [e for e, label in labels.items() if rows[e] != length_of(label)]
    return {
        "episodes": dataset.num_episodes,
        "labels": [labels[episode] for episode in sorted(labels)],
        "faults": faults,
        "wrong_lengths": wrong,
    }


_FAULTS: list[BaseException] = [
    ValueError("poison"),
    OSError(errno.ENOSPC, "No space left on device"),
    SystemExit("killed worker"),
]
_SLOW_DISK_S = 0.3
_MODULE = ("compute_episode_stats", "write_info", "embed_images", "encode_video_frames")
_CLASS = (
    *("_save_episode_table", "encode_episode_videos"),  # 0.3
    *("_save_episode_data", "_save_episode_video"),  # 0.4
)
_META = ("save_episode", "_save_episode_metadata", "update_video_info")
try:
    from lerobot.datasets import dataset_writer  # since 0.6
except ImportError:
    dataset_writer = None


def _fail_at_random(chance: random.Random) -> None:
    """Before or after its work, each function of a save fails now and then."""
    places = [(lerobot_dataset, name) for name in _MODULE]
    places += [(LeRobotDataset, name) for name in _CLASS]
    places += [(lerobot_dataset.LeRobotDatasetMetadata, name) for name in _META]
    if dataset_writer is not None:
        places += [(dataset_writer, name) for name in _MODULE]
        places += [(dataset_writer.DatasetWriter, name) for name in _CLASS]
    for owner, name in places:
        if hasattr(owner, name):
            setattr(owner, name, _failing(getattr(owner, name), chance))


def _failing(function: Any, chance: random.Random) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        fails_before, fails_after = chance.random() < 0.03, chance.random() < 0.03
        if _FAULTS and chance.random() < 0.02:
            time.sleep(_SLOW_DISK_S)
        if fails_before and _FAULTS:
            raise chance.choice(_FAULTS)
        result = function(*arguments, **options)
        if fails_after and _FAULTS:
            raise chance.choice(_FAULTS)
        return result

    return call


def main() -> None:
    order = json.loads(sys.argv[1])
    root = Path(order["root"])
    what = order["what"]
    if what == "faults":
        result = with_faults(root, order["episodes"], order["seed"])
    elif what == "record":
        until_killed(root, order["first"])
    elif what == "recover":
        result = recovered(root)
    elif what == "loop":
        result = as_documented(root, order["episodes"])
    elif what == "end":
        result = ended_by_lerobot(root, order["episodes"])
    else:
        result = loaded(root)
    print(json.dumps(result))


if __name__ == "__main__":
    assert png(np.zeros((2, 2, 3), np.uint8), 0)[:4] == b"\x89PNG"
    main()
    sys.stdout.flush()
    os._exit(0)
