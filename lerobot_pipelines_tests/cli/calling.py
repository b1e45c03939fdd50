"""Runs the program in this process and keeps what it printed and returned."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any, NamedTuple

from lerobot_pipelines.cli.program import run


class Outcome(NamedTuple):
    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)


def call(*arguments: object) -> Outcome:
    """The exit code and output of ``lerobot-pipelines ARGUMENTS...``."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, stdout.getvalue(), stderr.getvalue())
