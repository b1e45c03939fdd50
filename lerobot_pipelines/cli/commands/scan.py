"""``scan``: what lies in the bucket, and what became of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_argument,
    json_option,
    parse_settings,
    set_option,
)

if TYPE_CHECKING:
    from lerobot_pipelines.pipeline.verdicts import Outcome
    from lerobot_pipelines.pipeline.workspace import Workspace

RUN_LENGTH = 50


@click.command(short_help="List the recordings in the bucket and what became of each.")
@config_argument
@click.option("--input", "input_root", metavar="ROOT", help="Folder that holds the recordings.")
@click.option("--output", "output_root", metavar="ROOT", help="Folder of the datasets.")
@click.option(
    "--full/--once",
    "--full-scan/--quick",
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
      changed    its content is another one than was converted or refused
      reopened   refused with another configuration; this one may let it in
      damaged    converted, but what was made of it is missing or broken (see "repair")
      stale      converted with another configuration or program; a backfill renews it
      converted  its rows are ready for the dataset
      refused    cannot be part of the dataset, with the reason
      cleared    refused, and set aside by a person until its content changes ("retry --clear")
      gone       its recording is no longer in the bucket; it stays in the dataset

    By itself the sensor takes what is new or changed, and the rescan what is reopened or damaged as
    well; "convert" takes what is stale, too.

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
    from lerobot_pipelines.cli.roots import read_placed
    from lerobot_pipelines.cli.tables import Column, left, right, show_json, show_table
    from lerobot_pipelines.pipeline.workspace import open_workspace

    resolved = read_placed(config, parse_settings(settings), input_root, output_root)
    workspace = open_workspace(resolved)
    episodes = episodes_now(workspace, full=full)
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


def episodes_now(workspace: Workspace, *, full: bool) -> list[dict[str, Any]]:
    """Every episode as a row: key, state, files, bytes, rows, reason; see the command's help."""
    from lerobot_pipelines.pipeline.dataset import dataset_snapshots
    from lerobot_pipelines.pipeline.discovery import list_names
    from lerobot_pipelines.pipeline.episode_state import bad_name, without_recording
    from lerobot_pipelines.pipeline.verdicts import VerdictReader

    outcomes = VerdictReader(workspace).read(dataset_snapshots(workspace).values())
    # Only with ``--once`` is a folder with a verdict taken for an episode without a look into it.
    known = frozenset[str]() if full else outcomes.keys()
    listed = list_names(workspace.storage, workspace.config, known=known)
    if full:
        episodes = list(_looked_at(workspace, listed.keys))
    else:
        episodes = [_quick(key, outcomes.get(key)) for key in listed.keys]
    others = {key: bad_name(fault) for key, fault in listed.bad}
    if not listed.unreadable:  # what lies below would look as if it were gone
        missing = sorted(outcomes.keys() - set(listed.keys))
        others |= {key: gone for key in missing if (gone := without_recording(outcomes[key].state))}
    return episodes + [_row(key, one.state, reason=one.why) for key, one in others.items()]


def _quick(key: str, outcome: Outcome | None) -> dict[str, Any]:
    """What the verdict says of an episode, whatever its files are now."""
    if outcome is None:
        return _row(key, "new")
    return _row(key, outcome.state.state, rows=outcome.state.rows, reason=outcome.state.why)


def _looked_at(workspace: Workspace, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    from lerobot_pipelines.pipeline.health import artifact_damages
    from lerobot_pipelines.pipeline.sightings import look_at_all, settled_by_ledger

    looks = look_at_all(
        workspace,
        keys,
        time.time_ns(),
        settled=settled_by_ledger(workspace),
        run_length=RUN_LENGTH,
        damaged=artifact_damages(workspace),
    )
    for one in looks:
        assert one.state is not None  # nothing is remembered here
        files, size = (None, None) if one.error is not None else (one.files, one.size)
        yield _row(one.key, one.state.state, files, size, one.state.rows, one.state.why)


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
        "state": str(state),
        "files": files,
        "bytes": size,
        "rows": rows,
        "reason": reason,
    }
