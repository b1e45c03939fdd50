"""``record-demo``: record with synthetic cameras, and see how little saving disturbs the loop."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import json_option
from lerobot_pipelines.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lerobot_pipelines.recorder.loop import LoopTimes

PLOT_NAME = "recording_jitter.png"
_COLOURS = {"idle": "#7f8c8d", "in place": "#c0392b", "in the background": "#2471a3"}
_SMALLEST_SHOWN_MS = 0.01


@click.command(short_help="Record with synthetic cameras; show the loop's jitter as a plot.")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@click.option("--takes", type=click.IntRange(min=2), default=3, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.2),
    default=5.0,
    show_default=True,
    help="Length of each take.",
)
@click.option("--rate", type=click.FloatRange(min=1), default=30.0, show_default=True)
@click.option("--size", metavar="WxH", default="640x480", show_default=True)
@click.option("--task", default="pick up the block", show_default=True)
@json_option
def command(
    folder: Path, takes: int, seconds: float, rate: float, size: str, task: str, as_json: bool
) -> int:
    """Run a control loop with three synthetic cameras, three times: recording nothing, saving each
    take in the loop's own thread, and saving in the background with EpisodeRecorder.

    The recordings are written below FOLDER/raw, where "convert" and the sensor find them, and
    FOLDER/recording_jitter.png shows how late each tick of the loop was.

    \b
    Examples:
      lerobot-pipelines record-demo recordings
      lerobot-pipelines record-demo recordings --takes 5 --seconds 10 --json

    \b
    Exit codes:
      0  done
      2  wrong usage
    """
    from lerobot_pipelines.cli.tables import left, right, show_json, show_table
    from lerobot_pipelines.recorder.loop import measure_recorder, run_loop

    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.UsageError(f'--size: "{size}" is not WxH')
    run = partial(
        run_loop, takes=takes, seconds=seconds, rate_hz=rate, size=(int(width), int(height))
    )
    found = measure_recorder(folder / "raw", task, run)
    plot_lateness(found, folder / PLOT_NAME)
    summaries = {name: times.summary() for name, times in found.items()}
    if as_json:
        show_json(summaries)
    else:
        names = list(summaries["idle"])
        columns = [*left("saving"), *right(*(name.replace("_", " ") for name in names))]
        rows = [(how, *(f"{s[name]:g}" for name in names)) for how, s in summaries.items()]
        show_table(columns, rows)
        click.echo(f"plot: {safe(str(folder / PLOT_NAME))}")
    return exits.OK


def plot_lateness(found: Mapping[str, LoopTimes], path: Path) -> None:
    """One panel per way of saving, lateness in ms on a common logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.9 * len(found) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(found), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (name, times) in zip(panels, found.items(), strict=True):
        late = [max(one, _SMALLEST_SHOWN_MS) for one in times.late_ms]
        panel.plot(times.due_s, late, ".", markersize=3, color=_COLOURS.get(name, "#444444"))
        summary = times.summary()
        panel.set_yscale("log")
        panel.set_title(
            f"{name}: p99 {summary['late_p99_ms']:.2f} ms, most {summary['late_max_ms']:.1f} ms, "
            f"{times.missed} ticks missed, pause between takes {summary['pause_max_ms']:.0f} ms",
            fontsize=9,
            loc="left",
        )
        panel.set_ylabel("late (ms)")
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("time (s)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
