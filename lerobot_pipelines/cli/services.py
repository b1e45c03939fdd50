"""Dagster's webserver and daemon: how they are started here, and when they are ready."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

import lerobot_pipelines
from lerobot_pipelines.cli.processes import Child, Children, ServiceError

MODULE = "lerobot_pipelines.definitions"
LOCATION = "lerobot_pipelines"  # part of each sensor's identity, so the same everywhere
CONFIGS_VARIABLE = "LEROBOT_PIPELINES_CONFIGS"
OVERRIDES_VARIABLE = "LEROBOT_PIPELINES_OVERRIDES"
HOME_VARIABLE = "DAGSTER_HOME"
# In the environment of everything that a service starts, however far down.
MARK_VARIABLE = "LEROBOT_PIPELINES_WATCHED_HOME"
LOG_FOLDER = "service_logs"  # "logs" is Dagster's own, which it empties
READY_TIMEOUT_S = 180.0  # two cores that convert at the same time need 20
_POLL_S = 0.25

_PREPARE = (
    "import pathlib, sys; from lerobot_pipelines.defs.home import prepare_home; "
    "prepare_home(pathlib.Path(sys.argv[1]))"
)

_LOCATIONS_QUERY = """{ workspaceOrError { ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"""


@dataclass(frozen=True, slots=True)
class Instance:
    """A Dagster home and the folder of dataset YAMLs (or the files) it works with.

    ``overrides``: keys that every configuration has other values of than its file says.
    """

    home: Path
    configs: Path | tuple[Path, ...]
    overrides: Mapping[str, object] = field(default_factory=dict)
    marks_its_processes: bool = False  # see ``home_lock``

    def prepare(self) -> None:
        """Create what the processes need, once, before any starts: two creating it collide."""
        # In a process of its own: Dagster would stay in this one, at 100 MB, as long as it runs.
        done = subprocess.run(
            [sys.executable, "-c", _PREPARE, str(self.home)],
            env=self.environment(),
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise ServiceError(f"cannot prepare the Dagster home {self.home}: {reason}")
        self.workspace_file.write_text(
            f"load_from:\n"
            f"  - python_module:\n"
            f"      module_name: {MODULE}\n"
            f"      location_name: {LOCATION}\n"
        )

    @property
    def workspace_file(self) -> Path:
        return self.home / "workspace.yaml"

    def unfinished_runs(self) -> int:
        """How many runs are queued or running, as Dagster has them on record."""
        import dagster as dg

        unfinished = dg.RunsFilter(
            statuses=[
                dg.DagsterRunStatus.QUEUED,
                dg.DagsterRunStatus.NOT_STARTED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.CANCELING,
            ]
        )
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            return instance.get_runs_count(unfinished)

    def environment(self) -> dict[str, str]:
        """This process's, with the instance's folders."""
        environment = dict(os.environ)
        environment["DAGSTER_HOME"] = str(self.home)
        several = (self.configs,) if isinstance(self.configs, Path) else self.configs
        environment[CONFIGS_VARIABLE] = os.pathsep.join(map(str, several))
        if self.overrides:
            environment[OVERRIDES_VARIABLE] = json.dumps(dict(self.overrides))
        else:
            environment.pop(OVERRIDES_VARIABLE, None)
        environment["PYTHONUNBUFFERED"] = "1"
        if self.marks_its_processes:
            environment[MARK_VARIABLE] = str(self.home)
        package_parent = Path(lerobot_pipelines.__file__).parent.parent
        if package_parent.name not in ("site-packages", "dist-packages"):
            # Run from a checkout that is not installed: the children must find it too.
            paths = [str(package_parent), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        return environment

    def start_daemon(
        self, children: Children, on_line: Callable[[str], None] = lambda line: None
    ) -> Child:
        arguments = [sys.executable, "-m", "dagster._daemon", "run"]
        return self._start(children, "daemon", arguments, on_line)

    def start_webserver(
        self,
        children: Children,
        host: str,
        port: int,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> Child:
        arguments = [sys.executable, "-m", "dagster_webserver", "-h", host, "-p", str(port)]
        return self._start(children, "webserver", arguments, on_line)

    def _start(
        self,
        children: Children,
        name: str,
        arguments: list[str],
        on_line: Callable[[str], None],
    ) -> Child:
        return children.start(
            name,
            [*arguments, "-w", str(self.workspace_file)],
            self.environment(),
            self.home / LOG_FOLDER / f"{name}.log",
            on_line,
        )


def free_port(host: str, port: int) -> int:
    """The port itself, or a free one for 0. Raises ``UsageError`` if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise click.UsageError(
                    f"port {port} on {host} is taken; stop what uses it or choose another --port"
                ) from error
            raise click.UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def ui_url(host: str, port: int) -> str:
    """The address to open in a browser on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def wait_for_ui(children: Children, webserver: Child, url: str) -> None:
    """Return when the web interface answers and has loaded the definitions.

    Raises ``ServiceError`` if a child ends, if loading fails, or after ``READY_TIMEOUT_S``.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        children.check()
        for location in _locations(url):
            fault = location["locationOrLoadError"] or {}
            if fault.get("__typename") == "PythonError":
                raise ServiceError(f"Dagster could not load {MODULE}: {fault['message']}")
            if location["loadStatus"] == "LOADED":
                return
        time.sleep(_POLL_S)
    raise ServiceError(webserver.with_tail(f"{url} did not answer within {READY_TIMEOUT_S:.0f} s"))


def _locations(url: str) -> list[dict[str, Any]]:
    """The code locations as the webserver knows them; none as long as it does not answer."""
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": _LOCATIONS_QUERY}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        # No proxy: the server is this machine's.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            answer = json.load(response)
    except (urllib.error.URLError, OSError, ValueError):
        return []
    return list(answer["data"]["workspaceOrError"]["locationEntries"])
