"""Nodes that share a topic of joints, and what they said, read message by message with rosbags.

The slow reference for what the first pass makes of names: it knows no streams, sets or layouts,
only which number stands beside which name in each message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    write_mcap,
    write_ros1,
)

TOPIC = "/joint_states"
JOINT_STATE = "sensor_msgs/msg/JointState"
ALL_NAMES = tuple(f"j{k}" for k in range(8))
STEP_NS = 10_000_000


@dataclass(frozen=True)
class Node:
    """Publishes its joints; at first only some, later perhaps more, in orders that change."""

    joints: tuple[str, ...]
    early: int  # messages with the first joint only
    orders: tuple[tuple[int, ...], ...]  # permutations, taken in turn
    turn_every: int  # messages after which the next order comes


@dataclass(frozen=True)
class Talk:
    nodes: tuple[Node, ...]
    rounds: int
    ros: int

    def messages(self) -> list[tuple[int, tuple[str, ...]]]:
        """Receive stamp and names of each message, in order."""
        found = []
        for k in range(self.rounds):
            for number, node in enumerate(self.nodes):
                order = node.orders[k // node.turn_every % len(node.orders)]
                names = tuple(node.joints[at] for at in order)
                if k < node.early:
                    names = node.joints[:1]
                found.append((START_NS + k * STEP_NS + number * 1_000, names))
        return found

    def write(self, folder: Path) -> Path:
        types = Types(self.ros)
        said = []
        for ns, names in self.messages():
            message = types.joint_state(ns, [value_of(name, ns) for name in names], names)
            message.velocity = np.array([-value_of(name, ns) for name in names])
            said.append(Said(TOPIC, JOINT_STATE, ns, message))
        if self.ros == 1:
            return write_ros1(folder / "a.bag", said, types)
        return write_mcap(folder / "a.mcap", said, types)


def value_of(name: str, ns: int) -> float:
    """No two numbers of a talk are equal."""
    return ALL_NAMES.index(name) * 1000.0 + (ns - START_NS) / 1e6


@dataclass
class Heard:
    """One message: position and velocity by name."""

    position: dict[str, float] = field(default_factory=dict)
    velocity: dict[str, float] = field(default_factory=dict)

    def number(self, element: str) -> float:
        """Of an element's name: ``j3``, ``j3.position`` or ``j3.velocity``."""
        name, _, which = element.partition(".")
        return (self.velocity if which == "velocity" else self.position)[name]


def heard(path: Path) -> dict[int, Heard]:
    """Every message of the topic by its receive stamp."""
    found: dict[int, Heard] = {}
    with AnyReader([path]) as reader:
        for connection, ns, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found[ns] = Heard(
                dict(zip(message.name, message.position.tolist(), strict=True)),
                dict(zip(message.name, message.velocity.tolist(), strict=True)),
            )
    return found


@st.composite
def nodes(draw: st.DrawFn, joints: Sequence[str]) -> Node:
    orders = draw(st.lists(st.permutations(range(len(joints))), min_size=1, max_size=3))
    return Node(
        tuple(joints),
        draw(st.sampled_from([0, 0, 1, 2, 6])),
        tuple(tuple(order) for order in orders),
        draw(st.integers(1, 20)),
    )


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Random splits of the names over nodes; now and then nodes share joints."""
    names = draw(st.permutations(ALL_NAMES[: draw(st.integers(2, len(ALL_NAMES)))]))
    cuts = sorted(draw(st.sets(st.integers(1, len(names) - 1), max_size=2)))
    pieces = [names[a:b] for a, b in zip([0, *cuts], [*cuts, len(names)], strict=True)]
    if draw(st.booleans()) and len(pieces) > 1:
        pieces[0] = [*pieces[0], pieces[1][0]]
    made = tuple(draw(nodes(piece)) for piece in pieces)
    return Talk(made, draw(st.integers(1, 60)), draw(st.sampled_from([1, 2])))
