"""The one place where logging is set up: lines on stderr, for people or for a log collector."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

from lerobot_pipelines.cli.text import safe

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """``12:30:01 WARNING episode x: trying again``; a traceback follows only where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{moment} {record.levelname} {safe(record.getMessage())}"
        if record.exc_info:
            line += "\n" + safe(self.formatException(record.exc_info), lines=True)
        return line


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
        return json.dumps(entry, default=str)


class CurrentStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what ``sys.stderr`` is now: a progress bar and tests replace it for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:  # the base class would keep the first one for ever
        return sys.stderr


def set_up_logging(level: str, log_format: str) -> None:
    """Send the project's log lines and warnings to stderr; other packages' from ``warning`` on."""
    handler = CurrentStderr()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, CurrentStderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("lerobot_pipelines").setLevel(level.upper())
    warnings.showwarning = _log_warning


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
