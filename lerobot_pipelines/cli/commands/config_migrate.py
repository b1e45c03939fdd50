"""``config migrate``: files of earlier converters in today's form."""

from __future__ import annotations

from pathlib import Path

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.text import safe


@click.command(short_help="Write files of earlier converters in today's keys.")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file to write, or a folder where there are several. Default: printed.",
)
def migrate(files: tuple[Path, ...], output: Path | None) -> int:
    """Write the files of an earlier converter as one file of today's keys, with comments that tell
    what each key became.

    A service's file (redis, bos, sources, conversion.config_template) and a strategy's file are one
    configuration: give the service's file, which names the other, or both. With several strategy
    files each is a configuration of its own. The result is read back: it gives the same rows as the
    files themselves, which can be used as they are as well. Files that are there stay.

    \b
    Examples:
      lerobot-pipelines config migrate config/storage.yaml -o robot.yaml
      lerobot-pipelines config migrate config/storage.yaml config/strategies/*.yaml -o configs/

    \b
    Exit codes:
      0  written
      1  there is such a file already, or it cannot be written
      2  the files are faulty: every fault is listed
    """
    from lerobot_pipelines.config.migrate import migrate as migrated
    from lerobot_pipelines.errors import PipelineError

    found = migrated(files)
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise click.UsageError(
            f"several of the files describe a dataset of one name ({', '.join(names)}); give them "
            "one by one"
        )
    if output is None and len(found) == 1:
        click.echo(found[0].text, nl=False)
        return exits.OK
    if output is None:
        raise click.UsageError(f"these are {len(found)} configurations; give -o FOLDER")
    if len(found) > 1 or output.is_dir():
        output.mkdir(parents=True, exist_ok=True)
        places = [output / f"{one.name}.yaml" for one in found]
    else:
        places = [output]
    for place in places:
        if place.exists():
            raise PipelineError(f"{place} is there already; remove it, or give another name")
    for place, one in zip(places, found, strict=True):
        place.write_text(one.text, encoding="utf-8")
        click.echo(safe(f"{place}: dataset {one.name}"))
    return exits.OK
