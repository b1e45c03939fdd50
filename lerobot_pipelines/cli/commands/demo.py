"""``demo``: recordings in, verified datasets out, through a real Dagster daemon."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.cli.demo_project import DemoProject, DemoState
    from lerobot_pipelines.cli.processes import Child, Children
    from lerobot_pipelines.cli.services import Instance
    from lerobot_pipelines.config.schema import DatasetConfig
    from lerobot_pipelines.pipeline.workspace import Workspace

DEFAULT_FOLDER = "lerobot-pipelines-demo"
_POLL_S = 1.0


@click.command(short_help="See it work: recordings in, verified datasets out.")
@click.argument(
    "folder",
    metavar="[FOLDER]",
    required=False,
    default=DEFAULT_FOLDER,
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option("--episodes", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--serve", is_flag=True, help="Keep Dagster and its web interface until Ctrl-C.")
@click.option("--no-daemon", is_flag=True, help="Convert in this process, without Dagster.")
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.0, min_open=True),
    default=600.0,
    show_default=True,
    help="Give up when nothing is finished by then.",
)
def command(
    folder: Path,
    episodes: int,
    serve: bool,
    no_daemon: bool,
    port: int,
    host: str,
    timeout_s: float,
) -> int:
    """See it work: write synthetic recordings, let Dagster convert them, verify the datasets.

    FOLDER (default: ./lerobot-pipelines-demo) receives "bucket" with the recordings and the
    datasets, "configs" with the dataset's YAML, and "dagster_home". A real Dagster daemon runs
    until its sensor has found and converted every recording and built the datasets; no other
    service is needed. Repeating the command finds everything done; a larger --episodes adds
    recordings.

    \b
    Examples:
      lerobot-pipelines demo
      lerobot-pipelines demo --serve          and open the address it prints
      lerobot-pipelines demo /tmp/try --episodes 5 --no-daemon

    \b
    Exit codes:
      0  converted and verified
      1  an episode was refused, a dataset has defects, Dagster ended or took too long
      2  wrong usage; for example the port is taken
    """
    if serve and no_daemon:
        raise click.UsageError("--serve and --no-daemon exclude each other")
    from lerobot_pipelines.cli.demo_project import DemoProject
    from lerobot_pipelines.cli.services import free_port
    from lerobot_pipelines.pipeline.workspace import open_workspace

    address = (host, free_port(host, port)) if serve else None
    project = DemoProject(Path(os.path.abspath(folder)))
    config = project.write_config()
    written = project.write_recordings(episodes)
    click.echo(f"{counted(len(written), 'recording')} written below {safe(str(project.raw))}")
    workspace = open_workspace(config)
    if no_daemon:
        return max(_convert_here(config), _verify(workspace))
    return _convert_in_dagster(project, workspace, address, timeout_s)


def _convert_here(config: DatasetConfig) -> int:
    from lerobot_pipelines.cli.progress import watch
    from lerobot_pipelines.pipeline.convert import convert_dataset
    from lerobot_pipelines.pipeline.discovery import list_episode_keys
    from lerobot_pipelines.pipeline.workspace import open_workspace

    total = len(list(list_episode_keys(open_workspace(config).storage, config)))
    with watch(total) as on_event:
        summary = convert_dataset(config, on_event=on_event)
    return exits.OK if summary.ok else exits.INCOMPLETE


def _convert_in_dagster(
    project: DemoProject, workspace: Workspace, address: tuple[str, int] | None, timeout_s: float
) -> int:
    from lerobot_pipelines.cli.demo_project import read_state
    from lerobot_pipelines.cli.processes import Children, interruptible
    from lerobot_pipelines.cli.services import Instance, ui_url, wait_for_ui

    instance = Instance(project.home, project.configs)
    if address is None and read_state(workspace).finished:
        click.echo("nothing to do: everything was converted before")
        code = _verify(workspace)
        _say_how_to_open(instance)
        return code
    instance.prepare()
    with interruptible(), Children() as children:
        if address is not None:
            webserver = instance.start_webserver(children, *address)
        daemon = instance.start_daemon(children)
        if address is not None:
            wait_for_ui(children, webserver, ui_url(*address))
            click.echo(f"Dagster is at {ui_url(*address)}")
        refused = _wait_until_converted(children, daemon, instance, workspace, timeout_s)
        code = max(_verify(workspace), exits.INCOMPLETE if refused else exits.OK)
        if address is None:
            _say_how_to_open(instance)
            return code
        click.echo(f"Dagster stays at {ui_url(*address)} until Ctrl-C")
        try:
            while True:
                children.check()
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            click.echo("stopped")
    return code


def _wait_until_converted(
    children: Children, daemon: Child, instance: Instance, workspace: Workspace, timeout_s: float
) -> int:
    """Follow the bucket until all is done; returns how many episodes were refused.

    The datasets are complete a moment before the run that made them: a run stopped then would be
    on record as failed.
    """
    from lerobot_pipelines.cli.demo_project import read_state
    from lerobot_pipelines.cli.processes import ServiceError
    from lerobot_pipelines.pipeline.failures import list_failures

    deadline = time.monotonic() + timeout_s
    with _shown_state() as show:
        while not (state := read_state(workspace)).finished or instance.unfinished_runs():
            show(state)
            children.check()
            if time.monotonic() > deadline:
                raise ServiceError(
                    daemon.with_tail(f"not finished after {timeout_s:g} s ({state.sentence()})")
                )
            time.sleep(_POLL_S)
        show(state)
    for failure in list_failures(workspace):
        click.echo(f"{safe(failure.key)}: {failure.reason}: {safe(failure.message)}", err=True)
    return state.refused


@contextmanager
def _shown_state() -> Iterator[Callable[[DemoState], None]]:
    """A line whenever something changed; on a terminal one line that changes."""
    if sys.stdout.isatty():
        from lerobot_pipelines.cli.tables import console

        screen = console()
        with screen.status("Dagster is starting") as status:
            yield lambda state: status.update(state.sentence())
        return
    last: list[str] = []

    def show(state: DemoState) -> None:
        if last != [state.sentence()]:
            last[:] = [state.sentence()]
            click.echo(state.sentence())

    yield show


def _verify(workspace: Workspace) -> int:
    from lerobot_pipelines.datasets import dataset_prefix
    from lerobot_pipelines.datasets.verify import verify_dataset

    code = exits.OK
    for fmt in workspace.config.dataset.formats:
        root = workspace.storage.local_path(dataset_prefix(workspace.config, fmt))
        assert root is not None, "the demo's bucket is a folder"
        report = verify_dataset(root)
        verdict = "verified" if report.ok else counted(len(report.findings), "finding")
        click.echo(
            f"dataset {fmt}: {counted(report.episodes, 'episode')}, "
            f"{counted(report.frames, 'frame')}, {verdict}: {safe(str(root))}"
        )
        if not report.ok:
            click.echo(f"  see them: lerobot-pipelines verify {safe(str(root))}", err=True)
            code = exits.INCOMPLETE
    return code


def _say_how_to_open(instance: Instance) -> None:
    configs, home = shlex.quote(str(instance.configs)), shlex.quote(str(instance.home))
    click.echo("Open the web interface, and watch it take recordings that you add:")
    click.echo(f"  lerobot-pipelines dev --configs {safe(configs)} --home {safe(home)}")
