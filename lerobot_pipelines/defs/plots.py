"""Small pictures for the UI: plots as palette PNG, contact sheets as JPEG, both inside Markdown.

They are kept with each materialisation in Dagster's own database, so they are small: a few
kilobytes each, some 60 kB an episode.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.model import AlignedFrames, Manifest, StreamKind
from lerobot_pipelines.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NS_PER_S = 1e9
NS_PER_MS = 1e6
DPI = 80
PALETTE_COLOURS = 48  # lines and text stay crisp, the file is a third of true colour
MOST_POINTS = 600  # more than the plot has pixels only costs time
MOST_PANELS = 6
MOST_CAMERAS = 6
SHEET_COLUMNS, SHEET_ROWS, SHEET_WIDTH = 6, 2, 128

PICTURE_COLOUR, VECTOR_COLOUR = "#4c78a8", "#f58518"


def image_markdown(data: bytes, title: str) -> str:
    kind = "jpeg" if data.startswith(b"\xff\xd8") else "png"
    return f"![{title}](data:image/{kind};base64,{base64.b64encode(data).decode()})"


def rate_plot(manifest: Manifest) -> bytes:
    """When each stream was recorded, and how fast: a PNG."""
    streams = [stream for stream in manifest.streams if stream.count]
    origin = min((stream.start_ns for stream in streams), default=0)
    figure = _figure(8.5, 0.9 + 0.26 * max(len(streams), 1))
    spans, rates = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    colours = [
        PICTURE_COLOUR if stream.kind is StreamKind.PICTURE else VECTOR_COLOUR for stream in streams
    ]
    names = [stream.name for stream in streams]
    starts = [(stream.start_ns - origin) / NS_PER_S for stream in streams]
    lengths = [(stream.end_ns - stream.start_ns) / NS_PER_S for stream in streams]
    spans.barh(names, lengths, left=starts, color=colours, height=0.6)
    spans.set_xlabel("recorded, s")
    spans.invert_yaxis()
    values = [stream.median_rate_hz or 0.0 for stream in streams]
    bars = rates.barh(names, values, color=colours, height=0.6)
    rates.bar_label(bars, fmt=" %.1f", fontsize=7)
    rates.set_xlabel("median rate, Hz")
    rates.margins(x=0.2)
    return _png(figure)


def joint_plot(frames: AlignedFrames) -> bytes:
    """Every vector feature over time, one panel each; of action chunks the first step: a PNG."""
    panels = {
        name: values if values.ndim == 2 else values[:, 0]
        for name, values in frames.features.items()
        if values.dtype != np.bool_ and values.ndim in (2, 3)
    }
    shown = list(panels.items())[:MOST_PANELS]
    times_s = (frames.row_times_ns - frames.row_times_ns[:1]) / NS_PER_S
    step = max(1, len(times_s) // MOST_POINTS)
    figure = _figure(8.5, 0.6 + 1.5 * max(len(shown), 1))
    axes = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, shown, strict=False):
        axis.plot(times_s[::step], values[::step], linewidth=0.9)
        axis.set_title(name, fontsize=8, loc="left")
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("time, s")
    return _png(figure)


def age_plot(frames: AlignedFrames) -> bytes:
    """How far each camera's picture lies from its row, over time: a PNG."""
    times_s = (frames.row_times_ns - frames.row_times_ns[:1]) / NS_PER_S
    step = max(1, len(times_s) // MOST_POINTS)
    figure = _figure(8.5, 2.2)
    axis = figure.subplots()
    for feature, ages in frames.picture_ages_ns.items():
        label = feature.rpartition(".")[2]
        axis.plot(times_s[::step], ages[::step] / NS_PER_MS, ".", markersize=2.5, label=label)
    axis.axhline(0, color="#999", linewidth=0.6)
    axis.set_xlabel("time, s")
    axis.set_ylabel("picture age, ms")
    axis.grid(alpha=0.3)
    if frames.picture_ages_ns:
        axis.legend(fontsize=7, ncols=4, markerscale=3, loc="upper right")
    return _png(figure)


def contact_sheets(workspace: Workspace, videos: Mapping[str, VideoRecord]) -> str:
    """Evenly spaced frames of each camera's mp4, as Markdown with the pictures inside."""
    from lerobot_pipelines.video import contact_sheet

    parts = []
    with workspace.scratch() as folder:
        for number, (feature, video) in enumerate(list(videos.items())[:MOST_CAMERAS]):
            path = workspace.storage.local_path(video.key)
            if path is None:
                path = Path(folder) / f"{number}.mp4"
                workspace.storage.download(video.key, path)
            sheet = contact_sheet(path, columns=SHEET_COLUMNS, rows=SHEET_ROWS, width=SHEET_WIDTH)
            parts.append(f"**{feature}**\n\n{image_markdown(sheet, feature)}")
    return "\n\n".join(parts)


def _figure(width: float, height: float) -> Figure:
    # Figures made without pyplot need no display and leave nothing behind in the process.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _png(figure: Figure) -> bytes:
    from PIL import Image

    for axis in figure.axes:
        _small_text(axis)
    full = io.BytesIO()
    figure.savefig(full, format="png")
    picture = Image.open(full).convert("RGB").quantize(PALETTE_COLOURS)
    small = io.BytesIO()
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def _small_text(axis: Any) -> None:
    axis.tick_params(labelsize=7)
    axis.xaxis.label.set_size(8)
    axis.yaxis.label.set_size(8)
    sides: Sequence[str] = ("top", "right")
    for side in sides:
        axis.spines[side].set_visible(False)
