"""Takes finished episodes where they are wanted, in the background, however long that takes.

What has to be delivered is noted on disk first, so that neither a lost network nor a restart loses
an episode; ``publish_episode`` sends only what is missing, so a broken upload goes on where it was.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_pipelines.errors import Refused
from lerobot_pipelines.recorder.disk import write_whole

_log = logging.getLogger(__name__)

Deliver = Callable[[str, Path], object]  # key, folder

# The network comes back when it does; an operator who waits wants to see it soon.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """``refused`` says why, by key, for what no further attempt would help."""

    waiting: int
    delivered: int
    refused: dict[str, str]
    last_error: str | None


class DeliveryQueue:
    """Calls ``deliver`` for each episode until it succeeds or raises ``Refused``; one at a time.

    ``folder`` holds the notes. ``on_delivered`` is called with the key after each success.
    """

    def __init__(
        self,
        folder: Path,
        deliver: Deliver,
        on_delivered: Callable[[str], object] = lambda key: None,
    ) -> None:
        self._folder = folder
        self._deliver = deliver
        self._on_delivered = on_delivered
        self._changed = threading.Condition()
        self._delivered = 0
        self._last_error: str | None = None
        self._stopping = False
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = [path for path in self._sorted() if "refused" not in _read(path)]
        self._thread = threading.Thread(target=self._work, name="episode-delivery", daemon=True)
        self._thread.start()

    def put(self, key: str, path: Path) -> None:
        """Note an episode; the note is durable when this returns."""
        note = note_delivery(self._folder, key, path)
        with self._changed:
            self._notes.append(note)
            self._changed.notify_all()

    def status(self) -> DeliveryStatus:
        refused = {}
        for path in self._sorted():
            note = _read(path)
            if "refused" in note:
                refused[note["key"]] = note["refused"]
        with self._changed:
            return DeliveryStatus(len(self._notes), self._delivered, refused, self._last_error)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to deliver. False: not within ``timeout`` s."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._notes, timeout)

    def stop(self) -> None:
        """Begin no more deliveries; what is left goes on at the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def retry_refused(self) -> int:
        """Try again what was refused. Returns how many episodes that are."""
        refused = [path for path in self._sorted() if "refused" in _read(path)]
        for path in refused:
            note = {name: value for name, value in _read(path).items() if name != "refused"}
            write_whole(path, json.dumps(note).encode())
        with self._changed:
            self._notes.extend(refused)
            self._changed.notify_all()
        return len(refused)

    def _sorted(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("[0-9]*.json"))

    def _work(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._changed:
                while not self._notes and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                note = self._notes[0]
            if self._attempt(note):
                pause_s = _FIRST_PAUSE_S
                with self._changed:
                    self._notes.pop(0)
                    self._changed.notify_all()
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _attempt(self, path: Path) -> bool:
        """True if this episode is settled."""
        if not (note := _read(path)):
            return True  # the queue before this one was still delivering it
        try:
            self._deliver(note["key"], Path(note["path"]))
        except Refused as refusal:
            self._last_error = f"{note['key']}: {refusal}"
            write_whole(path, json.dumps({**note, "refused": str(refusal)}).encode())
            return True
        except Exception as error:
            self._last_error = f"{note['key']}: {type(error).__name__}: {error}"
            _log.warning("not delivered yet, will try again: %s", self._last_error)
            return False
        self._on_delivered(note["key"])
        path.unlink(missing_ok=True)
        self._delivered += 1
        return True


def note_delivery(folder: Path, key: str, path: Path) -> Path:
    """Note on disk that an episode is to be delivered; a queue that is started later does it."""
    note = folder / f"{time.time_ns()}-{key.replace('/', '__')}.json"
    write_whole(note, json.dumps({"key": key, "path": str(path.absolute())}).encode())
    return note


@dataclass(frozen=True, slots=True)
class ToBucket:
    """See ``to_bucket``; an object, so that it can be handed to another process."""

    config: Any
    source: str | None

    def __call__(self, key: str, path: Path) -> object:
        from lerobot_pipelines.recorder.publish import publish_episode

        return publish_episode(key, path, config=self.config, source=self.source)


def to_bucket(config: Any, *, source: str | None = None) -> Deliver:
    """Publish each episode into the bucket of ``config`` (a file or a ``DatasetConfig``).

    See ``publish_episode``; a sensor that watches the bucket converts it.
    """
    return ToBucket(config, source)


def _read(path: Path) -> dict[str, Any]:
    """A note, {} for one that was delivered in the meantime."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return content
