"""The files of ``deploy/`` as data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
UNITS = ("code", "daemon", "webserver", "worker")
INSTEAD = "watch"  # of the first three, without a web interface


def documents(name: str) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return [document for document in yaml.safe_load_all((DEPLOY / name).read_text()) if document]


def unit_lines(unit: str, key: str) -> list[str]:
    """The values of a key of a systemd unit, in order."""
    text = (DEPLOY / "systemd" / f"lerobot-pipelines-{unit}.service").read_text()
    start = f"{key}="
    return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


def unit_command(unit: str, key: str = "ExecStart") -> list[str]:
    (line,) = unit_lines(unit, key)
    return shlex.split(line)


def documented_variables() -> set[str]:
    """The names in ``environment.example``, those that are commented out too."""
    lines = (DEPLOY / "environment.example").read_text().splitlines()
    names = (line.lstrip("#").partition("=")[0] for line in lines if "=" in line)
    return {name for name in names if name.isupper() and " " not in name}
