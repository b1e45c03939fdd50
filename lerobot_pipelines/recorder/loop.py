"""A control loop with synthetic cameras, and how late it runs while episodes are saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
from lerobot_pipelines.recorder.journal import Sample, Take, TakeInfo, TakeJournal
from lerobot_pipelines.recorder.jpeg import JpegEncoder
from lerobot_pipelines.recorder.local_recorder import LocalRecorder
from lerobot_pipelines.recorder.raw_layout import RawWriter

CAMERAS = ("cam_high", "cam_left", "cam_right")
ARMS = ("left_slave", "right_slave", "left_master", "right_master")
JOINTS = 7
_PICTURES = 20
_NOISE = 2.5  # standard deviation; a webcam indoors


@dataclass(slots=True)
class LoopTimes:
    """``due_s`` and ``late_ms`` of every tick; one that was due while the loop was busy is missed
    and counts with how late the loop was by then. ``cost_ms`` is what recording took of each tick
    that was not; ``pauses_ms`` are between two takes."""

    due_s: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    cost_ms: list[float] = field(default_factory=list)
    pauses_ms: list[float] = field(default_factory=list)
    missed: int = 0

    def summary(self) -> dict[str, float]:
        late = np.array(self.late_ms)
        return {
            "ticks": len(late),
            "missed": self.missed,
            "late_p50_ms": round(float(np.percentile(late, 50)), 3),
            "late_p99_ms": round(float(np.percentile(late, 99)), 3),
            "late_max_ms": round(float(late.max()), 3),
            "cost_p99_ms": round(float(np.percentile(self.cost_ms or [0.0], 99)), 3),
            "pause_max_ms": round(max(self.pauses_ms, default=0.0), 3),
        }


class Recording(Protocol):
    """What the loop records with."""

    def begin(self) -> None: ...

    def tick(self, number: int, pictures: dict[str, NDArray[np.uint8]]) -> None: ...

    def end(self) -> None: ...


def run_loop(
    recording: Recording,
    *,
    takes: int = 3,
    seconds: float = 10.0,
    rate_hz: float = 30.0,
    size: tuple[int, int] = (640, 480),
    earlier: int = 0,
) -> LoopTimes:
    """Tick at ``rate_hz`` through ``takes`` of ``seconds`` each, one right after the other.

    A missed tick is made up for at the end of its take. ``earlier`` takes as long are recorded
    right before, as fast as that goes, so that they are still being saved at the first tick.
    """
    scenes = {camera: scene(k, *size) for k, camera in enumerate(CAMERAS)}
    times = LoopTimes()
    ticks = round(seconds * rate_hz)
    for _ in range(earlier):
        recording.begin()
        for number in range(ticks):
            recording.tick(number, _pictures(scenes, number))
        recording.end()
    begun = time.perf_counter()
    number = 0
    for take in range(takes):
        paused = time.perf_counter()
        if take:
            recording.end()
        recording.begin()
        if take:
            times.pauses_ms.append((time.perf_counter() - paused) * 1e3)
        recorded = 0
        while recorded < ticks:
            due_s = number / rate_hz
            left_s = begun + due_s - time.perf_counter()
            if left_s > 0:
                time.sleep(left_s)
            late_s = time.perf_counter() - begun - due_s
            times.due_s.append(due_s)
            times.late_ms.append(late_s * 1e3)
            if late_s < 1 / rate_hz:
                pictures = _pictures(scenes, number)
                called = time.perf_counter()
                recording.tick(number, pictures)
                times.cost_ms.append((time.perf_counter() - called) * 1e3)
                recorded += 1
            else:
                times.missed += 1
            number += 1
    recording.end()
    return times


def _pictures(
    scenes: dict[str, list[NDArray[np.uint8]]], number: int
) -> dict[str, NDArray[np.uint8]]:
    return {name: shown[number % _PICTURES] for name, shown in scenes.items()}


class Idle:
    """Records nothing: how late the loop is by itself on this machine."""

    def begin(self) -> None:
        pass

    def tick(self, number: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        pass

    def end(self) -> None:
        pass


class InBackground:
    """``EpisodeRecorder``, as it is meant to be used."""

    def __init__(self, recorder: EpisodeRecorder | LocalRecorder, task: str) -> None:
        self._recorder = recorder
        self._task = task
        self.keys: list[str] = []

    def begin(self) -> None:
        self._recorder.start_episode(self._task)

    def tick(self, number: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        self._recorder.add_frame(pictures | joints(number))

    def end(self) -> None:
        key = self._recorder.end_episode()
        assert key is not None
        self.keys.append(key)


class InPlace:
    """Keeps the take in memory and saves it in the loop's own thread when it ends: the usual way,
    into the same files."""

    def __init__(self, root: Path, task: str) -> None:
        self._writer = RawWriter(root)
        self._task = task
        self._samples: list[tuple[str, int, Any]] = []
        self._count = 0

    def begin(self) -> None:
        self._samples = []

    def tick(self, number: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        stamp_ns = time.time_ns()
        self._samples += [
            (topic, stamp_ns, value) for topic, value in (pictures | joints(number)).items()
        ]

    def end(self) -> None:
        self._count += 1
        encoder = JpegEncoder()
        self._writer.root.mkdir(parents=True, exist_ok=True)
        path = self._writer.root / f".in_place_{self._count}"
        journal = TakeJournal(path, TakeInfo(f"in_place/episode_{self._count:04d}", self._task))
        for topic, stamp_ns, value in self._samples:
            encoded = encoder.encode(value) if value.dtype == np.uint8 else value
            journal.add(Sample(topic, stamp_ns, encoded))
        journal.submit()
        self._writer.save_episode(Take(path))
        path.unlink()


def joints(number: int) -> dict[str, NDArray[np.float64]]:
    """The arms at tick ``number``."""
    angles = np.sin(number / 30 + np.arange(JOINTS))
    return {arm: angles + k for k, arm in enumerate(ARMS)}


def scene(camera: int, width: int, height: int) -> list[NDArray[np.uint8]]:
    """Pictures that cost an encoder about what those of a webcam cost it."""
    random = np.random.default_rng(camera)
    y, x = np.mgrid[:height, :width]
    shades = [
        120 + 60 * np.sin(x / (23 + 9 * k) + camera) + 50 * np.cos(y / (31 + 7 * k))
        for k in range(3)
    ]
    noise = random.normal(0, _NOISE, (height, width, 3))
    return [
        np.clip(np.roll(np.stack(shades, -1), 3 * k, 1) + np.roll(noise, 7 * k, 0), 0, 255).astype(
            np.uint8
        )
        for k in range(_PICTURES)
    ]


def measure_recorder(
    root: Path, task: str, run: Callable[[Recording], LoopTimes] = run_loop
) -> dict[str, LoopTimes]:
    """The loop idle, saving in place, and saving in the background, one after the other."""
    found = {"idle": run(Idle()), "in place": run(InPlace(root, task))}
    with _recorder(root) as recorder:
        found["in the background"] = run(InBackground(recorder, task))
    return found


@contextmanager
def _recorder(root: Path) -> Iterator[EpisodeRecorder]:
    with EpisodeRecorder(root) as recorder:
        yield recorder
        recorder.wait()
