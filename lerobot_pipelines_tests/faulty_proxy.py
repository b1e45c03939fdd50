"""A proxy in front of an S3 server that does to a share of the requests what networks do."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an error.</Message></Error>"

# Before the server hears of the request, or after it has done what was asked.
BEFORE = ("slow_down", "internal", "dropped")
AFTER = ("answer_lost", "answer_cut", "trickle")


class FaultyProxy(ThreadingHTTPServer):
    """``share`` of all requests meet a fault; ``met`` counts them by kind."""

    daemon_threads = True

    def __init__(self, target: str, share: float, seed: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.target = urlsplit(target)
        self.share = share
        self.met: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self) -> str | None:
        with self._lock:
            if self._random.random() >= self.share:
                return None
            kind = self._random.choice((*BEFORE, *AFTER))
            self.met[kind] += 1
            return kind

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on us as we do on them."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunked() if self.headers.get("Transfer-Encoding") else self.rfile.read(length)
        fault = self.server.fault()
        if fault == "dropped":
            self._hang_up()
            return
        if fault in ("slow_down", "internal"):
            status, text = (503, SLOW_DOWN) if fault == "slow_down" else (500, INTERNAL)
            self._answer(status, [("Content-Type", "application/xml")], text)
            return
        connection = HTTPConnection(self.server.target.netloc, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body or None, headers)
        response = connection.getresponse()
        data = response.read()
        kept = [
            (k, v)
            for k, v in response.getheaders()
            if k.lower() not in ("transfer-encoding", "connection", "date", "server")
        ]
        connection.close()
        if fault == "answer_lost":
            self._hang_up()
            return
        self._answer(response.status, kept, data, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, fault: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        # The answer to HEAD states the length of the body that it does not have.
        stated = next((v for n, v in headers if n.lower() == "content-length"), str(len(data)))
        self.send_header("Content-Length", stated if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        if self.command == "HEAD" or status == 204:
            return
        if fault == "answer_cut" and data:
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
            return
        if fault == "trickle":
            self.wfile.write(data[:1])
            self.wfile.flush()
            time.sleep(0.2)
            data = data[1:]
        self.wfile.write(data)

    def _chunked(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@contextmanager
def faulty_proxy(
    target: str, *, share: float, seed: int = 0, port: int = 0
) -> Iterator[FaultyProxy]:
    with FaultyProxy(target, share, seed, port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
