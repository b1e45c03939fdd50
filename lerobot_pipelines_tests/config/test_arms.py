"""``robot.arms`` becomes streams and features; nothing is invented."""

from __future__ import annotations

import pytest

from lerobot_pipelines_tests.config.loading import Loader

REST = "dataset: {name: example, fps: 25}\nstorage: {url: /b}\ncameras: [{name: cam}]\n"
FOUR = """\
robot:
  joints_per_arm: 2
  arms:
    - {name: left_slave, file: l.parquet, role: slave}
    - {name: left_master, role: master}
    - {name: right_slave, role: slave}
    - {name: right_master, role: master}
"""


def test_arms_are_streams_and_the_usual_features(loader: Loader) -> None:
    config = loader.load(REST + FOUR)
    left = config.stream("left_slave")
    assert (left.file, left.expected_dimension, left.kind) == ("l.parquet", 2, "state")
    assert config.stream("left_master").file == "left_master.parquet"
    assert config.stream("left_master").kind == "command"
    names = {
        key: [name for part in feature.parts for name in part.names or ()]
        for key, feature in config.features.items()
    }
    joints = ["left_joint_0", "left_joint_1", "right_joint_0", "right_joint_1"]
    assert names == dict.fromkeys(
        (
            *("observation.state", "observation.state.master"),
            *("observation.state.slave", "action"),
        ),
        joints,
    )
    streams = {
        key: [part.stream for part in feature.parts] for key, feature in config.features.items()
    }
    assert streams["observation.state"] == ["left_slave", "right_slave"]
    assert streams["observation.state.slave"] == ["left_slave", "right_slave"]
    assert streams["observation.state.master"] == ["left_master", "right_master"]
    assert streams["action"] == ["left_master", "right_master"]
    assert [key for key, feature in config.features.items() if feature.chunk] == ["action"]


def test_without_the_number_of_joints_names_are_left_to_the_recording(loader: Loader) -> None:
    config = loader.load(REST + FOUR.replace("  joints_per_arm: 2\n", ""))
    assert config.stream("left_slave").expected_dimension is None
    assert config.features["action"].parts[0].names is None


@pytest.mark.parametrize(
    ("name", "file", "kind"),
    [
        *(("left_slave", "", "state"), ("puppet_right", "", "state"), ("follower", "", "state")),
        *(("LeftMaster", "left_master.parquet", "command"), ("arm", "leader.parquet", "command")),
    ],
)
def test_the_role_may_follow_from_the_name(loader: Loader, name: str, file: str, kind: str) -> None:
    arm = f"{{name: {name}{', file: ' + file if file else ''}}}"
    config = loader.load(
        f"{REST}robot: {{arms: [{arm}]}}\nfeatures: {{action: null, observation.state: {name}}}\n"
    )
    assert config.stream(name).kind == kind


@pytest.mark.parametrize("role", ["slave", "follower", "Puppet", "SLAVE"])
def test_roles_have_several_names(loader: Loader, role: str) -> None:
    text = f"{REST}robot: {{arms: [{{name: a, role: {role}}}]}}\nfeatures: {{action: null}}\n"
    assert list(loader.load(text).features) == ["observation.state", "observation.state.slave"]


def test_without_masters_the_action_is_not_invented(loader: Loader) -> None:
    slaves = REST + "robot: {arms: [{name: a_slave}], joints_per_arm: 2}\n"
    fault = loader.faults(slaves)["robot.arms"]
    assert "no arm has the role master" in fault.message
    assert "offset_ms: -1000 / fps" in fault.message
    assert list(loader.load(slaves + "features: {action: null}\n").features) == [
        *("observation.state", "observation.state.slave")
    ]
    own = (
        "streams: [{name: next, file: a_slave.parquet, offset_ms: -40}]\n"
        "features: {action: {parts: [next], chunk: true}}\n"
    )
    config = loader.load(slaves + own)
    assert config.features["action"].parts[0].stream == "next"
    assert config.stream("next").offset_ms == -40


def test_features_of_ones_own_come_first_and_null_removes(loader: Loader) -> None:
    config = loader.load(
        REST + FOUR + "features: {action: [left_master], observation.state.master: null}\n"
    )
    assert [part.stream for part in config.features["action"].parts] == ["left_master"]
    assert "observation.state.master" not in config.features


def test_streams_of_the_same_name_add_to_an_arm(loader: Loader) -> None:
    config = loader.load(
        REST + FOUR + "streams: [{name: left_slave, unit: rad, expected_dimension: 2}]\n"
    )
    stream = config.stream("left_slave")
    assert (stream.unit, stream.file, stream.kind) == ("rad", "l.parquet", "state")
    assert len(config.streams) == 4


@pytest.mark.parametrize(
    ("robot", "key", "words"),
    [
        ("{arms: 5}", "robot.arms", "must be a list"),
        ("{arms: [5]}", "robot.arms[0]", "must be an arm with the keys name, file and role"),
        ("{arms: [{role: slave}]}", "robot.arms[0].name", "missing"),
        ("{arms: [{name: 5}]}", "robot.arms[0].name", "put it in quotes"),
        ("{arms: [{name: a_slave, file: 5}]}", "robot.arms[0].file", "must be text"),
        ("{arms: [{name: a}]}", "robot.arms[0].role", "must be slave"),
        ("{arms: [{name: a, role: slav}]}", "robot.arms[0].role", 'did you mean "slave"?'),
        ("{arms: [{name: a, role: 5}]}", "robot.arms[0].role", "must be slave"),
        ("{arms: [{name: a_slave, fil: x}]}", "robot.arms[0].fil", 'did you mean "file"?'),
        ("{joints_per_arm: seven}", "robot.joints_per_arm", "must be a whole number"),
        ("{joints_per_arm: 0}", "robot.joints_per_arm", "must be a whole number from 1"),
        ("{joints_per_arm: true}", "robot.joints_per_arm", "must be a whole number"),
        ("{arms: [{name: a_slave, file: ../x}]}", "robot.arms[0].file", 'holds the part ".."'),
        ("{arms: [{name: a_slave}, {name: a_slave}]}", "robot.arms[1].name", "is used twice"),
    ],
)
def test_what_is_wrong_with_an_arm_is_said_at_the_arm(
    loader: Loader, robot: str, key: str, words: str
) -> None:
    fault = loader.faults(REST + f"features: {{action: null}}\nrobot: {robot}\n")[key]
    assert words in fault.message
    assert fault.line == 5


def test_a_fault_of_a_later_arm_names_its_own_line(loader: Loader) -> None:
    faults = loader.faults(REST + FOUR.replace("right_slave,", "right_slave, file: /x,"))
    assert faults["robot.arms[2].file"].line == 9
    assert "is not relative" in faults["robot.arms[2].file"].message
