"""The recorder's own process: what is shared with it, and what happens when one of the two dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
from lerobot_pipelines.recorder.results import TakeFailed
from lerobot_pipelines.recorder.shared_pictures import Slots
from lerobot_pipelines_tests.recorder import takes

LONG = 60.0


def kill(recorder: EpisodeRecorder) -> None:
    pid = recorder._process.pid
    os.kill(pid, signal.SIGKILL)
    recorder._process._process.wait(LONG)


def test_a_killed_process_fails_its_take_and_nothing_else(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        first = takes.record(recorder, 1, 4)
        recorder.end_episode()
        takes.record(recorder, 2, 4)
        kill(recorder)
        assert recorder.status().fault == "the recorder's process died"
        assert recorder.results() == []
        # The loop goes on, though there is nobody to record it.
        recorder.add("late", takes.START_NS, np.zeros((48, 64, 3), np.uint8))
        recorder.add("later", takes.START_NS, [1.0])
        with pytest.raises(TakeFailed, match="died"):
            recorder.end_episode()
        second = takes.record(recorder, 3, 4)
        assert recorder.end_episode() == second != first
        assert recorder.wait(LONG)
        assert len(recorder.interrupted) == 1
    assert takes.check(tmp_path / first) == 1
    assert takes.check(tmp_path / second) == 3


def test_a_process_killed_between_takes_is_replaced_unnoticed(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        key = takes.record(recorder, 1, 4)
        recorder.end_episode()
        kill(recorder)
        assert recorder.wait(LONG)
        kill(recorder)
        other = takes.record(recorder, 2, 4)
        recorder.end_episode()
    assert takes.check(tmp_path / key) == 1
    assert takes.check(tmp_path / other) == 2


def test_a_take_whose_process_was_killed_can_be_discarded(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        takes.record(recorder, 1, 4)
        kill(recorder)
        assert recorder.end_episode("discard") is None
        assert recorder.wait(LONG)
        assert recorder.interrupted == []


def test_a_picture_may_be_overwritten_once_it_was_added(tmp_path: Path) -> None:
    buffer = np.empty((48, 64, 3), np.uint8)
    with EpisodeRecorder(tmp_path, encoder_threads=1) as recorder:
        key = recorder.start_episode("t")
        for k in range(40):
            buffer[...] = takes.draw_picture(k, 64, 48)
            recorder.add("cam", takes.START_NS + k, buffer)
            buffer[...] = 0
        recorder.end_episode()
    pictures = sorted((tmp_path / key / "images" / "cam").iterdir())
    assert [takes.read_barcode(takes.decoded(path)) for path in pictures] == list(range(40))


def test_topics_may_come_from_threads_of_their_own(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        key = recorder.start_episode("t")

        def camera(name: str) -> None:
            for k in range(30):
                recorder.add(name, takes.START_NS + k, takes.draw_picture(k, 64, 48))

        threads = [threading.Thread(target=camera, args=(f"cam_{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert recorder.status().fault is None
        recorder.end_episode()
    for n in range(4):
        paths = sorted((tmp_path / key / "images" / f"cam_{n}").iterdir())
        assert [takes.read_barcode(takes.decoded(path)) for path in paths] == list(range(30))


def test_what_cannot_be_handed_to_the_process_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="settings"):
        EpisodeRecorder(tmp_path, deliver=lambda key, path: None)
    with pytest.raises(ValueError, match="JPEG"):
        EpisodeRecorder(tmp_path, jpeg_scale=99)
    with pytest.raises(ValueError, match='"png"'):
        EpisodeRecorder(tmp_path, pictures="png")  # type: ignore[arg-type]


SCRIPT = """
import pathlib, sys, time
from lerobot_pipelines.recorder import EpisodeRecorder
from lerobot_pipelines_tests.recorder import takes
recorder = EpisodeRecorder(pathlib.Path(sys.argv[1]))
for number in range(3):
    takes.record(recorder, number, 4)
    recorder.end_episode()
takes.record(recorder, 3, 4)
print("submitted", flush=True)
if sys.argv[2] == "exception":
    raise ValueError("the control loop fell over")
if sys.argv[2] != "return":
    time.sleep(60)
"""


@pytest.mark.parametrize("leaving", ["return", "exception", "sigterm", "sigint"])
def test_a_program_that_ends_without_closing_saves_what_was_submitted(
    tmp_path: Path, leaving: str
) -> None:
    # A file, not "-c", and without a guard for its main part.
    script = tmp_path / "loop.py"
    script.write_text(SCRIPT)
    root = tmp_path / "recordings"
    process = subprocess.Popen(
        [sys.executable, str(script), str(root), leaving],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "submitted\n"
    if leaving.startswith("sig"):
        # As a terminal and a service manager do: to every process there is.
        number = signal.SIGTERM if leaving == "sigterm" else signal.SIGINT
        os.killpg(process.pid, number)
    process.communicate(timeout=LONG)
    folders = sorted((root / "pick_up_the_block").iterdir())
    assert [takes.check(folder) for folder in folders] == [0, 1, 2]
    assert len(list((root / ".spool" / "interrupted").iterdir())) == 1


def test_a_process_does_not_outlive_the_one_that_was_killed(tmp_path: Path) -> None:
    script = f"""
import pathlib, time
from lerobot_pipelines.recorder import EpisodeRecorder
recorder = EpisodeRecorder(pathlib.Path({str(tmp_path)!r}))
print(recorder._process.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + LONG
    while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with EpisodeRecorder(tmp_path):
        pass


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_the_control_loops_process_imports_nothing_heavy() -> None:
    script = """
import sys
from lerobot_pipelines.recorder import AsyncEpisodeSaver, EpisodeRecorder, LerobotOutput
heavy = {"dagster", "av", "pyarrow", "pandas", "torch", "boto3", "pydantic", "lerobot"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_slots_keep_to_their_budget_and_are_used_again() -> None:
    slots = Slots(1 << 20, 100_000)
    first = slots.take(30_000)
    second = slots.take(30_000)
    assert first is not None and second is not None and first != second
    assert slots.take(60_000) is None
    slots.give_back(first)
    assert slots.take(25_000) == first  # warm
    slots.give_back(first)
    slots.give_back(second)
    # A single picture may be larger than the budget, but not than the memory.
    assert slots.take(1 << 20) == 0
    with pytest.raises(ValueError, match="max_pending_bytes"):
        slots.take((1 << 20) + 1)


def test_slots_are_no_more_than_can_be_given_back_while_nobody_reads() -> None:
    slots = Slots(1 << 20, 1 << 20, most=3)
    taken = [slots.take(10) for _ in range(3)]
    assert None not in taken
    assert slots.take(10) is None
    slots.give_back(int(taken[0] or 0))
    assert slots.take(10) is not None


def test_more_small_pictures_than_a_pipe_holds_do_not_stop_the_end(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        recorder.start_episode("many")
        picture = np.zeros((16, 16, 3), np.uint8)
        for k in range(12_000):
            recorder.add("camera", takes.START_NS + k * 1_000_000, picture)
        assert recorder.end_episode() is not None


@pytest.mark.parametrize("values", [[1.0, 2.0], []])
def test_a_vector_of_another_length_is_told_at_once(tmp_path: Path, values: list[float]) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        recorder.start_episode("arm")
        recorder.add("arm", takes.START_NS, [1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match="arm"):
            recorder.add("arm", takes.START_NS + 1_000_000, values)
        recorder.end_episode("discard")
