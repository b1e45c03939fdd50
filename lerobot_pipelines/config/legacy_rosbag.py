"""``rosbag.*`` and ``dataset.*`` of the Kuavo bag scripts: a shipped configuration, changed.

The gripper (``eef_type``) chooses the shipped configuration, which holds topics, fields and names;
the script's other keys change it. What has no counterpart is refused, not passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.draft import Draft, number_of
from lerobot_pipelines.config.faults import nearest
from lerobot_pipelines.config.yaml_source import parse_yaml

ROSBAG_KEYS = frozenset({"rosbag_dir", "num_used", "lerobot_dir"})
DATASET_KEYS = frozenset(
    {"only_arm", "eef_type", "which_arm", "use_depth", "depth_range", "task_description"}
    | {"train_hz", "main_timeline", "main_timeline_fps", "sample_drop", "dex_dof_needed"}
    | {"is_binary", "delta_action", "relative_start", "resize"}
)
SHIPPED = {
    "leju_claw": "kuavo_4pro_claw",
    "qiangnao": "kuavo_4pro_hand",
    "rq2f85": "kuavo_simulator",
}
# From which value on a gripper counts as closed, after scaling: of its state and of its command.
THRESHOLDS = {"leju_claw": (0.5, 0.5), "qiangnao": (0.5, 0.5), "rq2f85": (0.5, 70 / 255)}
_SECTIONS = ("streams", "cameras", "features", "alignment", "filtering")
_SIDES = {"left": (0, 2), "right": (2, 4), "both": (0, 4)}  # of the four parts of a feature
_FINGERS = 6
_DEPTH_TOPICS = {
    "h": "/cam_h/depth/image_raw/compressedDepth",
    "l": "/cam_l/depth/image_rect_raw/compressedDepth",
    "r": "/cam_r/depth/image_rect_raw/compressedDepth",
}
_REFUSED = {
    "delta_action": "actions are written as they were commanded; subtract when training",
    "relative_start": "positions are written as they were measured; subtract when training",
}


def translate_rosbag(draft: Draft) -> bool:
    """Replace the script's keys by a whole configuration. False where the file has none of them."""
    dataset = draft.section("dataset")
    if not draft.has("rosbag") and not any(key in DATASET_KEYS for key in dataset):
        return False
    _places(draft)
    given = {key: dataset.pop(key) for key in list(dataset) if key in DATASET_KEYS}
    eef = given.get("eef_type", "leju_claw")
    if eef not in SHIPPED:
        near = nearest(str(eef), SHIPPED)
        draft.fault(("dataset", "eef_type"), f'is "{eef}"{near}; known are {", ".join(SHIPPED)}')
        eef = "leju_claw"
    _add_shipped(draft, SHIPPED[eef])
    _dataset(draft, given)
    _arms(draft, given, eef)
    _cameras(draft, given)
    _refuse(draft, given)
    return True


def _places(draft: Draft) -> None:
    rosbag = draft.section("rosbag")
    for key in list(rosbag):
        if key not in ROSBAG_KEYS:
            near = nearest(key, ROSBAG_KEYS)
            draft.fault(("rosbag", key), f"there is no such key{near}")
    if rosbag.get("num_used") is not None:
        draft.warn(
            ("rosbag", "num_used"),
            "has no effect here: all recordings are converted; choose with --episode",
        )
    draft.move(("rosbag", "rosbag_dir"), ("input", "data_path"))
    draft.move(("rosbag", "lerobot_dir"), ("output", "base_path"))
    draft.pop("rosbag")


def _add_shipped(draft: Draft, name: str) -> None:
    path = Path(__file__).parent.parent / "configs" / f"{name}.yaml"
    data = parse_yaml(path.read_text(encoding="utf-8")).data
    origin = ("dataset", "eef_type")
    for section in _SECTIONS:
        if not draft.has(section):
            draft.put((section,), data[section], origin)
    for key in ("name", "robot_type", "tags"):
        if not draft.has("dataset", key):
            draft.put(("dataset", key), data["dataset"][key], origin)
    if not draft.has("dataset", "formats") and "dataset.formats" not in draft.overrides:
        draft.put(("dataset", "formats"), ["v3.0"])
        draft.notes.append(
            f"the keys are those of the Kuavo bag scripts: topics and fields are those of the "
            f"shipped configuration {name}; gives LeRobot v3.0, as they did (--format v2.1 for the "
            "other); rows are paired by the sensors' own stamps (clock: header), not by reception"
        )


def _dataset(draft: Draft, given: Mapping[str, Any]) -> None:
    for old, new in (("task_description", "task"), ("train_hz", "fps")):
        if given.get(old) is not None:
            draft.settle(("dataset", new), given[old], ("dataset", old))
    draft.put(("dataset", "fps"), draft.get("dataset", "fps") or 10)
    hz = number_of(draft.get("dataset", "fps"))
    main_hz = number_of(given.get("main_timeline_fps", 30))
    dropped = number_of(given.get("sample_drop", 10))
    if hz and main_hz and dropped is not None:
        # They count pictures of the main camera, rows are counted here.
        rows = math.ceil(dropped * hz / main_hz)
        for key in ("trim_start_frames", "trim_end_frames"):
            draft.put(("alignment", key), rows, ("dataset", "sample_drop"))
    size = given.get("resize")
    if isinstance(size, Mapping) and {"width", "height"} <= set(size):
        draft.settle(("video", "size"), [size["width"], size["height"]], ("dataset", "resize"))


def _arms(draft: Draft, given: Mapping[str, Any], eef: str) -> None:
    """Seven joints and a gripper of each side, in four parts of each feature."""
    side = given.get("which_arm", "both")
    if side not in _SIDES:
        draft.fault(("dataset", "which_arm"), f'is "{side}"; known are {", ".join(_SIDES)}')
        return
    features = draft.get("features")
    for name, limit in zip(("observation.state", "action"), THRESHOLDS[eef], strict=True):
        feature = features.get(name) if isinstance(features, Mapping) else None
        if not isinstance(feature, dict) or len(feature.get("parts") or ()) != 4:
            continue
        parts = [dict(part) for part in feature["parts"]]
        if eef == "qiangnao":
            _fingers(draft, parts, given.get("dex_dof_needed", 1))
        if given.get("is_binary"):
            for part in (parts[1], parts[3]):
                part["binary_threshold"] = limit
        first, end = _SIDES[side]
        feature["parts"] = parts[first:end]


def _fingers(draft: Draft, parts: list[dict[str, Any]], count: Any) -> None:
    if not isinstance(count, int) or not 1 <= count <= _FINGERS:
        draft.fault(("dataset", "dex_dof_needed"), f"must be a whole number from 1 to {_FINGERS}")
        return
    for part, first, side in ((parts[1], 0, "left"), (parts[3], _FINGERS, "right")):
        part["slice"] = f"{first}:{first + count}"
        part["names"] = [f"{side}_qiangnao_{finger}" for finger in range(1, count + 1)]
        if "fallback_slice" in part:
            part["fallback_slice"] = part["slice"]


def _cameras(draft: Draft, given: Mapping[str, Any]) -> None:
    cameras = draft.get("cameras")
    side = given.get("which_arm", "both")
    letters = {"left": "hl", "right": "hr"}.get(side, "hlr")
    if not isinstance(cameras, list):
        return
    kept = [dict(one) for one in cameras if str(one.get("name"))[-1:] in letters]
    main = given.get("main_timeline")
    if main is not None:
        names = [str(one.get("name")) for one in kept]
        if main not in names:
            draft.fault(
                ("dataset", "main_timeline"), f'is "{main}"; the cameras are {", ".join(names)}'
            )
        for one in kept:
            one["role"] = "base" if one.get("name") == main else "sync"
    if given.get("use_depth"):
        kept += _depth_cameras(draft, given, letters)
    draft.data["cameras"] = kept


def _depth_cameras(draft: Draft, given: Mapping[str, Any], letters: str) -> list[dict[str, Any]]:
    span = given.get("depth_range", [0, 1500])
    ends = [number_of(end) for end in span] if isinstance(span, list) else []
    if len(ends) != 2 or None in ends:
        draft.fault(("dataset", "depth_range"), "must be the nearest and farthest mm: [0, 1500]")
        return []
    return [
        {
            "name": f"depth_{letter}",
            "feature": f"observation.depth_{letter}",
            "topic": _DEPTH_TOPICS[letter],
            "clock": "header",
            "depth": True,
            "depth_range_m": [(end or 0.0) / 1000 for end in ends],
        }
        for letter in letters
    ]


def _refuse(draft: Draft, given: Mapping[str, Any]) -> None:
    for key, why in _REFUSED.items():
        if given.get(key):
            draft.fault(("dataset", key), f"has no counterpart: {why}; set it to false")
    if given.get("only_arm") is False:
        draft.fault(
            ("dataset", "only_arm"),
            "false has no counterpart: describe the base's topic (/cmd_pose_world_synced) as a "
            "stream and add it to features.action; set it to true for the arms alone",
        )
