"""A first configuration for a recording, from its streams alone: a start to read and correct."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerobot_pipelines.model import EpisodeSource, StreamReport

# Parts of names that robots give to what is commanded rather than measured.
COMMAND_WORDS = ("cmd", "command", "action", "master", "leader", "target", "desired", "goal")
# ... and to the camera that sees the whole scene, whose frames make the best rows.
SCENE_WORDS = ("high", "head", "top", "front", "main", "base")

# ... and to what moves, as opposed to batteries, lasers and satellites.
ROBOT_WORDS = (*COMMAND_WORDS, "joint", "arm", "hand", "finger", "claw", "gripper", "eef", "slave")
ROBOT_TYPE = "JointState"
RAW_DEPTH = ("16UC1", "32FC1")

# Header stamps further from the recorder's are of another clock, or of no clock at all.
LARGEST_SKEW_MS = 1000.0

# A label 2 % off the measured rate is refused (alignment.rate_tolerance), and episodes differ.
RATE_TOLERANCE = 0.01
DEFAULT_TOLERANCE_MS = 20.0


def suggest(source: EpisodeSource, streams: Sequence[StreamReport]) -> str:
    """A YAML that converts recordings like this one, with a comment on each thing guessed."""
    import yaml

    from lerobot_pipelines.recordings import container_of

    folder = container_of(source.members) == "folder"
    usable = [s for s in streams if s.median_rate_hz is not None and not _is_coloured_depth(s)]
    cameras = [s for s in usable if s.kind == "picture"]
    everything = [s for s in usable if s.kind == "vector"]
    vectors = [s for s in everything if folder or _moves(s)] or everything
    names = _short_names([*cameras, *vectors])
    base = _base_camera([camera for camera in cameras if not _is_depth(camera)])
    notes = [
        f"# Suggested from {source.uri}",
        "# Read it through: names and roles are guessed. Check it with: config check FILE",
    ]
    commands = [s for s in vectors if _is_command(s)]
    states = [s for s in vectors if s not in commands]
    if not commands and states:
        notes.append("# No stream looks like a command: the action repeats the measured state.")
    if not states and commands:
        notes.append("# No stream looks like a measurement: the state repeats the command.")
    if skipped := [s.name for s in streams if s not in cameras and s not in vectors]:
        notes.append(f"# Left out (sensors, or too few samples): {', '.join(skipped)}")
    raw = _raw_folder(source.root.resolve())
    document: dict[str, Any] = {
        "dataset": {"name": _dataset_name(source), "robot_type": "my_robot"} | _rate(base, vectors),
        "storage": {"url": raw.parent.as_uri(), "raw_prefix": raw.name},
        "cameras": [_camera(s, names[s.name], s is base, folder) for s in cameras],
        "streams": [_stream(s, names[s.name], s in commands, folder) for s in vectors],
        "features": _features(states, commands, names),
        "alignment": _alignment(base, vectors),
    }
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join([*(ascii(note)[1:-1] for note in notes), body])


def _camera(stream: StreamReport, name: str, is_base: bool, folder: bool) -> dict[str, Any]:
    origin = {"folder": stream.name} if folder else _topic(stream)
    kept: dict[str, Any] = {"feature": f"observation.images.{name}"}
    if _is_depth(stream):
        kept = {"feature": f"observation.depth.{name}", "depth": True}
    return {"name": name, "role": "base" if is_base else "sync", **origin, **kept}


def _stream(stream: StreamReport, name: str, command: bool, folder: bool) -> dict[str, Any]:
    origin = {"file": f"{stream.name}.parquet"} if folder else _topic(stream)
    return {"name": name, **origin, "kind": "command" if command else "state"}


def _topic(stream: StreamReport) -> dict[str, str]:
    """With the sensor's own stamps where it gives some: the recorder's come later."""
    skew = stream.details.get("skew_ms")
    stamped = isinstance(skew, Mapping) and all(
        abs(float(value)) <= LARGEST_SKEW_MS for value in skew.values()
    )
    return {"topic": stream.origin} | ({"clock": "header"} if stamped else {})


def _features(
    states: Sequence[StreamReport], commands: Sequence[StreamReport], names: dict[str, str]
) -> dict[str, Any]:
    chosen = {"observation.state": states or commands, "action": commands or states}
    return {
        feature: {"parts": [{"stream": names[stream.name]} for stream in streams]}
        for feature, streams in chosen.items()
        if streams
    }


def _rate(base: StreamReport | None, vectors: Sequence[StreamReport]) -> dict[str, Any]:
    if base is not None and base.median_rate_hz:
        return {"fps": max(1, round(base.median_rate_hz))}
    slowest = min((s.median_rate_hz for s in vectors if s.median_rate_hz), default=30.0)
    return {"fps": max(1, min(30, int(slowest)))}


def _alignment(base: StreamReport | None, vectors: Sequence[StreamReport]) -> dict[str, Any]:
    measured = base.median_rate_hz if base is not None else None
    exact = measured is not None and abs(round(measured) / measured - 1) <= RATE_TOLERANCE
    periods_ms = [1000.0 / s.median_rate_hz for s in vectors if s.median_rate_hz]
    # Half a period is the farthest that a sample can be; a quarter more allows for jitter.
    needed_ms = 0.75 * max(periods_ms, default=0.0)
    return {
        "strategy": "nearest",
        "timeline": "base" if exact else "uniform",
        "tolerance_ms": round(max(DEFAULT_TOLERANCE_MS, needed_ms), 1),
    }


def _base_camera(cameras: Sequence[StreamReport]) -> StreamReport | None:
    for word in SCENE_WORDS:
        for camera in cameras:
            if word in camera.name.lower():
                return camera
    return max(cameras, key=lambda camera: camera.count, default=None)


def _is_command(stream: StreamReport) -> bool:
    return any(word in stream.name.lower() for word in COMMAND_WORDS)


def _moves(stream: StreamReport) -> bool:
    typed = str(stream.details.get("type", "")).endswith(ROBOT_TYPE)
    return typed or any(word in stream.name.lower() for word in ROBOT_WORDS)


def _is_depth(stream: StreamReport) -> bool:
    encoding = str(stream.details.get("encoding", ""))
    return encoding in RAW_DEPTH or (encoding == "png" and "depth" in stream.origin.lower())


def _is_coloured_depth(stream: StreamReport) -> bool:
    """Distances painted as a picture for people: of no use to a policy."""
    is_picture = stream.kind == "picture"
    return is_picture and "depth" in stream.origin.lower() and not _is_depth(stream)


def _short_names(streams: Sequence[StreamReport]) -> dict[str, str]:
    """Stream name -> a short name fit for a LeRobot key; numbered where two would be equal."""
    names: dict[str, str] = {}
    for stream in streams:
        parts = [part for part in stream.name.split("/") if part]
        generic = {"image", "image_raw", "compressed", "color", "rgb", "camera_info"}
        useful = [part for part in parts if part.lower() not in generic] or parts
        short = re.sub(r"[^A-Za-z0-9_]+", "_", "_".join(useful[-2:])).strip("_") or "stream"
        name, number = short, 2
        while name in names.values():
            name, number = f"{short}_{number}", number + 1
        names[stream.name] = name
    return names


def _raw_folder(root: Path) -> Path:
    """The folder above the recording that is called "raw", else the one it lies in."""
    return next((folder for folder in (root, *root.parents) if folder.name == "raw"), root)


def _dataset_name(source: EpisodeSource) -> str:
    """The task's folder as an identifier."""
    parts = [part for part in source.key.split("/") if part]
    folder = parts[0] if len(parts) > 1 else source.root.resolve().name
    name = re.sub(r"[^A-Za-z0-9_]+", "_", folder).strip("_")
    return name[:100] if re.match(r"[A-Za-z]", name) else f"dataset_{name}".rstrip("_")[:100]
