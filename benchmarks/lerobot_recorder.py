"""Records rows with lerobot 0.4.4 as its users do. Run by ``conversion.py`` in lerobot's own
interpreter: reads an order as JSON from stdin, prints the result as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from PIL import Image


def main() -> None:
    order = json.load(sys.stdin)
    pictures = {
        camera: sorted(Path(order["images"], camera).iterdir())[: order["rows"]]
        for camera in order["cameras"]
    }
    with tempfile.TemporaryDirectory() as folder:
        dataset = LeRobotDataset.create(
            "bench/bench",
            fps=order["fps"],
            root=Path(folder, "dataset"),
            features=_features(order),
            use_videos=True,
            image_writer_threads=4 * len(order["cameras"]),
            vcodec="h264",
        )
        ready = time.time()
        decoding = 0.0
        vector = np.zeros(order["state"], dtype=np.float32)
        for row in range(order["rows"]):
            begun = time.time()
            images = {
                f"observation.images.{camera}": np.asarray(Image.open(files[row]))
                for camera, files in pictures.items()
            }
            decoding += time.time() - begun
            dataset.add_frame(
                {"observation.state": vector, "action": vector, "task": "bench", **images}
            )
        dataset.save_episode()
        dataset.finalize()
        seconds = time.time() - ready - decoding
    frames = order["rows"] * len(order["cameras"])
    status = Path("/proc/self/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    print(
        json.dumps(
            {
                "ready_at": ready,
                "seconds": seconds,
                "frames": frames,
                "frames_per_s": frames / seconds,
                "cpu_s": time.process_time(),
                "peak_rss_mb": peak_kb / 1024,
            }
        )
    )


def _features(order: dict) -> dict:
    vector = {"dtype": "float32", "shape": (order["state"],), "names": None}
    image = {
        "dtype": "video",
        "shape": (480, 640, 3),
        "names": ["height", "width", "channels"],
    }
    cameras = {f"observation.images.{camera}": image for camera in order["cameras"]}
    return {"observation.state": vector, "action": vector, **cameras}


if __name__ == "__main__":
    main()
