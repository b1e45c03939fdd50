"""Scratch folders go with their process, also one that is killed; nobody else's ever goes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lerobot_pipelines.storage.file_lock import FileLock
from lerobot_pipelines.storage.scratch import ABANDONED_AFTER_S, FOLDER, ScratchFolder, sweep


def in_another_process(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )


def holder(cache: Path) -> subprocess.Popen[str]:
    """A process that works in a scratch folder until it is ended."""
    process = in_another_process(f"""
        import pathlib, time
        from lerobot_pipelines.storage.scratch import ScratchFolder
        with ScratchFolder(pathlib.Path({str(cache)!r})) as folder:
            (folder / "big").write_text("x")
            print(folder, flush=True)
            time.sleep(600)
    """)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / FOLDER).iterdir())


def test_a_folder_and_its_lock_go_at_the_end(tmp_path: Path) -> None:
    with ScratchFolder(tmp_path) as folder:
        (folder / "a").write_text("a")
    assert left(tmp_path) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(tmp_path: Path) -> None:
    killed, living = holder(tmp_path), holder(tmp_path)
    killed.kill()
    killed.wait()
    before = left(tmp_path)
    sweep(tmp_path)
    after = left(tmp_path)
    living.kill()
    living.wait()
    assert len(before) == 4 and len(after) == 2
    assert any((tmp_path / FOLDER / name / "big").exists() for name in after)
    sweep(tmp_path)
    assert left(tmp_path) == []


def test_the_next_process_sweeps_by_itself(tmp_path: Path) -> None:
    killed = holder(tmp_path)
    killed.kill()
    killed.wait()
    assert len(left(tmp_path)) == 2
    code = (
        f"from lerobot_pipelines.storage.scratch import *; ScratchFolder(Path({str(tmp_path)!r}))"
    )
    in_another_process(code).wait()
    assert left(tmp_path) == []


def test_remains_of_the_earlier_version_go_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / "step-old", tmp_path / "step-young"
    for folder in (old, young):
        folder.mkdir()
    then = time.time() - ABANDONED_AFTER_S - 60
    os.utime(old, (then, then))
    half = tmp_path / "first_passes" / ".half"
    half.parent.mkdir()
    half.write_text("x")
    os.utime(half, (then, then))
    sweep(tmp_path)
    assert not old.exists() and young.exists() and not half.exists()


def test_a_lock_whose_file_is_removed_under_those_who_wait_still_excludes(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        with FileLock(tmp_path / "lock") as lock:
            assert lock.acquire()
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
            lock.remove()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    assert most == 1
    assert list(tmp_path.iterdir()) == []
