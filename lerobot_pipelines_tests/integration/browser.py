"""A headless Chromium, driven over its DevTools protocol: navigate, wait, click, take a picture."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
WIDTH, HEIGHT = 1600, 1000
PATIENCE_S = 60.0
# Animations of the interface (panels slide, the graph zooms) are over by then.
SETTLE_S = 1.5


class Page:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._call("Page.enable")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """The first true value of a JavaScript expression."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if value := self.evaluate(script):
                return value
            time.sleep(0.2)
        raise AssertionError(f"never true: {script}; the page says: {self.text()[:2000]}")

    def wait_for_text(self, text: str) -> None:
        self.wait_for(f"!!document.body && document.body.innerText.includes({json.dumps(text)})")

    def text(self) -> str:
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def click(self, text: str, within: str = "button, a") -> None:
        """Click the first element that shows exactly this text."""
        found = (
            f"[...document.querySelectorAll({json.dumps(within)})]"
            f".find(e => e.innerText.trim() === {json.dumps(text)})"
        )
        self.wait_for(f"!!{found}")
        self.evaluate(f"{found}.click()")

    def picture(self) -> bytes:
        """The window as it is now: PNG."""
        time.sleep(SETTLE_S)
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a fresh browser, which is gone at the end of the block."""
    assert CHROMIUM is not None, "no chromium on the PATH"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                CHROMIUM,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--no-first-run",
                "--no-proxy-server",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                f"--window-size={WIDTH},{HEIGHT}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(profile))
            with connect(_page_address(port), max_size=None, proxy=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _port(profile: Path) -> int:
    """Chromium writes the port it chose into its profile."""
    deadline = time.monotonic() + PATIENCE_S
    file = profile / "DevToolsActivePort"
    while time.monotonic() < deadline:
        if file.exists() and (match := re.match(r"\d+", file.read_text())):
            return int(match[0])
        time.sleep(0.1)
    raise AssertionError("chromium did not start")


def _page_address(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE_S) as response:
        pages = [target for target in json.load(response) if target["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"])
