"""The one place where logging is set up: lines on stderr, for people or for a log collector, and
in a file with rotation where the configuration or the command line names one.

Secrets are taken out of both.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli.secrets import redacted
from lerobot_pipelines.cli.text import safe

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import LoggingConfig

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
OURS = "lerobot_pipelines"

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """``12:30:01 WARNING episode x: trying again``; a traceback follows only where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{moment} {record.levelname} {safe(record.getMessage())}"
        if record.exc_info:
            line += "\n" + safe(self.formatException(record.exc_info), lines=True)
        return redacted(line)


class FileFormatter(logging.Formatter):
    """As ``logging.format`` says; by default date, time, level and message."""

    def __init__(self, text: str | None) -> None:
        super().__init__(text or "%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        shown = logging.makeLogRecord(vars(record) | {"msg": safe(record.getMessage()), "args": ()})
        return redacted(super().format(shown))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, ``extra`` fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redacted(json.dumps(entry, default=str))


class CurrentStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what ``sys.stderr`` is now: a progress bar and tests replace it for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:  # the base class would keep the first one for ever
        return sys.stderr


class _FromLevel(logging.Filter):
    """Lines of the project from a level on, others' as they come; never what was printed too."""

    def __init__(self, level: str) -> None:
        super().__init__()
        self._level = logging.getLevelNamesMapping()[level.upper()]

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "is_printed", False):
            return False
        is_ours = record.name.partition(".")[0] == OURS
        return record.levelno >= self._level if is_ours else True


class LogFile(RotatingFileHandler):
    """The file that everything goes to as well, put aside when it is full."""


# What the command line says of the log file; the configuration, read later, fills in the rest.
_named_file: Path | None = None


def set_up_logging(level: str, log_format: str, log_file: Path | None = None) -> None:
    """Send the project's log lines and warnings to stderr; other packages' from ``warning`` on.

    ``log_file``: where they go as well; it counts before what a configuration names.
    """
    global _named_file
    _named_file = log_file
    handler = CurrentStderr()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_FromLevel(level))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, CurrentStderr | LogFile)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    warnings.showwarning = _log_warning
    if log_file is not None:
        from lerobot_pipelines.config.schema import LoggingConfig

        _open(log_file, LoggingConfig())


def log_as_configured(config: LoggingConfig) -> None:
    """Write the log file that the configuration, or ``--log-file``, names; none where none does.

    Raises ``UsageError`` for a file that cannot be written.
    """
    file = _named_file or (Path(config.file) if config.file else None)
    if file is not None:
        _open(file, config)


def to_file(line: str, level: int = logging.INFO) -> None:
    """A line that was printed already: for the log file alone."""
    logging.getLogger(f"{OURS}.cli").log(level, "%s", line, extra={"is_printed": True})


def _open(file: Path, config: LoggingConfig) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LogFile)]:
        root.removeHandler(old)
        old.close()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = LogFile(
            file, maxBytes=config.max_bytes, backupCount=config.backup_count, encoding="utf-8"
        )
    except OSError as error:
        raise click.UsageError(
            f"the log file {safe(str(file))} cannot be written: {error.strerror or error}; name "
            "another with --log-file, or correct logging.file"
        ) from error
    handler.setLevel(config.level)
    handler.setFormatter(FileFormatter(config.format))
    root.addHandler(handler)
    ours = logging.getLogger(OURS)
    ours.setLevel(min(ours.level or logging.WARNING, handler.level))


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """A warning as a sentence; where in the source it arose is of use with ``--debug`` only."""
    logger = logging.getLogger("lerobot_pipelines.warnings")
    logger.warning("%s", message)
    logger.debug("%s from %s:%d", category.__name__, filename, lineno)
