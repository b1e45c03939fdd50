"""``scan``: what lies in the bucket, and what became of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_argument,
    json_option,
    parse_settings,
    read_config,
    set_option,
)

if TYPE_CHECKING:
    from lerobot_pipelines.model import Member
    from lerobot_pipelines.pipeline.artifacts import FailureRecord
    from lerobot_pipelines.pipeline.listing import Listing
    from lerobot_pipelines.pipeline.verdicts import Outcome
    from lerobot_pipelines.pipeline.workspace import Workspace

LOOK_THREADS = 8
RUN_LENGTH = 50


@click.command(short_help="List the recordings in the bucket and what became of each.")
@config_argument
@click.option("--input", "input_root", metavar="ROOT", help="Folder that holds the recordings.")
@click.option("--output", "output_root", metavar="ROOT", help="Folder of the datasets.")
@click.option(
    "--full/--once",
    default=True,
    help="Compare every episode's files with its verdict (the default), or only list folders and "
    "verdicts, as the sensor does at each look: a thousand times fewer requests.",
)
@set_option
@json_option
def command(
    config: str,
    input_root: str | None,
    output_root: str | None,
    full: bool,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """List the recordings in the bucket: files, bytes, whether complete, and what became of each.

    Only the listing is read and nothing is written. With --once "changed" and "waiting" do not
    show, nor files and bytes: that takes a look at the files of each episode. The states:

    \b
      waiting    not complete yet, with the reason; the sensor does not take it so far
      new        complete, and not converted yet
      changed    converted, but content, configuration or program changed since
      converted  its rows are ready for the dataset
      refused    cannot be part of the dataset, with the reason

    \b
    Examples:
      lerobot-pipelines scan my_robot.yaml
      lerobot-pipelines scan my_robot.yaml --once
      lerobot-pipelines scan my_robot.yaml --json | jq '.episodes[] | select(.state=="refused")'

    \b
    Exit codes:
      0  listed
      2  wrong usage or configuration
      3  no recording found
    """
    from lerobot_pipelines.cli.roots import place
    from lerobot_pipelines.cli.tables import Column, left, right, show_json, show_table
    from lerobot_pipelines.errors import Reason
    from lerobot_pipelines.pipeline.dataset import dataset_snapshots
    from lerobot_pipelines.pipeline.discovery import list_names
    from lerobot_pipelines.pipeline.failures import list_failures
    from lerobot_pipelines.pipeline.verdicts import VerdictReader
    from lerobot_pipelines.pipeline.workspace import open_workspace

    resolved = place(read_config(config, parse_settings(settings)), input_root, output_root)
    workspace = open_workspace(resolved)
    outcomes = VerdictReader(workspace).read(dataset_snapshots(workspace).values())
    # Only with ``--once`` is a folder with a verdict taken for an episode without a look into it.
    known = frozenset[str]() if full else outcomes.keys()
    listed = list_names(workspace.storage, resolved, known=known)
    if full:
        failures = {failure.key: failure for failure in list_failures(workspace)}
        episodes = _episodes(workspace, listed.keys, failures)
    else:
        episodes = [_known(key, outcomes.get(key)) for key in listed.keys]
    episodes += [
        _row(key, "refused", reason=f"{Reason.BAD_NAME}: {fault}") for key, fault in listed.bad
    ]
    counts = Counter(episode["state"] for episode in episodes)
    if as_json:
        show_json({"dataset": workspace.dataset, "counts": counts, "episodes": episodes})
    elif episodes:
        columns: list[Column] = [
            *left("episode", "state"),
            *right("files", "bytes", "rows"),
            *left("reason"),
        ]
        names = ("key", "state", "files", "bytes", "rows", "reason")
        show_table(columns, [[episode[name] for name in names] for episode in episodes])
        click.echo(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    if not episodes:
        click.echo(f"no recording found below {resolved.storage.raw_prefix or '/'}", err=True)
    return exits.OK if episodes else exits.NOTHING


def _known(key: str, outcome: Outcome | None) -> dict[str, Any]:
    """What the verdict says of an episode, whatever its files are now."""
    if outcome is None:
        return _row(key, "new")
    if outcome.refusal is None:
        return _row(key, "converted")
    return _row(key, "refused", reason=f"{outcome.refusal.reason}: {outcome.refusal.message}")


def _episodes(
    workspace: Workspace, keys: Sequence[str], failures: Mapping[str, FailureRecord]
) -> list[dict[str, Any]]:
    """A row for each; neighbours share the listings of their files."""
    from lerobot_pipelines.pipeline.listing import look_at_many

    def rows(run: Sequence[str]) -> dict[str, dict[str, Any]]:
        looks = look_at_many(workspace.storage, workspace.config, run)
        return {key: _episode(workspace, key, look, failures.get(key)) for key, look in looks}

    runs = [keys[start : start + RUN_LENGTH] for start in range(0, len(keys), RUN_LENGTH)]
    with ThreadPoolExecutor(LOOK_THREADS) as pool:
        return [
            found[key] for run, found in zip(runs, pool.map(rows, runs), strict=True) for key in run
        ]


def _episode(
    workspace: Workspace, key: str, look: Listing | Exception, failure: FailureRecord | None
) -> dict[str, Any]:
    from lerobot_pipelines.errors import Refused
    from lerobot_pipelines.pipeline.discovery import why_not_ready

    if isinstance(look, Refused):
        return _row(key, "refused", reason=f"{look.reason}: {look.message}")
    if isinstance(look, Exception):
        raise look
    members = look.members
    missing = why_not_ready(workspace.config, key, look, members, time.time_ns())
    state, rows, reason = _state(workspace, key, members, failure, missing)
    size = sum(member.size for member in members)
    return _row(key, state, len(members), size, rows, reason)


def _state(
    workspace: Workspace,
    key: str,
    members: Sequence[Member],
    failure: FailureRecord | None,
    missing: str | None,
) -> tuple[str, int | None, str | None]:
    """State, rows, and why it is not in the dataset."""
    from lerobot_pipelines.config.hashing import dataset_hash
    from lerobot_pipelines.datasets.records import EpisodeRecord
    from lerobot_pipelines.errors import Refused
    from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
    from lerobot_pipelines.pipeline.discovery import fingerprint
    from lerobot_pipelines.pipeline.metadata import CODE_VERSION
    from lerobot_pipelines.storage.base import ObjectNotFound

    record, changed = None, None
    try:
        record = read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)
    except ObjectNotFound:
        pass
    except Refused:
        changed = "its record is of another version"
    current = (fingerprint(members), dataset_hash(workspace.config), CODE_VERSION)
    if record and (record.fingerprint, record.config_hash, record.code_version) == current:
        rows = sum(segment.length for segment in record.segments)
        broken = [check for check in record.checks if not check.passed]
        errors = [check.description for check in broken if check.severity == "error"]
        return ("refused", rows, "; ".join(errors)) if errors else ("converted", rows, None)
    if missing is not None:
        return "waiting", None, missing
    if failure is not None:
        return "refused", None, f"{failure.reason}: {failure.message}"
    return ("changed" if record or changed else "new"), None, changed


def _row(
    key: str,
    state: str,
    files: int | None = None,
    size: int | None = None,
    rows: int | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    return {
        "key": key,
        "state": state,
        "files": files,
        "bytes": size,
        "rows": rows,
        "reason": reason,
    }
