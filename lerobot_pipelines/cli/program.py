"""The program: finds commands, and turns every expected error into one line and an exit code."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

import lerobot_pipelines
from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.logs import LOG_FORMATS, LOG_LEVELS, set_up_logging, to_file
from lerobot_pipelines.cli.secrets import redacted
from lerobot_pipelines.cli.text import safe
from lerobot_pipelines.errors import ConfigError, PipelineError

NAME = "lerobot-pipelines"

# In the order in which a newcomer needs them; each is the function of that name in its module.
COMMANDS = (
    "demo",
    "convert",
    "publish",
    "record",
    "record-demo",
    "recover",
    "scan",
    "monitor",
    "retry",
    "remove",
    "repair",
    "clean",
    "inspect",
    "verify",
    "train-demo",
    "synth",
    "config",
    "watch",
    "dev",
)
# What earlier systems called the parts of the service -> the module that has them now.
ALIASES = {"scanner": "watch", "worker": "watch"}


class LazyCommands(click.Group):
    """Imports a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in (*COMMANDS, *ALIASES):
            return None
        name = ALIASES.get(cmd_name, cmd_name)
        module = import_module(f"lerobot_pipelines.cli.commands.{name.replace('-', '_')}")
        command = getattr(module, cmd_name, None) or module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A mistyped command is answered with the nearest ones."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), (*COMMANDS, *ALIASES), n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(f"No such command {safe(name)!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Click itself would end a broken pipe as a fault in the data, with 1."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _close_stdout()
            return exits.BROKEN_PIPE
        return result


@click.group(
    name=NAME,
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(lerobot_pipelines.__version__, prog_name=NAME)
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default="text",
    show_default=True,
    help="How log lines on stderr look: for people, or one JSON object a line.",
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="warning",
    show_default=True,
    help="The least serious log lines to show.",
)
@click.option(
    "--log-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write log lines to this file as well, with rotation; logging.* of the configuration says "
    "from which level on, how large, and how many are kept.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of errors, and every log line.")
@click.pass_context
def program(
    ctx: click.Context, log_format: str, log_level: str, log_file: Path | None, debug: bool
) -> None:
    """Turn robot recordings into trainable LeRobot datasets.

    New here? "lerobot-pipelines demo" writes three recordings, converts them through Dagster and
    verifies the datasets. With recordings of your own: "inspect" shows what is in one, "config
    check" tells whether a configuration is sound, "convert" makes the dataset, "verify" proves it.
    "dev" opens the web interface that does all this by itself whenever a recording arrives, "watch"
    is the same as a service without one. Without CONFIG, commands take $LEROBOT_PIPELINES_CONFIG,
    else ./config/storage.yaml.

    \b
    Exit codes of every command:
      0  all fine
      1  it ran, and something in the data is wrong (listed)
      2  wrong usage or configuration; nothing was done
      3  there was nothing to work on
    """
    set_up_logging("debug" if debug else log_level, log_format, log_file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code; only unforeseen errors are raised."""
    debug = "--debug" in arguments
    try:
        result = program.main(list(arguments), prog_name=NAME, standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.NoSuchOption as error:
        error.show()
        if any(error.option_name in parameter.opts for parameter in program.params):
            click.echo(f"It stands before the command: {NAME} {error.option_name} ...", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return exits.INTERRUPTED
    except PipelineError as error:
        if debug:
            raise
        _say_error(safe(str(error), lines=True))
        return exits.USAGE if isinstance(error, ConfigError) else exits.INCOMPLETE
    except OSError as error:
        # A full disk, a missing permission: the system's own sentence names the file.
        if debug:
            raise
        _say_error(safe(str(error)))
        return exits.INCOMPLETE
    return result if isinstance(result, int) else exits.OK


def _say_error(text: str) -> None:
    line = redacted(f"error: {text}")
    click.echo(line, err=True)
    to_file(line, logging.ERROR)


def _close_stdout() -> None:
    """The reader went away (``| head``); Python would complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
