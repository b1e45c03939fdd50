"""The shipped nginx settings before a real webserver: nothing is reached without a password."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lerobot_pipelines.cli.processes import Children
from lerobot_pipelines.cli.services import Instance
from lerobot_pipelines_tests.deploy.shipped import DEPLOY, unit_command
from lerobot_pipelines_tests.integration.servers import HOST, free_port, wait_for_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx here"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("login")
    port, behind = free_port(), free_port()
    (folder / "configs").mkdir()
    instance = Instance(folder / "home", folder / "configs")
    instance.prepare()
    with Children() as children:
        program, *arguments = unit_command("webserver")
        arguments = arguments[: arguments.index("-w")]  # the code location is none of its business
        arguments[arguments.index("3000")] = str(behind)
        (folder / "workspace.yaml").write_text("load_from: []\n")
        webserver = [str(Path(sys.executable).parent / Path(program).name), *arguments]
        webserver += ["-w", str(folder / "workspace.yaml")]
        children.start("webserver", webserver, instance.environment(), folder / "webserver.log")
        nginx = ["nginx", "-c", str(_settings(folder, port, behind)), "-g", "daemon off;"]
        children.start("nginx", nginx, instance.environment(), folder / "nginx.log")
        wait_for_port(behind, children)
        wait_for_port(port, children)
        yield f"http://{HOST}:{port}"


def _settings(folder: Path, port: int, behind: int) -> Path:
    """The shipped server without TLS, for which there is no certificate here."""
    server = (DEPLOY / "login" / "nginx.conf").read_text()
    for before, after in {
        "listen 443 ssl": f"listen {HOST}:{port}",
        "/etc/lerobot-pipelines/htpasswd": str(folder / "htpasswd"),
        "127.0.0.1:3000": f"127.0.0.1:{behind}",
    }.items():
        assert before in server
        server = server.replace(before, after)
    lines = [line for line in server.splitlines() if "ssl_" not in line]
    hashed = subprocess.run(
        ["openssl", "passwd", "-5", "let me in"], capture_output=True, text=True, check=True
    )
    (folder / "htpasswd").write_text(f"operator:{hashed.stdout.strip()}\n")
    (folder / "htpasswd").chmod(0o644)
    folder.chmod(0o755)
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{one}_temp_path {folder}/{one};\n" for one in paths)
    path = folder / "nginx.conf"
    path.write_text(
        f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nuser root;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}" + "\n".join(lines) + "\n}\n"
    )
    return path


def _asked(address: str, password: str | None) -> int:
    request = urllib.request.Request(address)
    if password is not None:
        token = base64.b64encode(f"operator:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("path", ["/", "/server_info", "/graphql"])
def test_nothing_is_shown_without_the_password(address: str, path: str) -> None:
    assert _asked(address + path, None) == 401
    assert _asked(address + path, "guessed") == 401


def test_the_interface_is_shown_with_it(address: str) -> None:
    assert _asked(f"{address}/server_info", "let me in") == 200
    assert _asked(f"{address}/", "let me in") == 200


@pytest.mark.parametrize(("password", "status"), [(None, b" 401 "), ("let me in", b" 101 ")])
def test_runs_are_followed_through_the_web_socket(
    address: str, password: str | None, status: bytes
) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    lines = [
        "GET /graphql HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-ws",
    ]
    if password is not None:
        token = base64.b64encode(f"operator:{password}".encode()).decode()
        lines.append(f"Authorization: Basic {token}")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        first = b""
        deadline = time.monotonic() + 10
        with suppress(TimeoutError):
            while b"\r\n" not in first and time.monotonic() < deadline:
                first += connection.recv(1024)
    assert status in first.split(b"\r\n")[0]
