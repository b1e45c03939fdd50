"""``robot.arms``: the shorthand for a robot whose arms are parquet files of joints.

Every arm is a stream. The slave arms (which carry out: followers, puppets) are
``observation.state.slave`` and, under the name that policies look for, ``observation.state``; the
master arms (which command: leaders) are ``observation.state.master`` and ``action``. What the file
says itself under ``streams`` and ``features`` comes first; ``null`` there removes a feature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lerobot_pipelines.config.draft import Draft
from lerobot_pipelines.config.faults import suggestion

SLAVE, MASTER = "slave", "master"
_ROLES = {
    **dict.fromkeys((SLAVE, "follower", "puppet", "state"), SLAVE),
    **dict.fromkeys((MASTER, "leader", "command"), MASTER),
}
_ROLE_WORD = re.compile(r"(?:^|[_\- ])(slave|follower|puppet|master|leader)(?=$|[_\- .])", re.I)
_KEYS = ("name", "file", "role")


@dataclass(frozen=True, slots=True)
class Arm:
    name: str
    file: str
    role: str
    joints: int | None

    @property
    def joint_names(self) -> list[str] | None:
        """``left_joint_0``, ... for ``left_slave``: the same for both roles."""
        if self.joints is None:
            return None
        side = _ROLE_WORD.sub("", self.name).strip("_- ")
        prefix = f"{side}_joint" if side else "joint"
        return [f"{prefix}_{joint}" for joint in range(self.joints)]


def expand_arms(draft: Draft) -> None:
    """Turn ``robot`` into streams and features and take it out of the draft."""
    robot = draft.section("robot")
    arms, joints = robot.get("arms"), robot.get("joints_per_arm")
    if joints is not None and (isinstance(joints, bool) or not _whole(joints) or int(joints) < 1):
        shown = draft.shown(("robot", "joints_per_arm"), joints)
        draft.fault(("robot", "joints_per_arm"), f"must be a whole number from 1, not {shown}")
        joints = None
    if arms is not None and not isinstance(arms, list):
        draft.fault(("robot", "arms"), "must be a list; begin each arm with - name:")
    elif arms:
        read = [
            arm
            for index, item in enumerate(arms)
            if (arm := _arm(draft, index, item, None if joints is None else int(joints)))
        ]
        _add_streams(draft, read, arms)
        if len(read) == len(arms):
            _add_features(draft, read)
    draft.pop("robot")


def _whole(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdecimal())


def _arm(draft: Draft, index: int, item: Any, joints: int | None) -> Arm | None:
    path = ("robot", "arms", index)
    if not isinstance(item, Mapping):
        draft.fault(path, "must be an arm with the keys name, file and role")
        return None
    for key in item:
        if key not in _KEYS:
            draft.fault((*path, key), f"there is no such key{suggestion(key, _KEYS)}")
    name, file, role = (item.get(key) for key in _KEYS)
    if name is None and isinstance(file, str):
        name = file.removesuffix(".parquet")
    if not isinstance(name, str) or not name:
        problem = "missing" if name is None else "must be text; put it in quotes"
        draft.fault((*path, "name"), f"{problem}, e.g. name: left_slave")
        return None
    if file is not None and not isinstance(file, str):
        draft.fault((*path, "file"), "must be text, e.g. left_slave.parquet")
        return None
    kind = _role(role, name, file or "")
    if kind is None:
        draft.fault(
            (*path, "role"),
            "must be slave (the arm that carries out: its joints are the state) or master (the "
            "arm that commands: its joints are the action)"
            + (suggestion(role, _ROLES) if isinstance(role, str) else ""),
        )
        return None
    return Arm(name, file or f"{name}.parquet", kind, joints)


def _role(role: Any, name: str, file: str) -> str | None:
    """As given; older files have it in the arm's name only."""
    if role is not None:
        return _ROLES.get(role.lower()) if isinstance(role, str) else None
    found = _ROLE_WORD.search(name) or _ROLE_WORD.search(file)
    return _ROLES[found[1].lower()] if found else None


def _add_streams(draft: Draft, arms: Sequence[Arm], items: Sequence[Any]) -> None:
    """A stream of the same name in ``streams`` adds to the arm's, its keys winning."""
    given = draft.get("streams")
    if given is not None and not isinstance(given, list):
        return  # the schema reports it
    streams: list[Any] = list(given or ())
    places = {
        item["name"]: index
        for index, item in enumerate(streams)
        if isinstance(item, Mapping) and isinstance(item.get("name"), str)
    }
    for index, arm in enumerate(arms):
        generated: dict[str, Any] = {
            "name": arm.name,
            "file": arm.file,
            "kind": "command" if arm.role == MASTER else "state",
        }
        if arm.joints is not None:
            generated["expected_dimension"] = arm.joints
        if arm.name in places:
            place = places[arm.name]
            streams[place] = generated | dict(streams[place])
        else:
            draft.origins[("streams", len(streams))] = (
                "robot",
                "arms",
                _position(items, arm, index),
            )
            streams.append(generated)
    draft.data["streams"] = streams


def _position(items: Sequence[Any], arm: Arm, index: int) -> int:
    """The arm's own line, also where faulty ones before it were left out."""
    for position, item in enumerate(items):
        if position >= index and isinstance(item, Mapping) and item.get("name") == arm.name:
            return position
    return index


def _add_features(draft: Draft, arms: Sequence[Arm]) -> None:
    features = draft.get("features")
    if features is not None and not isinstance(features, Mapping):
        return  # the schema reports it
    own: dict[str, Any] = dict(features or {})
    slaves = [arm for arm in arms if arm.role == SLAVE]
    masters = [arm for arm in arms if arm.role == MASTER]
    generated: dict[str, Any] = {}
    if slaves:
        generated["observation.state"] = {"parts": _parts(slaves)}
        generated["observation.state.slave"] = {"parts": _parts(slaves)}
    if masters:
        generated["observation.state.master"] = {"parts": _parts(masters)}
        generated["action"] = {"parts": _parts(masters), "chunk": True}
    elif "action" not in own:
        draft.fault(
            ("robot", "arms"),
            "no arm has the role master, so nothing is known to be the action; add the arm that "
            "commands, or describe features.action yourself (the state one row later: a second "
            "stream of the same file with offset_ms: -1000 / fps), or write features: {action: "
            "null} for a dataset without actions",
        )
    for key in generated:
        if key not in own:
            draft.origins[("features", key)] = ("robot", "arms")
    draft.data["features"] = generated | own


def _parts(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    return [
        {"stream": arm.name} | ({} if arm.joint_names is None else {"names": arm.joint_names})
        for arm in arms
    ]
