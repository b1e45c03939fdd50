"""Recordings of a robot that a shipped configuration knows: that one is better than a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lerobot_pipelines.config import shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig, StreamConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Recording
from lerobot_pipelines.recordings import open_recording
from lerobot_pipelines.suggestions.document import BUCKET, comments, inline
from lerobot_pipelines.suggestions.subject import Subject
from lerobot_pipelines.suggestions.trial import Trial, loaded, try_text


@dataclass(frozen=True, slots=True)
class Platform:
    """A shipped configuration and how to tell its robot from its siblings.

    ``elements``: how many numbers the ``field`` of ``topic`` holds on this robot.
    """

    config: str
    topic: str
    field: str
    elements: int


_SENSORS = ("/sensors_data_raw", "joint_data.joint_q")

# The arms are a slice of all joints; how many there are tells which (two of the head come last).
PLATFORMS = (
    Platform("kuavo_4pro_claw", *_SENSORS, 28),
    Platform("kuavo_4pro_hand", *_SENSORS, 28),
    Platform("kuavo_simulator", *_SENSORS, 28),
    Platform("kuavo_5_claw", *_SENSORS, 29),
    Platform("kuavo_5w_claw", *_SENSORS, 20),
    Platform("g1_bottle_bag", "/joint_states", "position", 26),
)

# Some bags call the topic on the left as on the right.
_OTHER_NAMES = {"/kuavo_arm_traj": "/kuavo_arm_traj_synced"}


def platform_suggestion(recording: Recording, subject: Subject) -> tuple[str, Trial] | None:
    """The text of a shipped configuration that converts the recording; None if none does."""
    topics = set(getattr(recording, "topics", {}))
    shipped = shipped_configs()
    measured: dict[tuple[str, str], int | None] = {}
    for platform in PLATFORMS:
        place = (platform.topic, platform.field)
        if platform.topic not in topics or platform.config not in shipped:
            continue
        if place not in measured:
            measured[place] = _elements(recording, *place)
        if measured[place] != platform.elements:
            continue
        text = shipped[platform.config].read_text(encoding="utf-8")
        fitted = _fitted(text, topics)
        if not _has_required(loaded(fitted), topics):
            continue
        fitted = _placed(fitted, subject)
        trial = try_text(fitted, recording.source)
        if trial.refusal is None:
            head = [
                f"The shipped configuration {platform.config}, which knows this robot; suggested "
                f"from {recording.source.key}",
                trial.told(),
                *_removed(text, fitted),
            ]
            return f"{comments(head)}\n{fitted}", trial
    return None


def _elements(recording: Recording, topic: str, field: str) -> int | None:
    """How many numbers that field holds; None if it cannot be read."""
    probe = DatasetConfig.model_validate(
        {
            "dataset": {"name": "probe"},
            "storage": {"url": "."},
            "streams": [{"name": "probe", "topic": topic, "field": field}],
        }
    )
    try:
        opened = open_recording(recording.source, probe)
    except Refused:
        return None
    try:
        return opened.streams["probe"].dimension
    except Refused:
        return None
    finally:
        opened.close()


def _fitted(text: str, topics: set[str]) -> str:
    """With the names of topics that this bag uses, and without cameras that it has not."""
    for name, other in _OTHER_NAMES.items():
        if name not in topics and other in topics:
            text = re.sub(rf"(topic: ){re.escape(name)}$", rf"\1{other}", text, flags=re.M)
    lines = text.split("\n")
    return "\n".join(line for line in lines if not _is_absent_camera(line, topics))


def _is_absent_camera(line: str, topics: set[str]) -> bool:
    found = re.match(r"\s*- \{name: \w+, topic: ([^,}\s]+).*\}\s*$", line)
    return found is not None and found[1] not in topics and "role: base" not in line


def _removed(text: str, fitted: str) -> Iterator[str]:
    kept = set(fitted.split("\n"))
    for line in text.split("\n"):
        if line not in kept and (found := re.match(r"\s*- \{name: (\w+), topic: (\S+?),", line)):
            yield f"Left out: camera {found[1]}, whose topic {found[2]} the recording has not."


def _has_required(config: DatasetConfig, topics: set[str]) -> bool:
    needed = [one for one in config.streams if one.required]
    return (
        bool(config.cameras)
        and all(
            one.topic in topics
            for one in (*needed, *config.cameras)
            if isinstance(one, StreamConfig)
        )
        and all(camera.topic in topics for camera in config.cameras)
    )


def _placed(text: str, subject: Subject) -> str:
    """With the recording's own raw folder, both formats and a bucket that is nobody's own."""
    edits: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
        (r"^(  url: )\S+", lambda found: f"{found[1]}{BUCKET}"),
        (r"^(  raw_prefix: )[^\n]*$", lambda found: f"{found[1]}{inline(subject.raw_prefix)}"),
    )
    for pattern, replacement in edits:
        text = re.sub(pattern, replacement, text, count=1, flags=re.M)
    if not re.search(r"^  formats:", text, flags=re.M):
        text = re.sub(r"^(  fps: .*)$", r"\1\n  formats: [v2.1, v3.0]", text, count=1, flags=re.M)
    if not re.search(r"^  (# )?task:", text, flags=re.M):
        task = f"  task: {inline(subject.task)}  {comments([subject.task_note])}"
        text = re.sub(
            r"^(  formats: .*)$", lambda found: f"{found[1]}\n{task}", text, count=1, flags=re.M
        )
    return text
