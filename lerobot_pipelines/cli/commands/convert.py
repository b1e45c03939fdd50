"""``convert``: recordings to datasets in this process, without Dagster."""

from __future__ import annotations

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    allow_removal_option,
    config_then,
    json_option,
    parse_settings,
    set_option,
    source_option,
)


@click.command(short_help="Convert recordings to LeRobot datasets, without a daemon.")
@config_then("words")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--input", "input_root", metavar="ROOT", help="Folder that holds the recordings.")
@click.option("--output", "output_root", metavar="ROOT", help="Folder for the datasets.")
@click.option(
    "-e",
    "--episode",
    "--episode-id",
    "episodes",
    metavar="ID",
    multiple=True,
    help="Convert only this one, as scan names it, or by the end of its name where only one ends "
    "so. May be given several times.",
)
@source_option
@click.option(
    "--strategy",
    metavar="S",
    help="How samples become rows: nearest, chunking, window, linear or hold.",
)
@click.option(
    "--chunk-size",
    metavar="N",
    type=click.IntRange(min=1),
    help="Future actions per row, for the chunking strategy.",
)
@click.option(
    "--format",
    "formats",
    metavar="F",
    multiple=True,
    help="LeRobot format to write: v2.1 or v3.0. May be given twice.",
)
@click.option(
    "--workers",
    "--max-workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="Episodes converted at once, each in a process of its own. Default: the configuration's "
    "key workers, else 1.",
)
@click.option(
    "--limit-memory",
    metavar="MB",
    type=click.IntRange(min=1),
    help="Most resident memory, all workers together. Cameras are encoded in turns where need be.",
)
@click.option("--strict", is_flag=True, help="Refuse what would be converted with a warning.")
@allow_removal_option
@set_option
@json_option
def command(
    config: str,
    words: tuple[str, ...],
    input_root: str | None,
    output_root: str | None,
    episodes: tuple[str, ...],
    source: str | None,
    strategy: str | None,
    chunk_size: int | None,
    formats: tuple[str, ...],
    workers: int | None,
    limit_memory: int | None,
    strict: bool,
    allow_removal: bool,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Convert recordings to LeRobot datasets, with the same steps as under Dagster.

    CONFIG is a YAML file or the name of a shipped one (see config list). Recordings and datasets
    lie in the bucket that the configuration names, unless --input and --output name other folders;
    with both it needs none. KEY=VALUE is the same as --set KEY=VALUE, for keys of older files too.
    The input is only read. Episodes already converted from the same content with the same
    configuration are not touched again, so the command can be repeated at any time. An episode
    that cannot be converted is listed with its reason and stops none of the others.

    Of each episode with warnings (clocks that differ, units that were assumed, messages set aside,
    ...) the first ones are printed; --json has all that reading and aligning had to say. With
    --strict such an episode is refused instead (filtering.strict).

    The datasets are in OUTPUT/<pattern>/<format>, e.g. OUTPUT/bottle/v3.0, with OUTPUT/<pattern>/
    .ledger beside them, which belongs to them. Intermediate results are in OUTPUT/.work: they make
    the next run short, and may be deleted while the recordings are there to make them again.

    An episode leaves a dataset when it is refused as it is now, never because its recording or a
    file is missing. Where more than a quarter of the episodes would leave, or the last one, none
    does without --allow-removal: it is a configuration that is wrong, more likely. "remove" takes
    out an episode by name. With --episode the strategy has to be that of the rest of the dataset.

    --limit-memory never changes what is written, only how many cameras are encoded side by side;
    a limit too low for the program or for one camera is refused with the figure needed.

    \b
    Examples:
      lerobot-pipelines convert my_robot.yaml
      lerobot-pipelines convert my_robot.yaml --input recordings --output datasets
      lerobot-pipelines convert -c my_robot.yaml -e episode_0001
      lerobot-pipelines convert my_robot.yaml --episode bottle/episode_0001 \\
          --strategy window --set alignment.window_ms=30 --format v2.1 --format v3.0
      lerobot-pipelines convert KuavoRosbag2Lerobot.yaml rosbag.rosbag_dir=bags dataset.train_hz=10

    \b
    Exit codes:
      0  every episode is converted, or was before
      1  some episodes were refused or failed: listed with reasons
      2  wrong usage or configuration; nothing was done
      3  no recording found
    """
    from lerobot_pipelines.cli.convert_text import (
        left_out_of,
        nothing_found,
        passed_over,
        print_json,
        print_summary,
        remarks_on,
    )
    from lerobot_pipelines.cli.episodes import chosen_episodes, episodes_of, robot_of
    from lerobot_pipelines.cli.progress import watch
    from lerobot_pipelines.cli.roots import read_placed
    from lerobot_pipelines.errors import Reason
    from lerobot_pipelines.pipeline.convert import convert_dataset
    from lerobot_pipelines.pipeline.discovery import Names, list_names
    from lerobot_pipelines.pipeline.workspace import open_workspace

    overrides = parse_settings((*(word.lstrip("+") for word in words), *settings))
    if strategy is not None:
        overrides["alignment.strategy"] = strategy
    if chunk_size is not None:
        overrides["alignment.chunk_size"] = chunk_size
    if limit_memory is not None:
        overrides["limit_memory_mb"] = limit_memory
    if strict:
        overrides["filtering.strict"] = True
    if formats:
        overrides["dataset.formats"] = list(dict.fromkeys(formats))
    resolved = read_placed(config, overrides, input_root, output_root)
    robot = robot_of(resolved, source)
    workspace = open_workspace(resolved)
    chosen = chosen_episodes(workspace, episodes, robot) if episodes else None
    if chosen is None and robot is not None:
        chosen = episodes_of(workspace, robot)

    storage = workspace.storage
    names = Names(tuple(chosen), ()) if chosen is not None else list_names(storage, resolved)
    total = len(names.keys)
    bad_names = dict(names.bad)
    remarks = [*remarks_on(resolved), *passed_over(names.bags)]
    if total == 0 and not bad_names:
        click.echo("\n".join([nothing_found(resolved), *passed_over(names.bags)]), err=True)
        return exits.NOTHING
    with watch(total, quiet=as_json) as on_event:
        summary = convert_dataset(
            resolved,
            episodes=chosen,
            workers=workers or resolved.workers or 1,
            allow_removal=allow_removal,
            on_event=on_event,
        )
    left_out = left_out_of(summary) | {
        key: (str(Reason.BAD_NAME), fault) for key, fault in bad_names.items()
    }
    if as_json:
        print_json(resolved, summary, left_out, remarks)
    else:
        print_summary(resolved, summary, left_out, remarks)
    withheld = any(update.withheld for update in summary.datasets)
    return exits.INCOMPLETE if left_out or withheld else exits.OK
