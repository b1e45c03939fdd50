"""``record``: lerobot's own recording command, with asynchronous saving."""

from __future__ import annotations

import os
import sys
from importlib import util
from pathlib import Path

import click

import lerobot_pipelines
from lerobot_pipelines.cli.text import safe

PYTHON_VARIABLE = "LEROBOT_PIPELINES_LEROBOT_PYTHON"

# Makes this package alone importable in lerobot's interpreter: its folder may hold others'
# packages in versions that lerobot cannot use.
_START = """
import importlib.util, os, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "lerobot_pipelines", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
package = sys.modules["lerobot_pipelines"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
sys.path.append(os.getcwd())
from lerobot_pipelines.recorder.lerobot_command import main
sys.exit(main(sys.argv[2:]))
"""


@click.command(
    short_help="lerobot-record, with asynchronous saving.",
    context_settings={"ignore_unknown_options": True},
)
@click.option(
    "--python",
    "interpreter",
    metavar="PATH",
    envvar=PYTHON_VARIABLE,
    help="The Python that lerobot is installed in, if not the one of this program. Default: the "
    f"environment variable {PYTHON_VARIABLE}.",
)
@click.argument("arguments", metavar="-- [LEROBOT ARGUMENT]...", nargs=-1, type=click.UNPROCESSED)
def command(interpreter: str | None, arguments: tuple[str, ...]) -> int:
    """Run lerobot-record (0.3.3 to 0.6) with three more options. What follows -- is lerobot's.

    \b
      --dataset.async_saving=true          save episodes while the next one is recorded
      --dataset.async_save_queue_size=10   how many may wait; with more, saving blocks as it did
      --dataset.async_save_timeout=300.0   seconds after which a save counts as failed

    Nothing of lerobot's files is changed. Before lerobot ends a recording or uploads it, and when
    it is stopped by Ctrl-C, all episodes handed over are saved; further Ctrl-C leave them for the
    next start. After a crash: "lerobot-pipelines recover ROOT".

    lerobot need not be installed beside this program: --python names the interpreter that has it,
    and nothing has to be installed there.

    \b
    Examples:
      lerobot-pipelines record -- --robot.type=so101_follower --robot.port=/dev/ttyACM0 \\
          --teleop.type=so101_leader --teleop.port=/dev/ttyACM1 --dataset.repo_id=me/cube \\
          --dataset.single_task="Grab the cube" --dataset.async_saving=true
      lerobot-pipelines record --python ~/lerobot/.venv/bin/python -- --help

    \b
    Exit codes:
      0    every episode is saved
      1    an episode is not (listed), or lerobot ended with an error
      2    wrong arguments, or no lerobot that this works with; nothing was recorded
      130  stopped by Ctrl-C, every finished episode is saved (143: by SIGTERM)
    """
    if interpreter is None and util.find_spec("lerobot") is None:
        raise click.UsageError(
            f"lerobot is not installed beside {safe(sys.executable)}; name the interpreter that "
            f"has it: --python PATH, or the environment variable {PYTHON_VARIABLE}"
        )
    _start(interpreter or sys.executable, arguments)
    return 0  # not reached


def _start(interpreter: str, arguments: tuple[str, ...]) -> None:
    """Become lerobot's process: Ctrl-C, SIGTERM and its exit code are nobody else's."""
    package = Path(lerobot_pipelines.__file__).parent
    # "-P": a folder "datasets" where it is started must not hide the library of that name.
    command = [interpreter, "-P", "-c", _START, str(package), *arguments]
    sys.stdout.flush()
    try:
        os.execvp(interpreter, command)
    except OSError as error:
        raise click.UsageError(f"{safe(interpreter)} cannot be started: {error.strerror}") from None
