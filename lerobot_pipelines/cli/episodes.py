"""Episodes as people name them: the whole key, or its end where only one episode has that."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli.text import safe
from lerobot_pipelines.pipeline.episode_names import named_so

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig
    from lerobot_pipelines.pipeline.workspace import Workspace

MAX_CANDIDATES = 10


def chosen_episodes(
    workspace: Workspace, names: Sequence[str], source: str | None = None
) -> list[str]:
    """The keys of episodes that lie in the bucket, in the order of the names, each once.

    ``bottle/episode_0001`` is found as it stands; ``episode_0001`` where one episode alone ends
    so; ``source`` limits both to that robot's. Raises ``UsageError`` for a name that is nobody's,
    with the nearest ones, and for an ambiguous one, with the candidates.
    """
    known = _known_keys(workspace)
    return list(dict.fromkeys(pick(name, known, source) for name in names))


def episodes_of(workspace: Workspace, source: str) -> list[str]:
    """All episodes of one robot that lie in the bucket."""
    from lerobot_pipelines.pipeline.discovery import list_names

    listed = list_names(workspace.storage, workspace.config)
    return [key for key in listed.keys if key.startswith(f"{source}/")]


def pick(name: str, known: Iterable[str], source: str | None = None) -> str:
    """The one key that ``name`` stands for; see ``chosen_episodes``."""
    keys = [key for key in known if source is None or key.startswith(f"{source}/")]
    wanted = name.strip("/")
    found = named_so(name, keys)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(found[:MAX_CANDIDATES])
        more = f" and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
        raise click.UsageError(
            safe(f'{len(found)} episodes are called "{name}": {listed}{more}; name one in full')
        )
    where = f" of source {source}" if source is not None else ""
    near = _nearest(wanted, keys)
    raise click.UsageError(
        safe(f"there is no episode named {name}{where} in the bucket{near} (see scan)")
    )


def robot_of(config: DatasetConfig, source: str | None) -> str | None:
    """``-s`` as a folder of the bucket: None for "local", "bos" or "s3", which name no robot.

    Raises ``ConfigError`` for a robot that ``storage.sources`` does not have.
    """
    if source is None:
        return None
    from lerobot_pipelines.recorder.placing import source_folder

    folder = source_folder(config, source)
    if folder is None:
        click.echo(
            f"note: -s {safe(source)} names a kind of store, not a robot: recordings lie where "
            f"storage.url says ({safe(config.storage.url)})",
            err=True,
        )
    return folder


def _known_keys(workspace: Workspace) -> Collection[str]:
    """Of recordings in the bucket, and of what was made of those that are gone."""
    from lerobot_pipelines.pipeline.dataset import dataset_snapshots
    from lerobot_pipelines.pipeline.discovery import list_names
    from lerobot_pipelines.pipeline.verdicts import VerdictReader

    snapshots = dataset_snapshots(workspace).values()
    outcomes = VerdictReader(workspace).read(snapshots)
    listed = list_names(workspace.storage, workspace.config, known=outcomes.keys())
    members = [member.key for snapshot in snapshots for member in snapshot.members]
    return dict.fromkeys([*listed.keys, *outcomes, *members])


def _nearest(wanted: str, keys: Sequence[str]) -> str:
    by_end = {key.rpartition("/")[2]: key for key in reversed(keys)} | {key: key for key in keys}
    near = difflib.get_close_matches(wanted, by_end, n=3)
    found = list(dict.fromkeys(by_end[end] for end in near))
    return f"; did you mean {' or '.join(found)}?" if found else ""
