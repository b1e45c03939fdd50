"""A fleet on one machine: code server, daemon and Celery workers, started as ``deploy/`` says.

The commands are those of the systemd units and the settings those of the shipped files; only
folders, ports and the number of concurrent runs are this machine's own.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from lerobot_pipelines.cli.processes import Child, Children
from lerobot_pipelines.cli.services import Instance
from lerobot_pipelines.config import dump_config, load_config
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.conftest import demo_config
from lerobot_pipelines_tests.integration.servers import (
    running_servers,
    wait_for_socket,
)

REPOSITORY = Path(__file__).parent.parent.parent
DEPLOY = REPOSITORY / "deploy"
SOCKET = "/run/lerobot-pipelines/code.sock"
CAMERAS = tuple(SynthCamera(name, 25.0, width=64, height=48) for name in ("cam_high", "cam_left"))


def command(unit: str, environment: Mapping[str, str], **replaced: str) -> list[str]:
    """The unit's ``ExecStart`` for this machine, with variables expanded as systemd does."""
    lines = (DEPLOY / "systemd" / f"lerobot-pipelines-{unit}.service").read_text().splitlines()
    line = next(line for line in lines if line.startswith("ExecStart="))
    program, *arguments = shlex.split(line.removeprefix("ExecStart="))
    for name, value in environment.items():
        arguments = [argument.replace(f"${{{name}}}", value) for argument in arguments]
    for before, after in replaced.items():
        arguments = [argument.replace(before, after) for argument in arguments]
    return [str(Path(sys.executable).parent / Path(program).name), *arguments]


def small_config(bucket: Path) -> DatasetConfig:
    """Two cameras, and a sensor that looks every second."""
    return demo_config(
        bucket,
        **{
            "storage.scanner.interval_s": 1,
            "storage.scanner.quiet_period_s": 0.5,
            "cameras": [
                {"name": "cam_high", "role": "base", "target_fps": 25},
                {"name": "cam_left", "role": "sync"},
            ],
        },
    )


@dataclass
class Fleet:
    folder: Path
    environment: dict[str, str]
    children: Children
    instance: dg.DagsterInstance
    workers: dict[str, Child] = field(default_factory=dict)

    @property
    def socket(self) -> str:
        """Where the code server listens."""
        return _socket(self.folder)

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    @property
    def workspace(self) -> Workspace:
        config = load_config(self.folder / "configs" / "demo.yaml")
        return open_workspace(config, cache_dir=self.folder / "cache")

    def upload(self, keys: Sequence[str], seconds: float = 1.0) -> None:
        """As a robot does it: written elsewhere, then moved into place."""
        staged = self.folder / "staged"
        for seed, key in enumerate(keys):
            write_recording(staged, key, SynthSpec(seconds=seconds, cameras=CAMERAS, seed=seed))
        for section in ("joints", "images"):
            for key in keys:
                target = self.bucket / "raw" / section / key
                target.parent.mkdir(parents=True, exist_ok=True)
                (staged / section / key).rename(target)

    def start(self, unit: str) -> Child:
        replaced = {"/etc/lerobot-pipelines": str(self.folder / "etc"), SOCKET: self.socket}
        return self._start(unit, command(unit, self.environment, **replaced))

    def start_worker(self, name: str) -> Child:
        """A worker as a machine of that name would run it."""
        arguments = command("worker", self.environment, **{"%H": name})
        self.workers[name] = self._start("worker", arguments, name)
        return self.workers[name]

    def kill_while_converting(self, name: str) -> dg.DagsterRun | None:
        """End a worker as if its machine lost power; the run that it was in the middle of.

        None, and the worker lives on, if there is none. Everything that it started is frozen for
        the look, so that the run cannot finish meanwhile.
        """
        group = self.workers[name].pid
        os.killpg(group, signal.SIGSTOP)
        started = self.runs(dg.DagsterRunStatus.STARTED)
        mine = (run for run in started if self.worker_of(run) == name)
        run = next((run for run in mine if not self._has_begun(run, naming.METADATA)), None)
        os.killpg(group, signal.SIGCONT if run is None else signal.SIGKILL)
        return run

    def _has_begun(self, run: dg.DagsterRun, step: str) -> bool:
        begun = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
        return any(str(entry.step_key).endswith(step) for entry in begun)

    def _start(self, unit: str, arguments: list[str], name: str = "") -> Child:
        name = name or unit
        log = self.folder / "logs" / f"{name}.log"
        return self.children.start(name, arguments, self.environment, log)

    def runs(self, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """The runs that convert an episode, in these states or in any."""
        filters = dg.RunsFilter(
            job_name=naming.episode_job("demo"), statuses=list(statuses) or None
        )
        return list(self.instance.get_runs(filters))

    def worker_of(self, run: dg.DagsterRun) -> str | None:
        """The name of the machine whose worker has or had this run; None if none took it."""
        from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

        launcher: Any = self.instance.run_launcher
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return None
        task = launcher.celery.backend.get_task_meta(task_id)
        result = task["result"]
        host = result.get("hostname") if isinstance(result, dict) else task.get("worker")
        return host.partition("@")[2] if host else None

    def runs_by_worker(self) -> Counter[str | None]:
        return Counter(self.worker_of(run) for run in self.runs())


def _socket(folder: Path) -> str:
    """A path short enough for a socket (107 bytes), whatever the folder's."""
    return f"{tempfile.gettempdir()}/lp-{hashlib.sha256(bytes(folder)).hexdigest()[:12]}.sock"


@contextmanager
def running_fleet(
    folder: Path, workers: Sequence[str] = ("one", "two"), concurrent: int = 2
) -> Iterator[Fleet]:
    """PostgreSQL, Redis, and a worker with one process for each name; the daemon comes later.

    Without workers, Dagster's default launcher starts a process for each run.
    """
    with running_servers() as servers, Children() as children:
        environment = _prepare(folder, servers.environment, concurrent, celery=bool(workers))
        with _instance(folder / "home", environment) as instance:
            fleet = Fleet(folder, environment, children, instance)
            # As an operator does, see deploy/README.md: the default is for one machine.
            instance.event_log_storage.set_concurrency_slots(naming.ENCODE_POOL, concurrent)
            fleet.start("code")
            for name in workers:
                fleet.start_worker(name)
            wait_for_socket(fleet.socket, children)
            yield fleet


def _prepare(
    folder: Path, servers: Mapping[str, str], concurrent: int, *, celery: bool
) -> dict[str, str]:
    """Folders as on a server, and the environment of its units."""
    home, etc, configs = folder / "home", folder / "etc", folder / "configs"
    for new in (home, etc, configs):
        new.mkdir(parents=True)
    settings = yaml.safe_load((DEPLOY / "celery" / "dagster.yaml").read_text())
    runs = settings["concurrency"]["runs"]
    runs["max_concurrent_runs"] = concurrent
    if not celery:
        del settings["run_launcher"]
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    workspace = (DEPLOY / "systemd" / "workspace.yaml").read_text()
    (etc / "workspace.yaml").write_text(workspace.replace(SOCKET, _socket(folder)))
    (configs / "demo.yaml").write_text(dump_config(small_config(folder / "bucket")))
    instance = Instance(home, configs)
    environment = {
        **instance.environment(),
        **servers,
        "LEROBOT_PIPELINES_CACHE": str(folder / "cache"),
        "LEROBOT_PIPELINES_WORKER_RUNS": "1",
    }
    paths = [str(DEPLOY / "celery"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    _prepare_home(environment)
    return environment


def _prepare_home(environment: Mapping[str, str]) -> None:
    import subprocess

    subprocess.run(
        [sys.executable, "-m", "lerobot_pipelines.defs.home"], env=dict(environment), check=True
    )


@contextmanager
def _instance(home: Path, environment: Mapping[str, str]) -> Iterator[dg.DagsterInstance]:
    """The same instance in this process, which needs the addresses in its environment."""
    names = [name for name in environment if name.startswith(("DAGSTER_PG_", "CELERY_"))]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: environment[name] for name in names})
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance
    finally:
        for name, value in before.items():
            with suppress(KeyError):
                del os.environ[name]
            if value is not None:
                os.environ[name] = value
