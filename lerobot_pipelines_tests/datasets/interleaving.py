"""Writers that are stopped and go on before any single operation on the store, as a test says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from lerobot_pipelines.storage.base import Level, ObjectInfo, ObjectNotFound, Storage

STEP_SECONDS = 60.0


class Died(BaseException):
    """Ends a writer at the operation it waits for, as ``kill -9`` would: it does nothing more."""


class MemoryStorage:
    """By the rules of an object store: the ETag is the content's MD5, conditions are checked, and
    a delete takes whatever is there. The tests of real servers hold that these are their rules."""

    url = "s3://memory"

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self._objects = dict(objects or {})
        self._lock = threading.Lock()

    def copied(self) -> MemoryStorage:
        return MemoryStorage(self._objects)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        start = f"{prefix}/" if prefix else ""
        keys = sorted((k for k in self._objects if k.startswith(start)), key=str.encode)
        return iter([self._info(key) for key in keys])

    def list_level(self, prefix: str = "") -> Level:
        start = f"{prefix}/" if prefix else ""
        infos = [*self.list(prefix)]
        names = {info.key[len(start) :].partition("/")[0] for info in infos}
        objects = [info for info in infos if "/" not in info.key[len(start) :]]
        return sorted(names - {one.key[len(start) :] for one in objects}), objects

    def head(self, key: str) -> ObjectInfo | None:
        return self._info(key) if key in self._objects else None

    def read(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(key) from None

    def write(self, key: str, data: bytes) -> ObjectInfo:
        self._objects[key] = data
        return self._info(key)

    def create(self, key: str, data: bytes) -> bool:
        return self.replace(key, data, None) is not None

    def replace(self, key: str, content: bytes | Path, seen: str | None) -> ObjectInfo | None:
        data = content if isinstance(content, bytes) else content.read_bytes()
        with self._lock:
            there = self.head(key)
            if (there.etag if there else None) != seen:
                return None
            return self.write(key, data)

    def upload(self, path: Path, key: str, *, is_final: bool = False) -> ObjectInfo:
        return self.write(key, path.read_bytes())

    def copy(self, source: str, key: str) -> ObjectInfo:
        return self.write(key, self.read(source))

    def download(self, key: str, path: Path) -> ObjectInfo:
        path.write_bytes(self.read(key))
        return self._info(key)

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def holds(self, info: ObjectInfo, path: Path) -> bool:
        return self.read(info.key) == path.read_bytes()

    def local_path(self, key: str) -> Path | None:
        return None

    def _info(self, key: str) -> ObjectInfo:
        data = self._objects[key]
        return ObjectInfo(key, len(data), hashlib.md5(data).hexdigest(), time.time_ns())


class Writer:
    """Runs ``work(storage)`` in a thread; each call on ``storage`` waits for leave to be made."""

    started: ClassVar[list[Writer]] = []

    def __init__(self, storage: Storage, work: Callable[[Storage], object]) -> None:
        self.url = storage.url
        self.outcome: object = None  # what it returned or raised
        self.is_done = False
        self.calls: list[str] = []
        self.upcoming = ""  # the call that waits to be made
        self._inner = storage
        self._work = work
        self._leave = 0  # calls that may still be made
        self._waiting = self._inside = 0
        self._is_dead = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.started.append(self)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name == "local_path":
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            texts = [one for one in arguments if isinstance(one, str)]
            with self._changed:
                self._waiting += 1
                self.upcoming = f"{name} {texts[name == 'copy'] if texts else ''}"
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._leave > 0 or self._is_dead)
                self._waiting -= 1
                if self._is_dead:
                    raise Died
                self._leave -= 1
                self._inside += 1
            try:
                found = method(*arguments, **options)
                # A listing is one operation.
                return iter(list(found)) if name == "list" else found
            finally:
                with self._changed:
                    self.calls.append(f"{name} {texts[0] if texts else ''}")
                    self._inside -= 1
                    self._changed.notify_all()

        return call

    def step(self, calls: int) -> bool:
        """Let it make so many calls and stop before the next one; False if it came to its end."""
        with self._changed:
            self._leave += calls
            self._changed.notify_all()
            stopped = self._changed.wait_for(
                lambda: self.is_done or (not self._leave and not self._inside and self._waiting),
                STEP_SECONDS,
            )
            assert stopped, f"stuck after {self.calls[-3:]}"
            return not self.is_done

    def finish(self) -> object:
        with self._changed:
            self._leave = 1_000_000
            self._changed.notify_all()
        self._thread.join(STEP_SECONDS)
        assert self.is_done, f"stuck after {self.calls[-3:]}"
        return self.outcome

    def die(self) -> None:
        """Its threads end here: they would keep the interpreter from ending."""
        with self._changed:
            self._is_dead = True
            self._changed.notify_all()
        self._thread.join(STEP_SECONDS)
        assert self.is_done, f"outlived its death after {self.calls[-3:]}"

    def _run(self) -> None:
        try:
            outcome: object = self._work(self)  # type: ignore[arg-type]
        except (Exception, Died) as error:
            outcome = error
        with self._changed:
            self.outcome, self.is_done = outcome, True
            self._changed.notify_all()


def end_all() -> None:
    """Nothing that a test left waiting outlives it."""
    while Writer.started:
        Writer.started.pop().die()
