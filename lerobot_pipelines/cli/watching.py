"""The service without a web interface: Dagster's daemon, what it does line by line, a clean end."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import home_lock
from lerobot_pipelines.cli.logs import to_file
from lerobot_pipelines.cli.processes import Child, Children, ServiceError, interruptible
from lerobot_pipelines.cli.secrets import redacted
from lerobot_pipelines.cli.services import READY_TIMEOUT_S
from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from lerobot_pipelines.cli.run_lines import RunLines
    from lerobot_pipelines.cli.services import Instance

logger = logging.getLogger(__name__)

_POLL_S = 1.0
_TICKS_EVERY_S = 15.0
MAX_FAILED_LOOKS = 60
_LIMIT = re.compile(r"^(\s*max_concurrent_runs:\s*)(-?\d+)", re.MULTILINE)


def say(text: str) -> None:
    """A line for whoever watches, with the time, and for the log file."""
    line = redacted(text)
    click.echo(f"{time.strftime('%H:%M:%S')} {line}")
    to_file(line)


@dataclass(frozen=True, slots=True)
class Service:
    """``grace_s``: how long runs under way may take to end once it is told to stop."""

    instance: Instance
    grace_s: float
    max_workers: int | None = None
    verbose: bool = False

    def run(self) -> None:
        """Work until SIGTERM, SIGHUP or Ctrl-C. Raises ``ServiceError`` if the daemon ends."""
        home = self.instance.home
        try:
            with interruptible(), home_lock.alone(home, self._say_waiting):
                if ended := home_lock.end_leftovers(home):
                    say(f"what a killed service left running was ended (processes: {ended})")
                home_lock.wait_for_other_daemons(home, self._say_waiting)
                self.instance.prepare()
                if self.max_workers is not None:
                    limit_runs(home, self.max_workers)
                with _opened(home) as records:
                    self._work(records)
        except KeyboardInterrupt:
            say("stopped")

    def _say_waiting(self, owner: str) -> None:
        say(
            f"{owner} works with {safe(str(self.instance.home))} already: waiting to take its "
            "place when it ends"
        )

    def _work(self, records: DagsterInstance) -> None:
        from lerobot_pipelines.cli.run_lines import RunLines

        lines = RunLines(records, say)
        hand_back(records)
        turn_on(records)
        with Children() as children:
            daemon = self.instance.start_daemon(children, self._on_daemon_line)
            try:
                _follow(children, daemon, lines, records)
            except KeyboardInterrupt:
                self._end(daemon, lines, records)

    def _on_daemon_line(self, line: str) -> None:
        if self.verbose:
            click.echo(f"daemon    | {redacted(line)}", err=True)

    def _end(self, daemon: Child, lines: RunLines, records: DagsterInstance) -> None:
        """No new runs; those under way end, or are handed back to whoever starts next."""
        daemon.ask_to_end()
        if under_way := _in_progress(records):
            say(
                f"stopping: {counted(under_way, 'run')} under way, given {self.grace_s:g} s to end "
                "(a second signal hands them back at once)"
            )
        try:
            until_s = time.monotonic() + self.grace_s
            while time.monotonic() < until_s:
                if daemon.has_ended and not _in_progress(records):
                    break
                lines.look()
                time.sleep(_POLL_S / 4)
        except KeyboardInterrupt:
            pass
        lines.look()
        if _in_progress(records):
            home_lock.end_leftovers(self.instance.home)
            hand_back(records)
        told = ", ".join(f"{count} {what}" for what, count in sorted(lines.counts.items()))
        say(f"stopped: {told or 'nothing was converted'}")


def _follow(children: Children, daemon: Child, lines: RunLines, records: DagsterInstance) -> None:
    """Tell of everything, for ever."""
    faults = TickFaults(records)
    next_ticks_s, began_s = 0.0, time.time()
    is_silent = True
    failures = 0
    while True:
        children.check()
        try:
            lines.look()
            failures = 0
        except Exception as error:  # a database that is busy: whoever converts is not this process
            failures += 1
            if failures == MAX_FAILED_LOOKS:
                raise
            logger.warning("the records of runs could not be read: %s", error)
        if time.monotonic() > next_ticks_s:
            next_ticks_s = time.monotonic() + _TICKS_EVERY_S
            for fault in faults.new():
                say(fault)
            is_silent = is_silent and faults.newest_s < began_s
            if is_silent and time.time() - began_s > READY_TIMEOUT_S:
                is_silent = False  # said once
                say(daemon.with_tail("the bucket was not looked at yet"))
        time.sleep(_POLL_S)


class TickFaults:
    """Sensors and schedules that fail (a store that is away, keys that are wrong), each once."""

    def __init__(self, records: DagsterInstance) -> None:
        self._records = records
        self._began_s = time.time()
        self._told: dict[str, str] = {}
        self.newest_s = 0.0  # when one was last evaluated

    def new(self) -> Iterator[str]:
        for state in self._records.all_instigator_state():
            ticks = self._records.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            self.newest_s = max(self.newest_s, ticks[0].timestamp if ticks else 0.0)
            is_ours = bool(ticks) and ticks[0].timestamp >= self._began_s
            error = ticks[0].error if is_ours else None
            while error is not None and error.cause is not None:
                error = error.cause
            text = error.message.strip() if error is not None else ""
            if text and text != self._told.get(state.instigator_origin_id):
                yield safe(f"{state.instigator_name}: {text.splitlines()[0]}")
            self._told[state.instigator_origin_id] = text


def turn_on(records: DagsterInstance) -> None:
    """Start the sensors and schedules that somebody stopped: without an interface nobody could."""
    from dagster._core.scheduler.instigation import InstigatorStatus

    for state in records.all_instigator_state():
        if state.status is InstigatorStatus.STOPPED:
            records.update_instigator_state(state.with_status(InstigatorStatus.RUNNING))
            say(f"{safe(state.instigator_name)} was stopped in the web interface; it runs again")


def hand_back(records: DagsterInstance) -> int:
    """Call runs failed whose processes are gone, so that Dagster starts them again.

    Only where runs are processes of this machine, and only by whoever holds the home's lock.
    """
    from dagster import RunsFilter
    from dagster._core.launcher import DefaultRunLauncher

    from lerobot_pipelines.cli.run_lines import IN_PROGRESS

    if not isinstance(records.run_launcher, DefaultRunLauncher):
        return 0
    gone = records.get_runs(RunsFilter(statuses=list(IN_PROGRESS)))
    for run in gone:
        records.report_run_failed(run, "Its service ended before it did; it starts again.")
    if gone:
        say(f"{counted(len(gone), 'run')} handed back: started again, from the steps that remain")
    return len(gone)


def _in_progress(records: DagsterInstance) -> int:
    from dagster import RunsFilter

    from lerobot_pipelines.cli.run_lines import IN_PROGRESS

    return records.get_runs_count(RunsFilter(statuses=list(IN_PROGRESS)))


def limit_runs(home: Path, most: int) -> None:
    """Write ``most`` as the number of runs at once into the settings of this Dagster home."""
    path = home / "dagster.yaml"
    text = path.read_text(encoding="utf-8")
    changed, found = _LIMIT.subn(rf"\g<1>{most}", text, count=1)
    if not found:
        raise ServiceError(
            f"{path} has no line max_concurrent_runs, which --max-workers would set; add it below "
            "concurrency.runs"
        )
    if changed != text:
        temporary = path.with_name(".dagster.yaml.new")
        temporary.write_text(changed, encoding="utf-8")
        temporary.replace(path)
        say(f"at most {counted(most, 'run')} at once from now on (written to {safe(str(path))})")


@contextmanager
def _opened(home: Path) -> Iterator[DagsterInstance]:
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as records:
        yield records
