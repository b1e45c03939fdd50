from __future__ import annotations

import socket

import click
import pytest

from lerobot_pipelines.cli.services import free_port, ui_url


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(click.UsageError, match=f"port {port} on 127.0.0.1 is taken"):
            free_port("127.0.0.1", port)


def test_port_0_is_a_free_one() -> None:
    assert free_port("127.0.0.1", 0) > 0


def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(click.UsageError, match=r"cannot listen on 203\.0\.113\.7:3000"):
        free_port("203.0.113.7", 3000)


def test_the_address_is_one_that_a_browser_opens() -> None:
    assert ui_url("0.0.0.0", 3000) == "http://127.0.0.1:3000"
    assert ui_url("::1", 3000) == "http://[::1]:3000"
    assert ui_url("lab", 80) == "http://lab:80"
