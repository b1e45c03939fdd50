"""What a recording says of itself: where it lies, its task, its robot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_pipelines.model import EpisodeSource, Recording

ROBOT_KEYS = ("robot_type", "robot", "robot_name", "platform", "device")
_URDF_TOPIC = re.compile(r"(^|/)robot_description$")
_URDF_NAME = re.compile(r"<robot\b[^>]*?\bname\s*=\s*[\"']([^\"'<>]{1,100})[\"']")
UNKNOWN_ROBOT = "unknown"


@dataclass(frozen=True, slots=True)
class Subject:
    """``task``: None where each recording tells its own. ``*_note``: a remark for a person."""

    dataset: str
    raw_prefix: str
    task: str | None
    task_note: str
    robot_type: str
    robot_note: str


def subject_of(recording: Recording) -> Subject:
    source = recording.source
    raw = _raw_folder(source.root.resolve())
    task, task_note = _task(recording, raw)
    robot, robot_note = _robot(recording)
    return Subject(
        dataset=_dataset_name(source),
        raw_prefix=raw.name,
        task=task,
        task_note=task_note,
        robot_type=robot,
        robot_note=robot_note,
    )


def _task(recording: Recording, raw: Path) -> tuple[str | None, str]:
    told = recording.metadata.get("task")
    if isinstance(told, str) and told.strip():
        return None, f'null: each recording tells its own, this one "{told.strip()[:80]}"'
    folder = _task_folder(recording.source, raw)
    if folder is None:
        return "do the task", "the recording tells none: write what the robot does"
    if len(_tasks_below(raw)) > 1:
        return None, (
            f'null: the name of each recording\'s folder, here "{folder[:80]}"; better is a '
            "metadata.json beside each that says what the robot does"
        )
    return folder.replace("_", " "), "the folder's name: write what the robot does"


def _task_folder(source: EpisodeSource, raw: Path) -> str | None:
    """The folder right below the raw one that holds the recording."""
    path = source.root.resolve() / source.key
    parts = [part for part in path.relative_to(raw).parts[:-1] if part not in ("joints", "images")]
    return parts[0] if parts else None


def _tasks_below(raw: Path) -> list[str]:
    top = raw / "joints" if (raw / "joints").is_dir() else raw
    folders = (entry for entry in top.iterdir() if entry.is_dir())
    return [entry.name for entry in folders if not entry.name.startswith(".")]


def _robot(recording: Recording) -> tuple[str, str]:
    for key in ROBOT_KEYS:
        told: Any = recording.metadata.get(key)
        if isinstance(told, str) and told.strip().isprintable() and told.strip():
            return told.strip()[:100], f"as the recording's metadata say ({key})"
    if (name := _urdf_name(recording)) is not None:
        return name, "the name in the recording's /robot_description"
    known = _known_robot(recording)
    return known or (UNKNOWN_ROBOT, "the recording does not tell: write the robot's name")


def _known_robot(recording: Recording) -> tuple[str, str] | None:
    """From the types of messages and the names of joints that one maker alone uses."""
    types = {str(topic.type_name) for topic in getattr(recording, "topics", {}).values()}
    if any(name.startswith("kuavo_msgs/") for name in types):
        return "kuavo", "its messages are kuavo_msgs"
    if any(name.startswith(("unitree_hg/", "unitree_go/")) for name in types):
        return "unitree", "its messages are Unitree's"
    joints = {name for stream in recording.streams.values() for name in stream.element_names or ()}
    if "kLeftShoulderPitch" in joints:
        return "unitree_g1", "its joints are named as a Unitree G1's"
    for name in sorted(joints):
        for robot, mark in _JOINT_MARKS.items():
            if mark.search(name):
                return robot, f"its joints are named like {name}"
    return None


_JOINT_MARKS = {
    "kuavo": re.compile(r"^zarm_[lr][1-7]_(link|joint)$"),
    "franka": re.compile(r"^(panda|fr3)_joint[1-7]$"),
}


def _urdf_name(recording: Recording) -> str | None:
    first_text = getattr(recording, "first_text", None)
    if first_text is None:
        return None
    for name in getattr(recording, "topics", {}):
        if _URDF_TOPIC.search(name) and (text := first_text(name)):
            found = _URDF_NAME.search(text)
            if found and found[1].isprintable():
                return found[1]
    return None


def _raw_folder(root: Path) -> Path:
    """The folder above the recording that is called "raw", else the one it lies in."""
    return next((folder for folder in (root, *root.parents) if folder.name == "raw"), root)


def _dataset_name(source: EpisodeSource) -> str:
    """The task's folder as an identifier."""
    parts = [part for part in source.key.split("/") if part]
    folder = parts[0] if len(parts) > 1 else source.root.resolve().name
    name = re.sub(r"[^A-Za-z0-9_]+", "_", folder).strip("_")
    return name[:100] if re.match(r"[A-Za-z]", name) else f"dataset_{name}".rstrip("_")[:100]
