"""The dataset's README: a card as the Hugging Face Hub shows it, readable without the Hub."""

from __future__ import annotations

from collections import Counter

from lerobot_pipelines.datasets.contents import Contents
from lerobot_pipelines.datasets.features import DEFAULT_FEATURES
from lerobot_pipelines.datasets.provenance import PROVENANCE_PATH

CARD_PATH = "README.md"

_SHOWN_TASKS = 50
_SHOWN_CHARACTERS = 300
_ESCAPED = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {one: f"\\{one}" for one in "\\|[]*~"}
)


def card(contents: Contents) -> bytes:
    """Markdown with the YAML header that the Hub reads. Its size does not grow with episodes."""
    episodes, fps = contents.episodes, contents.schema.fps
    parts = [
        _header(contents),
        f"# {contents.options.name}",
        f"A [LeRobot](https://github.com/huggingface/lerobot) dataset in format "
        f"{contents.format}, made by lerobot_pipelines.",
        _table(
            ("", ""),
            [
                ("Robot", contents.options.robot_type),
                ("Episodes", str(len(episodes))),
                ("Frames", str(contents.frames)),
                ("Frame rate", f"{fps} fps"),
                ("Duration", f"{contents.frames / fps:.1f} s"),
                ("Shortest, longest episode", _span(contents)),
            ],
        ),
        "## Features",
        _table(("Feature", "Type", "Shape", "Names"), _features(contents)),
        "## Tasks",
        _table(("Task", "Episodes", "Frames"), _tasks(contents)),
        "## Provenance",
        _table(("Source", "Recordings", "Episodes", "Frames"), _sources(contents)),
        "Every row shows the pictures and samples of one moment: row, video frame and metadata "
        "were checked against one another when the dataset was written. What was assumed, passed "
        f"over or in doubt about each recording is in `{PROVENANCE_PATH}`.",
        *_doubts(contents),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def _doubts(contents: Contents) -> list[str]:
    """The warnings that recordings were converted with, where there were any."""
    recordings: Counter[str] = Counter()
    for member in contents.members:
        if member.intake is not None:
            recordings.update(member.intake.warnings.keys())
    doubted = sum(bool(one.intake and one.intake.warnings) for one in contents.members)
    if not doubted:
        return []
    rows: list[tuple[str, ...]] = [
        (f"`{code}`", str(count)) for code, count in sorted(recordings.items())
    ]
    return [
        f"{doubted} of {len(contents.members)} recordings were converted with warnings:",
        _table(("Warning", "Recordings"), rows),
    ]


def _header(contents: Contents) -> str:
    tags = dict.fromkeys(("LeRobot", *contents.options.tags))
    lines = [
        "---",
        f"license: {_quoted(contents.options.license)}",
        "task_categories:",
        "- robotics",
        "tags:",
        *(f"- {_quoted(tag)}" for tag in tags),
        "configs:",
        "- config_name: default",
        "  data_files: data/*/*.parquet",
        "---",
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """A YAML scalar: plain where that is safe."""
    if text.replace("-", "").replace(".", "").isalnum() and text.isascii() and text[0].isalpha():
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text as it is: a label from a recording must not become a picture, a link or HTML."""
    line = " ".join(text.split())
    if len(line) > _SHOWN_CHARACTERS:
        line = f"{line[:_SHOWN_CHARACTERS]}..."
    return line.translate(_ESCAPED)


def _span(contents: Contents) -> str:
    lengths = [episode.length for episode in contents.episodes]
    fps = contents.schema.fps
    return f"{min(lengths) / fps:.1f} s, {max(lengths) / fps:.1f} s"


def _features(contents: Contents) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, feature in (contents.schema.features | DEFAULT_FEATURES).items():
        listed = ", ".join(feature.names) if isinstance(feature.names, list) else ""
        if video := contents.schema.videos.get(name):
            listed = f"{video.codec}, {video.pix_fmt}"
        rows.append((f"`{name}`", feature.dtype, " x ".join(map(str, feature.shape)), listed))
    return rows


def _tasks(contents: Contents) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]]
    episodes: Counter[int] = Counter()
    frames: Counter[int] = Counter()
    for episode in contents.episodes:
        episodes[episode.task_index] += 1
        frames[episode.task_index] += episode.length
    rows = [
        (task, str(episodes[index]), str(frames[index]))
        for index, task in enumerate(contents.tasks)
        if episodes[index]
    ]
    hidden = len(rows) - _SHOWN_TASKS
    return [*rows[:_SHOWN_TASKS], *([(f"and {hidden} more", "", "")] if hidden > 0 else [])]


def _sources(contents: Contents) -> list[tuple[str, ...]]:
    recordings: Counter[str] = Counter(member.source or "all" for member in contents.members)
    episodes: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for episode in contents.episodes:
        source = episode.member.source or "all"
        episodes[source] += 1
        frames[source] += episode.length
    return [
        (source, str(count), str(episodes[source]), str(frames[source]))
        for source, count in recordings.items()
    ]
