"""Names are followed wherever messages have them: in parts of messages, in lists, beside plans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    config_of,
    source_of,
    write_mcap,
    write_ros1,
)

DEFINITIONS = {
    "my_msgs/msg/Claws": """\
std_msgs/Header header
my_msgs/Ends data
================================================================================
MSG: my_msgs/Ends
string[] name
float64[] position
float32[] velocity
""",
    "my_msgs/msg/Plan": """\
string[] joint_names
my_msgs/Point[] points
================================================================================
MSG: my_msgs/Point
float64[] positions
float64 time
""",
    "my_msgs/msg/Both": """\
my_msgs/Ends left
my_msgs/Ends right
""",
}


class NestedTypes(Types):
    def __init__(self, ros: int) -> None:
        super().__init__(ros)
        for name, text in DEFINITIONS.items():
            known = self.store.types
            found = get_types_from_msg(text, name)
            self.store.register({k: v for k, v in found.items() if k not in known})

    def ends(self, names: Sequence[str], values: Sequence[float]) -> Any:
        numbers = np.array(values, np.float64)
        return self.make("my_msgs/msg/Ends", list(names), numbers, -numbers.astype(np.float32))


@pytest.fixture(params=[1, 2])
def types(request: pytest.FixtureRequest) -> NestedTypes:
    return NestedTypes(request.param)


def opened(folder: Path, types: Types, messages: list[Any], **stream: Any) -> BagRecording:
    folder = folder / f"{len(list(folder.iterdir()))}"
    folder.mkdir()
    said = [
        Said("/t", message.__msgtype__, START_NS + k * 1000, message)
        for k, message in enumerate(messages)
    ]
    if types.ros == 1:
        path = write_ros1(folder / "a.bag", said, types)
    else:
        path = write_mcap(folder / "a.mcap", said, types)
    return open_bag(source_of(path), config_of(StreamConfig(name="s", topic="/t", **stream)))


def claws(types: NestedTypes) -> list[Any]:
    """The order of the two changes half way."""
    header = types.header(START_NS)
    first, second = types.ends("lr", (1, 2)), types.ends("rl", (2, 1))
    made = [types.make("my_msgs/msg/Claws", header, data) for data in (first, second)]
    return [made[0]] * 5 + [made[1]] * 5


@pytest.mark.parametrize(
    ("stream", "names", "row"),
    [
        ({"field": "data.position"}, ("l", "r"), [1, 2]),
        ({"field": "data.position[1]"}, ("r",), [2]),
        (
            {"field": "data"},
            ("l.position", "r.position", "l.velocity", "r.velocity"),
            [1, 2, -1, -2],
        ),
        ({}, ("l.position", "r.position", "l.velocity", "r.velocity"), [1, 2, -1, -2]),
        ({"field": "data.position", "joint_names": ("r", "l")}, ("r", "l"), [2, 1]),
        (
            {"field": "data.velocity, data.position", "joint_names": ("r",)},
            ("r.velocity", "r.position"),
            [-2, 2],
        ),
    ],
)
def test_names_in_a_part_of_the_message(
    stream: dict[str, Any],
    names: tuple[str, ...],
    row: list[float],
    types: NestedTypes,
    tmp_path: Path,
) -> None:
    recording = opened(tmp_path, types, claws(types), **stream)
    assert recording.streams["s"].element_names == names
    assert recording.vectors("s").tolist() == [row] * 10


def test_names_beside_a_list_of_points(types: NestedTypes, tmp_path: Path) -> None:
    def plan(names: str, *points: Sequence[float]) -> Any:
        made = [types.make("my_msgs/msg/Point", np.array(p, np.float64), 0.5) for p in points]
        return types.make("my_msgs/msg/Plan", list(names), made)

    messages = [plan("abc", (1, 2, 3), (4, 5, 6))] * 5 + [plan("cba", (3, 2, 1), (6, 5, 4))] * 5
    recording = opened(tmp_path, types, messages, field="points[0].positions")
    assert recording.streams["s"].element_names == ("a", "b", "c")
    assert recording.vectors("s").tolist() == [[1, 2, 3]] * 10
    picked = opened(tmp_path, types, messages, field="points[-1].positions", joint_names=("b", "a"))
    assert picked.vectors("s").tolist() == [[5, 4]] * 10
    # All numbers of all points are not one for each name: another order is another thing.
    with pytest.raises(Refused, match="2 sets of joints"):
        opened(tmp_path, types, messages).vectors("s")


def test_two_parts_with_the_same_names(types: NestedTypes, tmp_path: Path) -> None:
    first = types.make("my_msgs/msg/Both", types.ends("ab", (1, 2)), types.ends("ab", (3, 4)))
    second = types.make("my_msgs/msg/Both", types.ends("ba", (2, 1)), types.ends("ab", (3, 4)))
    messages = [first] * 3 + [second] * 3
    field = "left.position, right.position"
    recording = opened(tmp_path, types, messages, field=field)
    assert recording.vectors("s").tolist() == [[1, 2, 3, 4]] * 6
    names = recording.streams["s"].element_names
    assert names is not None
    assert [name.split(".")[:2] for name in names] == [
        *(["left", "a"], ["left", "b"], ["right", "a"], ["right", "b"])
    ]
    with pytest.raises(Refused, match="names of their own each"):
        opened(tmp_path, types, messages, field=field, joint_names=("a",)).vectors("s")
