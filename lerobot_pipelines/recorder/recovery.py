"""After a crash: what was submitted gets where it belongs, what is half is undone."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from lerobot_pipelines.recorder.delivery import note_delivery
from lerobot_pipelines.recorder.journal import DamagedTake, Take
from lerobot_pipelines.recorder.raw_layout import Layout, RawWriter
from lerobot_pipelines.recorder.spool import Spool, spool_folder
from lerobot_pipelines.recorder.take_spool import FinishedTakes, TakeSpool
from lerobot_pipelines.recorder.undo import PICTURES, DatasetUndo

Interrupted = Literal["keep", "salvage", "discard"]

_DEFAULT_FEATURES = ("timestamp", "frame_index", "episode_index", "index", "task_index")


@dataclass(slots=True)
class RecordingsRecovery:
    """Keys of episodes now in the raw layout, and files of takes by what became of them."""

    saved: list[str] = field(default_factory=list)
    salvaged: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    undelivered: int = 0


@dataclass(slots=True)
class DatasetRecovery:
    """``episodes`` are in the dataset, ``waiting`` in its spool; ``failed`` says why, by folder.

    ``removed``: there was nothing in the dataset yet, and lerobot opens no empty one, so it went
    away; create it again. What waits is saved when asynchronous saving is enabled the next time.
    """

    undone: bool
    episodes: int
    waiting: int
    removed: bool
    failed: dict[str, str] = field(default_factory=dict)


def recover_recordings(
    root: Path,
    *,
    spool: Path | None = None,
    layout: Layout = "episode",
    interrupted: Interrupted = "keep",
) -> RecordingsRecovery:
    """Write every submitted take of an ``EpisodeRecorder`` at ``root`` into the raw layout.

    ``interrupted`` takes, never submitted, are kept where they are, salvaged up to the last whole
    sample, or deleted. What the recorder would have delivered is noted for delivery. Raises
    ``SpoolInUse`` while a recorder runs.
    """
    report = RecordingsRecovery()
    takes = TakeSpool(spool or root / ".spool", root)
    try:
        put = partial(note_delivery, takes.notes) if takes.notes.is_dir() else None
        finished = FinishedTakes(RawWriter(root, layout), takes, put)
        for path in takes.submitted():
            _save(finished, path, report, report.saved, salvage=False)
        for path in takes.interrupted():
            if interrupted == "keep":
                report.interrupted.append(path.name)
            elif interrupted == "discard":
                path.unlink()
                report.discarded.append(path.name)
            else:
                _save(finished, path, report, report.salvaged, salvage=True)
        if put is not None:
            report.undelivered = len(list(takes.notes.glob("[0-9]*.json")))
    finally:
        takes.close()
    return report


def recover_dataset(root: Path, *, retry_failed: bool = False) -> DatasetRecovery:
    """Make a ``LeRobotDataset`` that was saved to asynchronously readable again after a crash.

    Needs no lerobot. Raises ``SpoolInUse`` while another process records into it.
    """
    folder = spool_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    spool = Spool(folder)
    spool.open()
    try:
        undo = DatasetUndo(root, folder / "undo")
        if (take := undo.committed) is not None:
            spool.discard(take)
            undo.forget()
        if undone := undo.is_pending:
            undo.undo()
        info = root / "meta" / "info.json"
        episodes = json.loads(info.read_bytes())["total_episodes"] if info.exists() else 0
        if root.is_dir():
            shutil.rmtree(root / PICTURES, ignore_errors=True)
            if not episodes and info.exists():
                # Kept, for whoever creates it again the same.
                shutil.copyfile(info, folder / info.name)
                shutil.rmtree(root)
        if retry_failed:
            spool.retry_failed()
        failed = {str(path): error for path, error in spool.failed().items()}
        waiting = len(list(spool.submitted()))
    finally:
        spool.close()
    return DatasetRecovery(undone, episodes, waiting, not root.exists(), failed)


def save_waiting(root: Path, repo_id: str, *, timeout: float | None = None) -> list[Any]:
    """Save what ``recover_dataset`` says is waiting; needs the lerobot that recorded it.

    Returns the results (``EpisodeResult``).
    """
    from lerobot_pipelines.recorder.async_saver import AsyncEpisodeSaver

    # By name: no requirement of this project, and unknown to its type checker.
    LeRobotDataset = import_module("lerobot.datasets.lerobot_dataset").LeRobotDataset
    if root.exists():
        # Since 0.6 a dataset that is opened plainly is for reading.
        reopen = getattr(LeRobotDataset, "resume", LeRobotDataset)
        dataset = reopen(repo_id, root=root)
    else:
        info = json.loads((spool_folder(root) / "info.json").read_bytes())
        features = {
            name: {**feature, "shape": tuple(feature["shape"])}
            for name, feature in info["features"].items()
            if name not in _DEFAULT_FEATURES
        }
        dataset = LeRobotDataset.create(
            repo_id, info["fps"], features, root=root, robot_type=info["robot_type"]
        )
        (spool_folder(root) / "info.json").unlink()
    saver = AsyncEpisodeSaver(dataset)
    saver.wait_for_completion(timeout)
    results = saver.get_results()
    saver.stop(wait=False)
    return results


def _save(
    finished: FinishedTakes,
    path: Path,
    report: RecordingsRecovery,
    saved: list[str],
    *,
    salvage: bool,
) -> None:
    try:
        take = Take(path)
        finished.save_episode(take, salvage=salvage)
        saved.append(take.info.key)
    except (DamagedTake, OSError) as error:
        report.failed[path.name] = f"{type(error).__name__}: {error}"
