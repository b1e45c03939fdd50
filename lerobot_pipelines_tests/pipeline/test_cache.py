"""A recording is fetched once for all who read it, and never removed under a reader."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lerobot_pipelines.pipeline.cache import RecordingCache
from lerobot_pipelines.storage.disk import DiskFull


def filling(name: str, calls: list[str]) -> Callable[[Path], None]:
    def fetch(folder: Path) -> None:
        calls.append(name)
        (folder / "data").write_text(name)

    return fetch


def test_the_second_reader_fetches_nothing(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 100), list[str]()
    for _ in range(2):
        with cache.held("a", 10, filling("a", calls)) as folder:
            assert (folder / "data").read_text() == "a"
    assert calls == ["a"]


def test_readers_that_begin_at_once_all_read_at_the_same_time(tmp_path: Path) -> None:
    """Nobody waits for the one who fetched to end its reading: each may need what another holds."""
    cache, calls, readers = RecordingCache(tmp_path, 1000), list[str](), 8
    with ThreadPoolExecutor(readers) as pool:
        for name in "abcdef":
            reading = threading.Barrier(readers, timeout=60)

            def read(_: int, name: str = name, reading: threading.Barrier = reading) -> None:
                with cache.held(name, 10, filling(name, calls)):
                    reading.wait()

            list(pool.map(read, range(readers)))
    assert calls == [*"abcdef"]


def test_of_many_readers_at_once_one_fetches(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 100), list[str]()

    def read(_: int) -> str:
        with cache.held("a", 10, filling("a", calls)) as folder:
            return (folder / "data").read_text()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(32))) == {"a"}
    assert calls == ["a"]


def test_the_longest_unused_goes_first_when_room_is_needed(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 25), list[str]()
    for name in ("a", "b", "a", "c"):
        with cache.held(name, 10, filling(name, calls)):
            pass
    assert calls == ["a", "b", "c"]
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "a").exists()


def test_what_is_being_read_is_never_removed(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 15), list[str]()
    with (
        cache.held("a", 10, filling("a", calls)) as folder,
        cache.held("b", 10, filling("b", calls)),
    ):
        assert (folder / "data").read_text() == "a"


def test_a_fetch_that_fails_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 100), list[str]()

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("the network went away")

    with pytest.raises(OSError, match="network"), cache.held("a", 10, fail):
        pass
    with cache.held("a", 10, filling("a", calls)) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [".complete", "data"]


def test_what_a_killed_process_left_is_fetched_again(tmp_path: Path) -> None:
    program = f"""
        import os, pathlib
        from lerobot_pipelines.pipeline.cache import RecordingCache
        def die(folder):
            (folder / "half").write_text("half")
            os.kill(os.getpid(), 9)
        with RecordingCache(pathlib.Path({str(tmp_path)!r}), 100).held("a", 10, die): pass
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert killed.returncode == -9
    calls = list[str]()
    with RecordingCache(tmp_path, 100).held("a", 10, filling("a", calls)) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [".complete", "data"]
    assert calls == ["a"]


def full_disk(folder: Path) -> None:
    (folder / "half").write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_named_with_the_remedy_and_leaves_nothing(tmp_path: Path) -> None:
    cache = RecordingCache(tmp_path, 100)
    with (
        pytest.raises(DiskFull, match=rf"{tmp_path}.*LEROBOT_PIPELINES_CACHE"),
        cache.held("a", 10, full_disk),
    ):
        pass
    assert not (tmp_path / "a").exists()


def test_on_a_full_disk_what_nobody_reads_makes_room_first(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 1000), list[str]()
    with cache.held("unused", 10, filling("unused", calls)):
        pass

    def fetch(folder: Path) -> None:
        if (tmp_path / "unused").exists():
            full_disk(folder)
        filling("new", calls)(folder)

    with (
        cache.held("read", 10, filling("read", calls)),
        cache.held("new", 10, fetch) as folder,
    ):
        assert sorted(path.name for path in folder.iterdir()) == [".complete", "data"]
        assert (tmp_path / "read" / "data").exists()


KILLED = """
import os, pathlib
from lerobot_pipelines.pipeline.cache import RecordingCache
def die(folder):
    (folder / "half").write_text("half")
    os.kill(os.getpid(), 9)
with RecordingCache(pathlib.Path({folder!r}), 100).held({name!r}, 10, die): pass
"""


def test_what_killed_processes_left_goes_at_the_next_start(tmp_path: Path) -> None:
    """Also of recordings that nobody asks for again: their names and locks would stay for ever."""
    for name in ("a", "b"):
        subprocess.run(
            [sys.executable, "-c", KILLED.format(folder=str(tmp_path), name=name)], check=False
        )
    assert not (tmp_path / "a").exists() and (tmp_path / "b" / "half").exists()
    calls = list[str]()
    with RecordingCache(tmp_path, 100).held("c", 10, filling("c", calls)):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "locks"]
        assert sorted(path.name for path in (tmp_path / "locks").iterdir()) == [".room", "c"]


def test_a_recording_on_the_way_counts_as_much_as_one_that_is_there(tmp_path: Path) -> None:
    cache, calls = RecordingCache(tmp_path, 30), list[str]()
    with cache.held("unused", 10, filling("unused", calls)):
        pass

    def fetch_meanwhile(folder: Path) -> None:
        filling("first", calls)(folder)
        with cache.held("second", 10, filling("second", calls)):
            assert not (tmp_path / "unused").exists()  # 10 there, 15 on the way, 10 more

    with cache.held("first", 15, fetch_meanwhile):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "locks"}


def test_a_sweep_leaves_what_is_being_fetched(tmp_path: Path) -> None:
    def fetch(folder: Path) -> None:
        (folder / "half").write_text("half")
        cache.sweep()
        assert (folder / "half").exists()

    cache = RecordingCache(tmp_path, 30)
    with cache.held("a", 10, fetch) as folder:
        assert (folder / "half").exists()
