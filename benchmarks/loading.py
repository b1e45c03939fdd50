"""How fast training data loads, beside lerobot's own dataset class.

    python benchmarks/loading.py                       # h264 and copy, rows and windows
    python benchmarks/loading.py --rows 300 --epochs 2 --codecs h264

One dataset per codec (three cameras of 640x480, made by this project's conversion), read by every
contender behind a DataLoader with the same settings (batch size, workers, prefetch, persistent
workers), each in a fresh process, one after the other:

- ``ours full``: every item anywhere, as a plain shuffle has it;
- ``ours local``: stretches of episodes, mixed (``shuffle="local"``);
- ``lerobot pyav`` and ``lerobot torchcodec``: ``LeRobotDataset`` 0.4.4 with a random sampler, if
  LEROBOT_PIPELINES_LEROBOT_V30_PYTHON names its interpreter.

``rows`` are single rows; ``windows`` have two pictures a camera and 16 actions. All give float32
pictures. ``items/s`` is the median epoch without the first, which starts the workers; processor
time counts all processes, and says more on a busy machine; memory is the most that all processes
together held in each epoch (PSS: pages that they share count once). It takes about seven minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from camera_like_recording import ARMS, CAMERAS, FPS, write_camera_like_recording
from loading_lerobot import measure

LEROBOT_PYTHON = "LEROBOT_PIPELINES_LEROBOT_V30_PYTHON"
OURS = ("ours full", "ours local")
THEIRS = ("lerobot pyav", "lerobot torchcodec")
FEATURES = [f"observation.images.{camera}" for camera in CAMERAS]


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        _load(json.loads(sys.stdin.read()))
        return
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        results = [
            result
            for codec in arguments.codecs
            for result in _measure(
                _dataset(folder / codec, codec, arguments.rows), codec, arguments
            )
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=2) if arguments.json else _table(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=400, help="rows of the dataset (400)")
    parser.add_argument("--items", type=int, default=96, help="items of an epoch (96)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each contender (5)")
    parser.add_argument("--batch", type=int, default=8, help="batch size (8)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (2)")
    parser.add_argument("--codecs", nargs="+", default=["h264", "copy"], choices=["h264", "copy"])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _dataset(folder: Path, codec: str, rows: int) -> Path:
    from lerobot_pipelines.config import load_config
    from lerobot_pipelines.pipeline.convert import convert_dataset

    print(f"making the dataset ({codec}) ...", file=sys.stderr)
    write_camera_like_recording(folder, rows)
    config: dict[str, Any] = {
        "dataset": {"name": "bench", "fps": FPS, "formats": ["v3.0"]},
        "storage": {"url": folder.resolve().as_uri()},
        "streams": [{"name": arm, "file": f"{arm}.parquet"} for arm in ARMS],
        "cameras": [
            {"name": camera, "role": "sync" if number else "base", "feature": FEATURES[number]}
            for number, camera in enumerate(CAMERAS)
        ],
        "features": {"observation.state": [ARMS[0]], "action": [ARMS[-1]]},
        "video": {"codec": codec},
    }
    path = folder / "bench.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    summary = convert_dataset(load_config(path))
    assert summary.ok, summary
    return folder / "converted/bench/v3.0"


def _measure(root: Path, codec: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    contenders = [*OURS, *(THEIRS if os.environ.get(LEROBOT_PYTHON) else ())]
    windows: dict[str, list[float]] = {key: [-3 / FPS, 0.0] for key in FEATURES}
    windows["action"] = [step / FPS for step in range(16)]
    results = []
    for access, deltas in (("rows", {}), ("windows", windows)):
        for name in contenders:
            print(f"{codec} {access}: {name} ...", file=sys.stderr)
            order = {
                "name": name,
                "root": str(root),
                "deltas": deltas,
                "backend": name.rpartition(" ")[2],
                "items": arguments.items,
                "epochs": arguments.epochs,
                "loader": {
                    "batch_size": arguments.batch,
                    "num_workers": arguments.workers,
                    "persistent_workers": arguments.workers > 0,
                },
            }
            found = _child(name, order)
            later = {key: values[1:] or values for key, values in found.items()}
            results.append(
                {
                    "codec": codec,
                    "access": access,
                    "contender": name,
                    "items_per_s": statistics.median(later["items_per_s"]),
                    "cpu_ms_per_item": statistics.median(later["cpu_ms_per_item"]),
                    "epochs": found,
                }
            )
    return results


def _child(name: str, order: dict[str, Any]) -> dict[str, Any]:
    here = Path(__file__).parent
    command = [sys.executable, str(here / "loading.py"), "--child"]
    environment = dict(os.environ)
    if name in THEIRS:
        command = [os.environ[LEROBOT_PYTHON], "-W", "ignore", str(here / "loading_lerobot.py")]
        environment |= {"HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command,
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _load(order: dict[str, Any]) -> None:
    from lerobot_pipelines.loading import (
        KeyConfig,
        LoadingConfig,
        make_interleave_dataset,
        make_loader,
    )

    keys = {
        key: KeyConfig(delta_timestamps=tuple(order["deltas"][key]) if order["deltas"] else None)
        for key in [*FEATURES, "action"]
    }
    keys["observation.state"] = KeyConfig()
    dataset = make_interleave_dataset(
        [order["root"]],
        LoadingConfig(keys=keys),
        shuffle=order["backend"],
        epoch_items=order["items"],
    )
    print(
        json.dumps(
            measure(make_loader(dataset, **order["loader"]), order["epochs"], order["items"])
        )
    )


def _table(results: list[dict[str, Any]]) -> str:
    head = ("codec", "access", "contender", "items/s", "CPU ms/item", "MB in each epoch")
    lines = ["{:6} {:8} {:19} {:>8} {:>12}   {}".format(*head)]
    lines += [
        f"{one['codec']:6} {one['access']:8} {one['contender']:19} {one['items_per_s']:8.1f} "
        f"{one['cpu_ms_per_item']:12.1f}   "
        + " ".join(f"{mb:5.0f}" for mb in one["epochs"]["memory_mb"])
        for one in results
    ]
    return "\n".join([*lines, *_verdicts(results)])


def _verdicts(results: list[dict[str, Any]]) -> list[str]:
    """How much faster than the faster of lerobot's two, and how far memory rose after epoch 2."""
    lines = []
    for codec, access in dict.fromkeys((one["codec"], one["access"]) for one in results):
        group = {o["contender"]: o for o in results if (o["codec"], o["access"]) == (codec, access)}
        others = [group[name]["items_per_s"] for name in THEIRS if name in group]
        for name in OURS:
            memory = group[name]["epochs"]["memory_mb"]
            rise = memory[-1] / memory[min(1, len(memory) - 1)] - 1
            told = f", {group[name]['items_per_s'] / max(others):.1f} x lerobot" if others else ""
            lines.append(f"{codec} {access} {name}: memory {rise:+.0%} since epoch 2{told}")
    return lines


if __name__ == "__main__":
    main()
