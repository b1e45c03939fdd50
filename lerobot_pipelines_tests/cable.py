"""A network cable between a client and a server on this machine, which can be pulled."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_BLOCK = 1 << 14


class Cable:
    """Passes bytes on. Pulled, it cuts every connection where it is and takes no new one."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_pulled = False
        self._left: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def is_pulled(self) -> bool:
        return self._is_pulled

    def pull_after(self, count: int) -> None:
        """Pull it once the client has sent that many bytes more."""
        with self._lock:
            self._left = count

    def plug(self) -> None:
        with self._lock:
            self._is_pulled, self._left = False, None

    def close(self) -> None:
        self._pull()
        self._listener.close()

    def _pull(self) -> None:
        with self._lock:
            self._is_pulled = True
            ends = list(self._open)
        for end in ends:
            _hang_up(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                if self._is_pulled:
                    client.close()
                    continue
                port = self._target.port or 80
                server = socket.create_connection((str(self._target.hostname), port))
                with self._lock:
                    self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    counts = source is client
                    threading.Thread(
                        target=self._pass_on, args=(source, sink, counts), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK):
                if counts and self._is_over(len(data)):
                    self._pull()
                    return
                sink.sendall(data)
        for end in (source, sink):
            _hang_up(end)
            with self._lock:
                self._open.discard(end)

    def _is_over(self, count: int) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left -= count
            return self._left < 0


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def cable_to(target: str) -> Iterator[Cable]:
    cable = Cable(target)
    try:
        yield cable
    finally:
        cable.close()
