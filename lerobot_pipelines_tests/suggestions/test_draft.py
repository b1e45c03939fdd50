"""What becomes of a stream in a suggestion, by its name, its type and its times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import CameraRole, Strategy, TimelineKind
from lerobot_pipelines.suggestions.draft import draft_of
from lerobot_pipelines.suggestions.words import COMMAND_WORDS, ROBOT_WORDS, has_word
from lerobot_pipelines_tests.suggestions.made_up import candidates, drafted, stream, suggested

HEAD = "/head/image_raw"


def test_commands_make_the_action_and_measurements_the_state() -> None:
    _, config = suggested(stream(HEAD), stream("/joint_states"), stream("/joint_cmd"))
    assert {key: [part.stream for part in one.parts] for key, one in config.features.items()} == {
        "observation.state": ["joint_states"],
        "action": ["joint_cmd"],
    }
    assert [camera.role for camera in config.cameras] == [CameraRole.BASE]
    assert config.dataset.formats == ("v2.1", "v3.0")
    assert config.dataset.task == "stack"


@pytest.mark.parametrize(
    "name",
    [
        *("/arm/setpoint", "/arm_traj", "/joint_reference", "/target_joints", "/desiredJoints"),
        *("/goal_joint", "/cmd_arm", "/master_arm/joints", "/leader/joint_states", "/arm/command"),
    ],
)
def test_commands_are_found_under_their_common_names(name: str) -> None:
    draft = drafted(stream(HEAD), stream("/joint_states"), stream(name))
    assert [one.candidate.name for one in draft.commands] == [name]


@pytest.mark.parametrize("name", ["/alarm_state", "/charm", "/reforestation", "/army"])
def test_a_short_word_inside_another_is_none(name: str) -> None:
    assert not has_word(name, ("arm", "ref", "cmd"))


def test_words_are_found_in_any_spelling() -> None:
    assert has_word("/leftArm/q", ROBOT_WORDS) and has_word("armLeft", ROBOT_WORDS)
    assert has_word("/robot/cmdVel", COMMAND_WORDS) and has_word("/CMD", COMMAND_WORDS)


def test_without_a_command_the_text_says_so() -> None:
    text, config = suggested(stream(HEAD), stream("/joint_states"))
    assert config.features["action"] == config.features["observation.state"]
    assert "No stream looks like a command: the action repeats the measured state." in text


def test_what_is_no_joint_and_no_picture_of_use_is_left_out_with_its_reason() -> None:
    text, config = suggested(
        stream(HEAD),
        stream("/head/image_depth_colored", encoding="jpeg"),
        stream("/battery", type="sensor_msgs/BatteryState"),
        stream("/gps", 1.0, type="sensor_msgs/NavSatFix"),
        stream("/arm", type="sensor_msgs/msg/JointState"),
        stream("/once_image", 1.0, 1.0),
    )
    assert [camera.topic for camera in config.cameras] == [HEAD]
    assert [one.topic for one in config.streams] == ["/arm"]
    for left_out in (
        *("/battery: a sensor", "/gps: a sensor", "/once_image: it holds a single picture"),
        "/head/image_depth_colored: distances painted",
    ):
        assert left_out in text


def test_depth_is_kept_metric_and_makes_no_rows() -> None:
    _, config = suggested(
        stream("/head/depth/image_raw", encoding="16UC1", is_depth=True),
        stream("/wrist/image_raw/compressed", encoding="jpeg"),
        stream("/joint_states"),
    )
    depth, colour = config.cameras
    assert (depth.feature, depth.depth, depth.role) == (
        *("observation.depth.head_depth", True, CameraRole.SYNC),
    )
    assert (colour.feature, colour.role) == ("observation.images.wrist", CameraRole.BASE)


@pytest.mark.parametrize(
    ("rate_hz", "fps", "timeline"),
    [(30.1, 30, "base"), (29.5, 30, "uniform"), (19.8, 20, "uniform"), (24.9, 25, "base")],
)
def test_rows_follow_the_camera_only_where_its_rate_is_the_label(
    rate_hz: float, fps: int, timeline: str
) -> None:
    _, config = suggested(stream(HEAD, rate_hz), stream("/joint", 100.0))
    assert config.dataset.fps == fps
    assert config.alignment.timeline == TimelineKind(timeline)


def test_a_slow_stream_widens_its_own_tolerance_alone() -> None:
    _, config = suggested(stream(HEAD), stream("/joint_states", 100.0), stream("/claw", 10.0))
    assert config.alignment.tolerance_ms == 20.0
    assert [one.tolerance_ms for one in config.streams] == [None, 75.0]


def test_a_state_slower_than_the_rows_can_follow_holds() -> None:
    _, config = suggested(stream(HEAD), stream("/joint_states", 100.0), stream("/claw", 2.5))
    assert config.streams[1].strategy is Strategy.HOLD
    assert config.streams[1].max_age_ms == pytest.approx(1200.0)
    assert config.dataset.fps == 30


def test_a_command_that_is_told_now_and_then_holds_and_may_be_missing() -> None:
    flag = stream("/gripper_cmd", 0.7, dimension=1)
    _, config = suggested(stream(HEAD), stream("/joint_states", 100.0), flag)
    command = config.streams[1]
    assert (command.strategy, command.required, command.kind) == (Strategy.HOLD, False, "command")
    assert command.max_age_ms >= 10_000


def test_a_measured_state_of_the_same_thing_stands_in_for_a_late_command() -> None:
    late = stream("/claw_command", 0.5, 4.0, start_s=5.0, dimension=2)
    _, config = suggested(
        *(stream(HEAD), stream("/joint_states", 100.0), stream("/claw_state", 30.0, dimension=2)),
        late,
    )
    (part,) = config.features["action"].parts
    assert (part.stream, part.fallback) == ("claw_command", "claw_state")


def test_a_late_command_that_nothing_stands_in_for_is_left_out_with_the_reason() -> None:
    late = stream("/plan_cmd_arm", 0.5, 4.0, start_s=5.0, dimension=3)
    text, config = suggested(stream(HEAD), stream("/joint_states", 100.0), late)
    assert [one.topic for one in config.streams] == ["/joint_states"]
    assert "a command that begins 5.0 s after /head/image_raw" in text


def test_a_command_sent_only_while_somebody_moves_is_no_measurement() -> None:
    traj = stream("/arm_traj", 100.0, keep=lambda s: (s < 1.0) | (s > 8.0))
    draft = drafted(stream(HEAD), stream("/joint_states", 100.0), traj)
    (command,) = draft.commands
    assert command.hold_ms is not None and not command.is_required
    assert command.fallback is not None or command.candidate.report.start_ns > 0


def test_a_driven_base_has_its_velocity_as_action() -> None:
    _, config = suggested(
        stream(HEAD),
        stream("/joint_states", 50.0, type="sensor_msgs/JointState"),
        stream("/cmd_vel", 20.0, dimension=6, type="geometry_msgs/Twist"),
        stream("/odom", 50.0, dimension=13, type="nav_msgs/Odometry"),
    )
    assert [part.stream for part in config.features["action"].parts] == ["cmd_vel"]
    assert [part.stream for part in config.features["observation.state"].parts] == ["joint_states"]


def test_without_cameras_rows_lie_on_a_grid() -> None:
    text, config = suggested(stream("/joint_states", 19.8), stream("/joint_cmd", 19.8))
    assert config.alignment.timeline is TimelineKind.UNIFORM
    assert config.dataset.fps == 20
    assert config.cameras == () and "No camera" in text


def test_without_joints_there_are_pictures_alone() -> None:
    text, config = suggested(stream(HEAD), stream("/imu", 100.0, type="sensor_msgs/Imu"))
    assert config.features == {} and config.streams == ()
    assert "/imu: a sensor" in text and "pictures alone" in text


def test_nothing_steady_is_no_suggestion() -> None:
    assert draft_of(candidates(stream("/once", 1.0, 1.0), stream("/mode", 0.2))) is None


def test_joints_by_name_are_asked_for_by_name() -> None:
    names = tuple(f"joint{n}" for n in range(7))
    text, config = suggested(
        *(stream(HEAD), stream("/joint_states", 50.0, names=names)),
    )
    # Only messages that list names themselves can be asked by name; this one's type cannot.
    assert config.streams[0].joint_names is None
    assert "joint_names" not in text


def test_each_set_of_joints_of_a_topic_is_a_stream_asked_for_by_name() -> None:
    arm, fingers = ("j1", "j2", "j3"), ("finger_l", "finger_r")
    _, config = suggested(
        stream(HEAD),
        stream("/joint_states[1]", 50.0, dimension=3, names=arm, topic="/joint_states"),
        stream("/joint_states[2]", 50.0, dimension=2, names=fingers, topic="/joint_states"),
    )
    assert [(one.topic, one.joint_names) for one in config.streams] == [
        ("/joint_states", arm),
        ("/joint_states", fingers),
    ]
    assert len(config.features["observation.state"].parts) == 2


def test_a_slow_camera_beside_fast_ones_is_left_out() -> None:
    text, config = suggested(stream(HEAD), stream("/map/image", 1.0), stream("/joint_states"))
    assert [camera.topic for camera in config.cameras] == [HEAD]
    assert "/map/image: a camera of 1.00 Hz, too slow beside the others" in text


def test_a_camera_slower_than_the_rows_has_a_tolerance_of_its_own() -> None:
    _, config = suggested(stream(HEAD), stream("/wrist/image", 10.0), stream("/joint_states"))
    assert [camera.tolerance_ms for camera in config.cameras] == [None, 75.0]


def test_names_that_shorten_alike_are_told_apart() -> None:
    _, config = suggested(
        *(stream("/a/cam/image_raw"), stream("/b/a/cam/image_raw/compressed")),
        *(stream("/robot 1/arm\n"), stream("/robot.1/arm")),
    )
    names = [one.name for one in (*config.cameras, *config.streams)]
    assert len(set(names)) == 4


def test_a_name_cannot_leave_its_comment() -> None:
    text, config = suggested(
        *(stream(HEAD), stream("/joint_states")),
        stream("/x\nstorage: {url: /etc}\x1b[2J\u202e", 0.1, type="sensor_msgs/Imu"),
    )
    assert config.storage.raw_prefix == "raw"
    assert "\x1b" not in text and "\u202e" not in text and "\nstorage: {url: /etc}" not in text


def test_the_bucket_is_not_tied_to_this_machine() -> None:
    text, _ = suggested(stream(HEAD), stream("/joint_states"))
    assert "url: ${LEROBOT_PIPELINES_BUCKET:-.}" in text
    assert "file:" not in text and "/nowhere" not in text


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_any_mixture_of_streams_passes_its_own_check(seed: int) -> None:
    chance = np.random.default_rng(seed)
    words = ["arm", "joint", "cmd", "goal", "imu", "odom", "claw", "traj", "x", "image", "depth"]
    types = ["sensor_msgs/JointState", "geometry_msgs/Twist", "std_msgs/Bool", "a_msgs/State"]
    streams = [
        stream(
            f"/{n}/" + "_".join(chance.choice(words, 2)),
            float(chance.choice([0.3, 1.0, 5.0, 19.8, 30.0, 250.0])),
            start_s=float(chance.choice([0.0, 0.0, 4.0])),
            dimension=int(chance.integers(1, 9)),
            type=str(chance.choice(types)),
            encoding=str(chance.choice(["jpeg", "16UC1", "png"])),
        )
        for n in range(int(chance.integers(1, 9)))
    ]
    if draft_of(candidates(*streams)) is not None:
        suggested(*streams)  # raises where the configuration is not sound
