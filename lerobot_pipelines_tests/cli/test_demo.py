"""The demo without a daemon; with one: ``integration/test_demo.py``."""

from __future__ import annotations

import socket
from pathlib import Path

from lerobot_pipelines_tests.cli.calling import call


def test_without_a_daemon_it_converts_and_verifies_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "try it"
    first = call("demo", folder, "--episodes", 1, "--no-daemon")
    assert first.code == 0, first.stderr
    assert "1 recording written" in first.stdout
    assert "dataset v3.0: 1 episode, " in first.stdout
    assert "verified" in first.stdout
    again = call("demo", folder, "--episodes", 2, "--no-daemon")
    assert again.code == 0, again.stderr
    assert "1 recording written" in again.stdout
    assert "block/episode_0001  unchanged" in again.stdout
    assert "dataset v2.1: 2 episodes, " in again.stdout
    assert call("config", "check", folder / "configs").code == 0


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for words in (("demo", tmp_path / "x", "--serve", "--episodes", 1), ("dev",)):
            outcome = call(*words, "--port", port)
            assert outcome.code == 2
            assert "is taken; stop what uses it or choose another --port" in outcome.stderr


def test_contradicting_options_are_refused(tmp_path: Path) -> None:
    assert call("demo", tmp_path, "--serve", "--no-daemon").code == 2


def test_dev_without_a_configuration_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    outcome = call("dev", "--configs", tmp_path / "configs", "--home", tmp_path / "home")
    assert outcome.code == 2
    assert "holds no YAML file" in outcome.stderr
    assert not (tmp_path / "home").exists()
