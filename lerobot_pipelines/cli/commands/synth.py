"""``synth``: recordings with known truth, for trying things out and for tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.text import safe

if TYPE_CHECKING:
    from lerobot_pipelines.recordings.synth import SynthCamera

DEFAULT_CAMERAS = ("cam_high:25", "cam_left:25", "cam_right:30")
_CAMERA = re.compile(r"(?P<name>[^:]+)(:(?P<rate>[0-9.]+))?(:(?P<width>\d+)x(?P<height>\d+))?")


@click.command(short_help="Write synthetic recordings with known truth.")
@click.argument("root", metavar="ROOT", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--key",
    default="block/episode_0001",
    show_default=True,
    help="Name of the first recording; the number at its end counts up for the others.",
)
@click.option("--episodes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.0, min_open=True),
    default=4.0,
    show_default=True,
    help="Length of each recording.",
)
@click.option(
    "--layout",
    type=click.Choice(["split", "episode"]),
    default="split",
    show_default=True,
    help="joints/KEY and images/KEY, or KEY/joints and KEY/images.",
)
@click.option(
    "--cameras",
    metavar="NAME[:HZ[:WxH]],...",
    default=",".join(DEFAULT_CAMERAS),
    show_default=True,
    help="The cameras with their rates and picture sizes.",
)
@click.option("--gap", metavar="STREAM:START_S:LENGTH_S", help="Leave a hole in one stream.")
@click.option(
    "--drop", type=click.FloatRange(0.0, 0.9), default=0.0, help="Share of lost pictures."
)
@click.option("--task", default="pick up the block", show_default=True, help="What the robot does.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same recording.")
def command(
    root: Path,
    key: str,
    episodes: int,
    seconds: float,
    layout: str,
    cameras: str,
    gap: str | None,
    drop: float,
    task: str,
    seed: int,
) -> int:
    """Write synthetic recordings below ROOT: jittered cameras and arms at 250 Hz.

    Each picture carries its own number as a barcode and the joints follow known curves, so that
    every row of a dataset made from them can be proven right. ROOT plays the raw prefix of a
    bucket. Recordings of the same name are refused, never overwritten.

    \b
    Examples:
      lerobot-pipelines synth bucket/raw --episodes 3
      lerobot-pipelines synth bucket/raw --cameras front:30:640x480 --seconds 20
      lerobot-pipelines synth bucket/raw --gap cam_left:1.5:0.8

    \b
    Exit codes:
      0  written
      2  wrong usage
    """
    from lerobot_pipelines.recordings.synth import SynthSpec, write_recording

    spec_cameras = parse_cameras(cameras, drop)
    spec_gap = None if gap is None else parse_gap(gap)
    keys = numbered_keys(key, episodes)
    for name in keys:
        existing = [path for path in recording_folders(root, name, layout) if path.exists()]
        if existing:
            raise click.UsageError(f"{existing[0]} exists; choose another --key")
    for number, name in enumerate(keys):
        spec = SynthSpec(
            seconds=seconds,
            cameras=spec_cameras,
            gap=spec_gap,
            seed=seed + number,
            task=task,
            layout="split" if layout == "split" else "episode",
        )
        write_recording(root, name, spec)
        click.echo(f"{safe(str(root))}: {safe(name)}")
    return exits.OK


def recording_folders(root: Path, key: str, layout: str) -> tuple[Path, ...]:
    """The folders that a recording of this name fills."""
    if layout == "split":
        return root / "joints" / key, root / "images" / key
    return (root / key,)


def numbered_keys(first: str, count: int) -> list[str]:
    """``block/episode_0001``, ``block/episode_0002``, ...; a name without a number gets one."""
    if count == 1:
        return [first]
    match = re.fullmatch(r"(.*?)(\d+)", first)
    stem, digits = match.groups() if match else (f"{first}_", "0001")
    return [f"{stem}{int(digits) + step:0{len(digits)}d}" for step in range(count)]


def parse_cameras(text: str, drop_fraction: float) -> tuple[SynthCamera, ...]:
    """``cam_high:25:160x120,cam_right:30``. Raises ``UsageError``."""
    from lerobot_pipelines.recordings.synth import SynthCamera

    cameras = []
    for part in text.split(","):
        match = _CAMERA.fullmatch(part.strip())
        if match is None:
            raise click.UsageError(f'--cameras: "{part}" is not NAME[:HZ[:WxH]]')
        sizes = {name: int(match[name]) for name in ("width", "height") if match[name]}
        rate = float(match["rate"]) if match["rate"] else 25.0
        cameras.append(
            SynthCamera(match["name"], rate_hz=rate, drop_fraction=drop_fraction, **sizes)
        )
    return tuple(cameras)


def parse_gap(text: str) -> tuple[str, float, float]:
    """``cam_left:1.5:0.8``: the stream, and the hole's start and length in seconds."""
    stream, _, rest = text.partition(":")
    start, _, length = rest.partition(":")
    try:
        return stream, float(start), float(length)
    except ValueError:
        raise click.UsageError(f'--gap: "{text}" is not STREAM:START_S:LENGTH_S') from None
