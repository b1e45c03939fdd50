"""Record with EpisodeRecorder in a control loop of one's own; needs no robot.

    python -m lerobot_pipelines.recorder.example recordings            # raw episodes
    python -m lerobot_pipelines.recorder.example recordings --lerobot  # a LeRobot dataset

Raw episodes are for ``convert`` and the sensor; the dataset is finished when the program ends.

Replace ``picture`` and ``joints`` by what reads the cameras and arms.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recorder import EpisodeRecorder, LerobotOutput

CAMERAS = ("cam_high", "cam_left")
RATE_HZ = 30


def picture(camera: int, tick: int) -> NDArray[np.uint8]:
    """uint8 (240, 320, 3): a shade that moves."""
    row = (np.arange(320) + 5 * tick + 90 * camera) % 256
    return np.broadcast_to(row[None, :, None], (240, 320, 3)).astype(np.uint8)


def joints(arm: int, tick: int) -> NDArray[np.float64]:
    """Seven angles in rad."""
    angles: NDArray[np.float64] = np.sin(tick / RATE_HZ + np.arange(7) + arm)
    return angles


def record_take(recorder: EpisodeRecorder, task: str, seconds: float) -> None:
    recorder.start_episode(task)
    begun = time.perf_counter()
    for tick in range(round(seconds * RATE_HZ)):
        time.sleep(max(0.0, begun + tick / RATE_HZ - time.perf_counter()))
        stamp_ns = time.time_ns()
        for k, camera in enumerate(CAMERAS):
            recorder.add(camera, stamp_ns, picture(k, tick))
        recorder.add("follower", stamp_ns, joints(0, tick))
        recorder.add("leader", stamp_ns, joints(1, tick))
    recorder.end_episode("save")  # or "discard"; the next take may begin at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--takes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--lerobot", action="store_true", help="write a LeRobot dataset")
    options = parser.parse_args()
    output = LerobotOutput(fps=RATE_HZ, cameras=CAMERAS, state=["follower"], action=["leader"])
    with EpisodeRecorder(options.folder, output=output if options.lerobot else None) as recorder:
        for _ in range(options.takes):
            record_take(recorder, "wave", options.seconds)
        recorder.wait()
        print(recorder.status())
    print(output.folder(options.folder) if options.lerobot else options.folder)


if __name__ == "__main__":
    main()
