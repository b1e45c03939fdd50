"""A robot and a teleoperator for lerobot's own recording command: no hardware, countable pictures.

lerobot loads this package (``--robot.discover_packages_path``) and finds its own mock types. Each
observation has the next number in its joint, and a picture whose shade says the same. Environment:
``TEST_SAVE_S`` slows every save, ``TEST_FAIL_SAVE`` names the save (from 0) that fails on a full
disk, ``TEST_TIMES`` the file that gets the time of every observation.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.robots import Robot, RobotConfig
from lerobot.teleoperators import Teleoperator, TeleoperatorConfig

HEIGHT, WIDTH = 64, 96
JOINT = "arm.pos"
CAMERA = "front"

_counted: Counter[str] = Counter()


@RobotConfig.register_subclass("mock_robot")
@dataclass
class MockRobotConfig(RobotConfig):
    pass


@TeleoperatorConfig.register_subclass("mock_teleop")
@dataclass
class MockTeleopConfig(TeleoperatorConfig):
    pass


class _Device:
    """What lerobot asks of both."""

    name = "mock_robot"
    is_connected = False
    is_calibrated = True
    action_features = {JOINT: float}  # noqa: RUF012

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]

    def connect(self, calibrate: bool = True) -> None:
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def calibrate(self) -> None:
        pass

    def configure(self) -> None:
        pass


class MockRobot(_Device, Robot):
    config_class = MockRobotConfig
    observation_features = {JOINT: float, CAMERA: (HEIGHT, WIDTH, 3)}  # noqa: RUF012
    cameras = {CAMERA: None}  # noqa: RUF012

    def get_observation(self) -> dict[str, Any]:
        _counted["observations"] += 1
        number = _counted["observations"]
        _note(number)
        return {JOINT: float(number), CAMERA: np.full((HEIGHT, WIDTH, 3), shade(number), np.uint8)}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        return action


class MockTeleop(_Device, Teleoperator):
    name = "mock_teleop"
    config_class = MockTeleopConfig
    feedback_features: dict[str, type] = {}  # noqa: RUF012

    def get_action(self) -> dict[str, Any]:
        return {JOINT: float(_counted["observations"])}

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        pass


def shade(number: int) -> int:
    """The grey of observation ``number``: one step is more than a codec changes."""
    return 37 * number % 211 + 20


def _note(number: int) -> None:
    if (path := os.environ.get("TEST_TIMES")) is not None:
        with Path(path).open("a") as file:
            file.write(json.dumps([number, time.monotonic()]) + "\n")


def _hinder_saving() -> None:
    """Saves are slow, and one of them finds the disk full after half of its work."""
    owner: Any = LeRobotDataset
    if not hasattr(owner, "create_episode_buffer"):  # since 0.6
        from lerobot.datasets import dataset_writer

        owner = dataset_writer.DatasetWriter
    save = owner.save_episode

    def hindered(self: Any, *arguments: Any, **options: Any) -> None:
        number = _counted["saves"]
        _counted["saves"] += 1
        time.sleep(float(os.environ.get("TEST_SAVE_S", "0")))
        save(self, *arguments, **options)
        if str(number) == os.environ.get("TEST_FAIL_SAVE"):
            raise OSError(errno.ENOSPC, "No space left on device")

    # What asks for its parameters asks the original.
    hindered.__wrapped__ = save  # type: ignore[attr-defined]
    owner.save_episode = hindered


# Where lerobot looks for its mocks.
for _name in ("mock_robot", "mock_teleop"):
    sys.modules[f"tests.mocks.{_name}"] = sys.modules[__name__]
sys.modules.setdefault("tests", sys.modules[__name__])
sys.modules.setdefault("tests.mocks", sys.modules[__name__])
_hinder_saving()
