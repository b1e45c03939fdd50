"""lerobot's own recording command, with ``--dataset.async_saving`` and its two companions.

Runs in the environment that lerobot is installed in and needs nothing beside it:
``python -m lerobot_pipelines.recorder.lerobot_command --dataset.async_saving=true --robot...``
Nothing of lerobot's files is changed.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module, metadata
from types import ModuleType
from typing import Any

from lerobot_pipelines.recorder.lerobot_options import AsyncOptions, add_async_options
from lerobot_pipelines.recorder.lerobot_session import AsyncRecording

# As in ``cli.exits``, which needs requirements that lerobot's environment may lack.
OK, INCOMPLETE, USAGE, INTERRUPTED = 0, 1, 2, 130

_MODULES = ("lerobot.scripts.lerobot_record", "lerobot.record")  # since 0.4, and before
_NEEDED = ("RecordConfig", "VideoEncodingManager", "record", "parser")
_OLDEST, _BEYOND = (0, 3, 3), (0, 7)
SUPPORTED = "lerobot 0.3.3 to 0.6"


class NoRecordingCommand(RuntimeError):
    """lerobot is not here, or is none that this command knows; the message names the remedy."""


def main(arguments: Sequence[str]) -> int:
    """Run lerobot's recording command with its ``arguments``; returns the exit code.

    0: every episode is saved. 1: some are not (listed), or lerobot ended with an error. 2: wrong
    arguments, or no usable lerobot. 130, or 143 for SIGTERM: stopped, and every episode is saved.
    """
    try:
        module = recording_module()
    except NoRecordingCommand as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    sys.argv = ["lerobot-record", *arguments]
    add_async_options(module)
    sessions: list[AsyncRecording] = []
    code = _exit_code_of(lambda: _record(module, sessions))
    for session in sessions:
        code = _ended(session, code)
    return code


def recording_module() -> ModuleType:
    """lerobot's module of that command, imported. Raises ``NoRecordingCommand``."""
    try:
        version = metadata.version("lerobot")
    except metadata.PackageNotFoundError:
        raise NoRecordingCommand(
            f"lerobot is not installed beside {sys.executable}; name an interpreter that has "
            f"{SUPPORTED}: lerobot-pipelines record --python PATH -- ..."
        ) from None
    if not _OLDEST <= _numbers(version) < _BEYOND:
        raise NoRecordingCommand(
            f"lerobot {version} is installed beside {sys.executable}, and asynchronous saving is "
            f"made for {SUPPORTED}; install one of these, or record with lerobot-record itself"
        )
    module = _imported(version)
    if missing := [name for name in _NEEDED if not hasattr(module, name)]:
        raise NoRecordingCommand(
            f"the recording command of lerobot {version} has no {missing[0]}, which {SUPPORTED} "
            "have; install one of these, or record with lerobot-record itself"
        )
    return module


def _imported(version: str) -> ModuleType:
    for name in _MODULES:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise NoRecordingCommand(
                    f"the recording command of lerobot {version} needs {error.name}, which is not "
                    f"installed beside {sys.executable}; pip install 'lerobot=={version}' there, "
                    "with its requirements (hardware and record extras where it has them)"
                ) from error
    raise NoRecordingCommand(f"lerobot {version} has no recording command; install {SUPPORTED}")


def _record(module: Any, sessions: list[AsyncRecording]) -> None:
    """Let lerobot parse its arguments and record."""

    def record(config: Any) -> None:
        options = config.dataset
        if (fault := options.fault()) is not None:
            print(f"error: {fault}", file=sys.stderr)
            sys.exit(USAGE)
        for note in _notes(options):
            print(f"lerobot-pipelines record: note: {note}", file=sys.stderr)
        if not options.async_saving:
            module.record(config)
            return
        session = AsyncRecording(options)
        sessions.append(session)
        with session.hooked(module):
            module.record(config)

    record.__annotations__ = {"config": module.RecordConfig}
    if hasattr(module, "register_third_party_plugins"):
        module.register_third_party_plugins()
    module.parser.wrap()(record)()


def _notes(options: Any) -> list[str]:
    """Options that do nothing beside the others."""
    if not options.async_saving:
        is_set = any(getattr(options, one.name) != one.default for one in fields(AsyncOptions))
        return ["without --dataset.async_saving=true its companions do nothing"] if is_set else []
    if getattr(options, "streaming_encoding", False):
        return ["streaming_encoding does nothing here: pictures are encoded as they are saved"]
    return []


def _exit_code_of(action: Any) -> int:
    try:
        action()
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as leaving:
        if isinstance(leaving.code, int | None):
            return leaving.code or OK
        print(leaving.code, file=sys.stderr)
        return INCOMPLETE
    except Exception:
        traceback.print_exc()
        return INCOMPLETE
    return OK


def _ended(session: AsyncRecording, code: int) -> int:
    """Wait for what is under way, say what became of all, and return the exit code."""
    waited = _exit_code_of(session.finish)
    lines, lost = session.report()
    for line in lines:
        print(f"lerobot-pipelines record: {line}", file=sys.stderr, flush=True)
    if lost:
        return INCOMPLETE
    return code or waited


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (0, 4, 4) of "0.4.4.post1"."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
