"""What the columns of a joints file seem to be, by their names: for recordings that nobody has
written a configuration for, and for saying what a configuration leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lerobot_pipelines.recordings.columns import (
    Column,
    ColumnKind,
    is_counter,
    numbered_groups,
)
from lerobot_pipelines.recordings.stamps import is_time_column


class Role(StrEnum):
    POSITION = "position"  # of a joint or gripper, measured
    COMMAND = "command"  # of a joint or gripper, wanted
    OTHER = "other"  # another quantity
    UNKNOWN = "unknown"  # numbers without a word that is known
    NO_VALUE = "no_value"  # times, counters, text


# Words in names, without the numbers behind them.
_COMMAND_WORDS = frozenset(
    {"action", "actions", "cmd", "command", "commands", "commanded", "target", "targets"}
    | {"desired", "goal", "reference", "ref", "setpoint", "master", "leader", "traj"}
)
_GRIPPER_WORDS = frozenset(
    {"gripper", "grippers", "grip", "claw", "claws", "jaw", "hand", "finger", "fingers", "thumb"}
    | {"suction", "vacuum"}
)
_JOINT_WORDS = frozenset(
    {"joint", "joints", "j", "q", "qpos", "arm", "arms", "axis", "motor", "dof", "servo"}
    | {"shoulder", "elbow", "wrist", "waist", "torso", "neck", "head", "hip", "knee", "ankle"}
    | {"leg", "lift", "forearm", "follower", "slave", "puppet"}
)
_POSITION_WORDS = frozenset(
    {"position", "positions", "pos", "angle", "angles", "state", "states", "observation"}
)
# Quantities of joints that are no positions, and what is measured elsewhere.
_OTHER_WORDS = frozenset(
    {"velocity", "velocities", "vel", "qvel", "dq", "qd", "speed", "acceleration", "acc", "ddq"}
    | {"effort", "efforts", "torque", "torques", "tau", "current", "currents", "force", "forces"}
    | {"wrench", "temperature", "temperatures", "temp", "voltage", "battery", "power", "pwm"}
    | {"status", "error", "errors", "mode", "enabled", "valid", "fps", "latency", "delay"}
    | {"eef", "ee", "tcp", "pose", "poses", "quat", "quaternion", "orientation", "imu", "gyro"}
    | {"accel", "reward", "done", "success", "stiffness", "damping", "kp", "kd", "age", "skew"}
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class FoundStream:
    """Columns that belong together; ``suffix`` tells the streams of a file apart."""

    suffix: str
    columns: tuple[str, ...]


def role_of(column: Column) -> Role:
    """By the column's name and kind alone."""
    if column.kind not in (ColumnKind.NUMBER, ColumnKind.LIST):
        return Role.NO_VALUE
    if is_time_column(column.name) or is_counter(column.name) or _is_stamp_part(column.name):
        return Role.NO_VALUE
    words = _words(column.name)
    if words & _OTHER_WORDS:
        return Role.OTHER
    if words & _COMMAND_WORDS:
        return Role.COMMAND
    if words & (_GRIPPER_WORDS | _JOINT_WORDS | _POSITION_WORDS):
        return Role.POSITION
    return Role.UNKNOWN


def looks_like_joint(column: Column) -> bool:
    """Whether leaving it out would leave out a joint, a gripper or a command."""
    return role_of(column) in (Role.POSITION, Role.COMMAND)


def streams_of(columns: Sequence[Column]) -> list[FoundStream]:
    """The positions of a file, of one arm or several, and its commands if it has both.

    Columns of one numbered group stand together in the order of their numbers, where the first of
    them stands. Where no name is that of a joint, all numbers of no other known quantity are.
    """
    by_role = {
        role: [column.name for column in columns if role_of(column) is role] for role in Role
    }
    states, commands = by_role[Role.POSITION], by_role[Role.COMMAND]
    if not any(_words(name) & (_JOINT_WORDS | _POSITION_WORDS) for name in states):
        # Joints by names of their own, with a gripper or without.
        unknown = set(by_role[Role.UNKNOWN])
        states = [c.name for c in columns if c.name in unknown or c.name in states]
    found = [FoundStream("", _in_order(states))] if states else []
    if commands:
        found.append(FoundStream("command" if found else "", _in_order(commands)))
    return found


def _in_order(names: Sequence[str]) -> tuple[str, ...]:
    groups = numbered_groups(names)
    group_of = {name: group for group in groups.values() for name in group}
    ordered: dict[str, None] = {}
    for name in names:
        ordered.update(dict.fromkeys(group_of.get(name, [name])))
    return tuple(ordered)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}


def _is_stamp_part(name: str) -> bool:
    """``field.header.stamp``, ``header.seq``: of the message, not of the robot."""
    last = re.split(r"[._/\s]+", name.strip().lower())[-1]
    return is_time_column(last) or is_counter(last) or last in ("secs", "nsecs", "sec", "nanosec")
