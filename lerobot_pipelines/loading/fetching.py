"""Fetching objects in a process of its own.

The store's client runs threads that do not survive a fork, and loaders fork their workers. So no
process that loads talks to the store: each starts this module as a helper and asks it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lerobot_pipelines.errors import ContentChanged, Transient
from lerobot_pipelines.loading.forks import keep_untouched


class Fetcher:
    """``storage`` is a ``StorageConfig`` as JSON-able values. The helper starts when needed."""

    def __init__(self, storage: dict[str, object]) -> None:
        self._storage = storage
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[str] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def fetch(self, key: str, path: Path, etag: str) -> None:
        """Download an object. ``ContentChanged`` if it is not the one of that ETag any more."""
        found = self._ask({"fetch": key, "path": str(path)})
        if found != etag:
            raise ContentChanged(f"{key} changed in the bucket since the dataset was opened")

    def list(self, prefix: str) -> dict[str, tuple[int, str]]:
        """Name below the prefix -> (size, ETag) of every object."""
        listing: dict[str, Any] = self._ask({"list": prefix})
        return {name: (int(size), str(etag)) for name, (size, etag) in listing.items()}

    def in_background(self, work: Callable[[], object]) -> None:
        """Run ``work`` in a thread, one after the other; its errors come up when it is needed."""
        self._renew()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._pool.submit(work)

    def _ask(self, order: dict[str, str]) -> Any:
        self._renew()
        with self._lock:
            if self._helper is None or self._helper.poll() is not None:
                self._helper = _start_helper(self._storage)
            assert self._helper.stdin is not None and self._helper.stdout is not None
            try:
                self._helper.stdin.write(json.dumps(order) + "\n")
                self._helper.stdin.flush()
                line = self._helper.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise Transient(f"the process that fetches from the bucket ended while at {order}")
        answer = json.loads(line)
        if "error" in answer:
            raise Transient(answer["error"])
        return answer["result"]

    def _renew(self) -> None:
        if os.getpid() != self._process:
            keep_untouched(self._lock, self._helper, self._pool)
            self._start()


def _start_helper(storage: dict[str, object]) -> subprocess.Popen[str]:
    helper = subprocess.Popen(
        [sys.executable, "-m", "lerobot_pipelines.loading.fetching"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert helper.stdin is not None
    helper.stdin.write(json.dumps(storage) + "\n")
    helper.stdin.flush()
    return helper


def _serve() -> None:
    """Answer one order a line until the input ends, which it does when its owner does."""
    from lerobot_pipelines.config.schema import StorageConfig
    from lerobot_pipelines.errors import PipelineError
    from lerobot_pipelines.storage import open_storage

    storage = open_storage(StorageConfig.model_validate(json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        order = json.loads(line)
        try:
            result: Any
            if "list" in order:
                skipped = len(order["list"]) + 1
                result = {
                    info.key[skipped:]: (info.size, info.etag)
                    for info in storage.list(order["list"])
                }
            else:
                result = storage.download(order["fetch"], Path(order["path"])).etag
            answer = {"result": result}
        except PipelineError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": f"{next(iter(order.values()))}: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
