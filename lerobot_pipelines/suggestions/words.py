"""What names and message types say about a stream, before anything of it is measured."""

from __future__ import annotations

import re

# Parts of names that robots give to what is commanded rather than measured.
COMMAND_WORDS = (
    *("cmd", "command", "action", "setpoint", "target", "desired", "goal", "reference", "ref"),
    *("traj", "master", "leader"),
)
# ... and to what moves, as opposed to batteries, lasers and satellites.
ROBOT_WORDS = (
    *("joint", "arm", "hand", "finger", "claw", "gripper", "eef", "tcp", "slave", "follower"),
    *("master", "leader", "puppet", "wrist", "motor", "servo", "qpos", "torso", "waist", "airexo"),
)
# ... and to the camera that sees the whole scene, whose frames make the best rows.
SCENE_WORDS = ("high", "head", "top", "front", "main", "base", "scene", "ego", "external")
# ... and to what a camera's topic or folder is called, where its pictures cannot be read.
CAMERA_WORDS = ("image", "camera", "cam", "rgb", "color", "colour", "depth", "video")

# A word this short counts only with such an addition, or none: "leftarm", not "charming".
_SHORTEST_INSIDE = 4
_ADDED = "left|right|l|r|upper|lower|dual|robot|joint|joints|cmd|vel|pos|state|states|command"
_NO_ROBOT = frozenset({"handle", "handles", "handleless", "action_server"})

JOINT_TYPES = frozenset(
    {
        *("JointState", "JointStates", "JointTrajectory", "JointTrajectoryPoint", "JointJog"),
        *("JointTrajectoryControllerState", "DynamicJointState", "MultiDOFJointState"),
    }
)
# What robots without joints do: their places and velocities.
MOTION_TYPES = frozenset(
    {
        *("Twist", "TwistStamped", "Odometry", "Pose", "PoseStamped", "PoseWithCovariance"),
        *("PoseWithCovarianceStamped", "Pose2D", "Wrench", "WrenchStamped", "Accel"),
        *("AccelStamped", "AckermannDrive", "AckermannDriveStamped", "TwistWithCovarianceStamped"),
    }
)
# What says something of the surroundings, of the recorder, or of the robot's health.
SENSOR_TYPES = frozenset(
    {
        *("Imu", "LaserScan", "MultiEchoLaserScan", "LaserEcho", "BatteryState", "NavSatFix"),
        *("NavSatStatus", "MagneticField", "Temperature", "FluidPressure", "Illuminance"),
        *("Range", "RelativeHumidity", "TimeReference", "CameraInfo", "PointField", "PointCloud"),
        *("ChannelFloat32", "RegionOfInterest", "JoyFeedback", "Transform", "TransformStamped"),
        *("Log", "Color", "ColorRGBA", "CameraExtrinsic", "GPSFix", "Altitude", "Header"),
    }
)
# What is told now and then rather than measured: flags, modes, plans.
EVENT_TYPES = frozenset(
    {
        *("Bool", "Empty", "Path", "PoseArray", "GoalStatus", "GoalStatusArray", "GoalID"),
        *("Marker", "MarkerArray", "PolygonStamped", "OccupancyGrid"),
    }
)
# Names of fields that hold where joints are, in types of a robot's own.
POSITION_FIELDS = frozenset(
    {
        *("position", "positions", "pos", "q", "qpos", "joint_q", "joint_pos", "joint_position"),
        *("joint_positions", "joint_angles", "joints", "angle", "angles", "motor_position"),
        *("left_hand_position", "right_hand_position"),
    }
)


def has_word(name: str, words: tuple[str, ...]) -> bool:
    """Whether a part of a topic's or file's name is, or is made of, one of the words."""
    return any(_is_made_of(part, word) for part in parts_of(name) for word in words)


def parts_of(name: str) -> list[str]:
    """``/leftArm_cmd/joint2`` as ``left, arm, cmd, joint2``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [part for part in re.split(r"[^a-z0-9]+", spaced.lower()) if part]


def short_type(type_name: str) -> str:
    """``sensor_msgs/msg/JointState`` as ``JointState``."""
    return re.split(r"[/.]", type_name)[-1]


def is_standard_type(type_name: str) -> bool:
    """Whether everybody's messages of this type mean the same."""
    package = re.split(r"[/.]", type_name)[0]
    return package in ("std_msgs", "sensor_msgs", "geometry_msgs", "nav_msgs", "trajectory_msgs")


def _is_made_of(part: str, word: str) -> bool:
    if part in _NO_ROBOT:
        return False
    if len(word) >= _SHORTEST_INSIDE:
        return word in part
    return re.fullmatch(rf"({_ADDED})?{word}s?({_ADDED})?\d*", part) is not None
