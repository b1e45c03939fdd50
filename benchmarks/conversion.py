"""How fast a whole conversion is, beside the ffmpeg program and lerobot's own recorder.

    python benchmarks/conversion.py                      # 1,000 rows, 3 repeats
    python benchmarks/conversion.py --rows 200 --repeats 1 --json

All contenders work on the same recording (``camera_like_recording``), alternating, in one run:

- ``convert h264``: this project, bucket to dataset (listing, reading, alignment, encoding,
  statistics, checks, writing v3.0), in a process of its own;
- ``ffmpeg h264``: the ffmpeg program encoding the same JPEGs with the same settings, three cameras
  at once, each with ffmpeg's own choice of threads;
- ``convert copy``: this project with ``video.codec: copy``;
- ``lerobot``: ``add_frame`` and ``save_episode`` of lerobot 0.4.4 with h264, if the environment
  variable LEROBOT_PIPELINES_LEROBOT_V30_PYTHON names its interpreter. It gets decoded pictures;
  decoding is not counted.

Process start-up and imports are reported apart. Peak memory is the process's highest resident set.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camera_like_recording import ARMS, CAMERAS, FPS, JOINTS, KEY, write_camera_like_recording

CRF, PRESET, GOP = 23, "medium", 10
LEROBOT_PYTHON = "LEROBOT_PIPELINES_LEROBOT_V30_PYTHON"


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        _convert(json.loads(sys.stdin.read()))
        return
    bucket = arguments.bucket or Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        print(f"making the recording in {bucket} ...", file=sys.stderr)
        write_camera_like_recording(bucket, arguments.rows)
        results = _measure(bucket, arguments)
    finally:
        if arguments.bucket is None:
            shutil.rmtree(bucket, ignore_errors=True)
    print(json.dumps(results, indent=2) if arguments.json else _table(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1000, help="pictures per camera (1000)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each contender (3)")
    parser.add_argument("--lerobot-rows", type=int, default=150, help="rows for lerobot (150)")
    parser.add_argument("--bucket", type=Path, help="keep the recording here for the next time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(bucket: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    contenders: dict[str, Callable[[], dict[str, float]]] = {
        "convert h264": lambda: _run_convert(bucket, "h264"),
        "ffmpeg h264": lambda: _run_ffmpeg(bucket),
        "convert copy": lambda: _run_convert(bucket, "copy"),
    }
    if os.environ.get(LEROBOT_PYTHON):
        contenders["lerobot"] = lambda: _run_lerobot(bucket, arguments.lerobot_rows)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for _ in range(arguments.repeats):
        for name, run in contenders.items():
            print(f"{name} ...", file=sys.stderr)
            runs[name].append(run())
    baseline = statistics.median(run["frames_per_s"] for run in runs["ffmpeg h264"])
    return {
        "rows": arguments.rows,
        "cameras": len(CAMERAS),
        "cores": len(os.sched_getaffinity(0)),
        "settings": {"crf": CRF, "preset": PRESET, "gop": GOP},
        "contenders": {
            name: {
                **{key: statistics.median(run[key] for run in all_runs) for key in all_runs[0]},
                "ratio_to_ffmpeg": statistics.median(run["frames_per_s"] for run in all_runs)
                / baseline,
                "all_frames_per_s": [run["frames_per_s"] for run in all_runs],
            }
            for name, all_runs in runs.items()
        },
    }


def _run_convert(bucket: Path, codec: str) -> dict[str, float]:
    """One conversion in a fresh process, from the recording to the finished dataset."""
    for output in ("work", "converted"):
        shutil.rmtree(bucket / output, ignore_errors=True)
    command = [sys.executable, __file__, "--child"]
    order = {"config": _config(bucket, codec), "spawned": time.time()}
    done = subprocess.run(
        command, input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _config(bucket: Path, codec: str) -> dict[str, Any]:
    return {
        "dataset": {"name": "bench", "fps": FPS, "formats": ["v3.0"]},
        "storage": {"url": bucket.resolve().as_uri()},
        "streams": [{"name": arm, "file": f"{arm}.parquet"} for arm in ARMS],
        "cameras": [
            {
                "name": camera,
                "role": "sync" if number else "base",
                "feature": f"observation.images.{camera}",
            }
            for number, camera in enumerate(CAMERAS)
        ],
        "features": {
            "observation.state": {"parts": [{"stream": arm} for arm in ARMS[:2]]},
            "action": {"parts": [{"stream": arm} for arm in ARMS[2:]]},
        },
        "video": {"codec": codec, "crf": CRF, "preset": PRESET, "gop": GOP},
    }


def _convert(order: dict[str, Any]) -> None:
    """What the process of its own does."""
    import av  # noqa: F401
    import pandas  # noqa: F401  (pyarrow imports it at its first conversion)
    import pyarrow.parquet  # noqa: F401

    from lerobot_pipelines.config.schema import DatasetConfig
    from lerobot_pipelines.pipeline.convert import convert_dataset

    config = DatasetConfig.model_validate(order["config"])
    begun = time.time()
    summary = convert_dataset(config)
    seconds = time.time() - begun
    (episode,) = summary.episodes
    if not summary.ok:
        raise SystemExit(f"{KEY} was not converted: {episode.message}")
    frames = episode.rows * len(CAMERAS)
    print(
        json.dumps(
            {
                "start_up_s": begun - order["spawned"],
                "seconds": seconds,
                "frames": frames,
                "frames_per_s": frames / seconds,
                "cpu_s": time.process_time(),
                "peak_rss_mb": _peak_rss_mb("self"),
            }
        )
    )


def _run_ffmpeg(bucket: Path) -> dict[str, float]:
    """The three cameras at once, as a person with a shell would."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        processes = [
            subprocess.Popen(
                _ffmpeg(bucket / "raw/images" / KEY / camera, Path(folder) / f"{camera}.mp4")
            )
            for camera in CAMERAS
        ]
        peaks = _peaks_until_done(processes)
        # os.wait4 tells what each process used; nothing else has children here.
        usage = [os.wait4(process.pid, 0) for process in processes]
        seconds = time.time() - begun
    if any(status for _, status, _ in usage):
        raise SystemExit("ffmpeg failed")
    frames = sum(len(list((bucket / "raw/images" / KEY / name).iterdir())) for name in CAMERAS)
    return {
        "start_up_s": 0.0,
        "seconds": seconds,
        "frames": frames,
        "frames_per_s": frames / seconds,
        "cpu_s": sum(used.ru_utime + used.ru_stime for _, _, used in usage),
        "peak_rss_mb": sum(peaks.values()),
    }


def _peaks_until_done(processes: list[subprocess.Popen[bytes]]) -> dict[int, float]:
    """Waits, and notes each process's peak memory in MB. A zombie has none left to tell."""
    peaks = {process.pid: 0.0 for process in processes}
    while True:
        found = {pid: _peak_rss_mb(str(pid)) for pid in peaks}
        if all(math.isnan(peak) for peak in found.values()):
            return peaks
        peaks.update({pid: peak for pid, peak in found.items() if not math.isnan(peak)})
        time.sleep(0.02)


def _ffmpeg(folder: Path, output: Path) -> list[str]:
    pictures = ["-f", "image2", "-framerate", str(FPS), "-pattern_type", "glob"]
    h264 = ["-c:v", "libx264", "-crf", str(CRF), "-preset", PRESET, "-pix_fmt", "yuv420p"]
    gop = ["-g", str(GOP), "-keyint_min", str(GOP), "-sc_threshold", "0", "-bf", "0"]
    return [
        *("ffmpeg", "-v", "error", "-nostdin", "-y", *pictures, "-i", str(folder / "*.jpg")),
        *(*h264, *gop, "-movflags", "+faststart", str(output)),
    ]


def _run_lerobot(bucket: Path, rows: int) -> dict[str, float]:
    script = Path(__file__).with_name("lerobot_recorder.py")
    order = {
        "images": str(bucket / "raw/images" / KEY),
        "cameras": CAMERAS,
        "rows": rows,
        "fps": FPS,
        "state": 2 * JOINTS,
    }
    begun = time.time()
    done = subprocess.run(
        [os.environ[LEROBOT_PYTHON], str(script)],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    result = dict(json.loads(done.stdout.splitlines()[-1]))
    result["start_up_s"] = result.pop("ready_at") - begun
    return result


def _peak_rss_mb(process: str) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _table(results: dict[str, Any]) -> str:
    lines = [
        f"{results['cameras']} cameras x {results['rows']} pictures, {results['cores']} cores, "
        f"h264 {PRESET} crf {CRF} gop {GOP}; medians",
        f"{'':14}{'start-up':>10}{'seconds':>10}{'frames':>8}{'frames/s':>10}{'min-max':>16}"
        f"{'x ffmpeg':>10}{'CPU s':>8}{'RSS MB':>8}",
    ]
    for name, one in results["contenders"].items():
        low, high = min(one["all_frames_per_s"]), max(one["all_frames_per_s"])
        spread = f"{low:.0f}-{high:.0f}"
        lines.append(
            f"{name:14}{one['start_up_s']:10.2f}{one['seconds']:10.2f}{one['frames']:8.0f}"
            f"{one['frames_per_s']:10.1f}{spread:>16}{one['ratio_to_ffmpeg']:10.2f}"
            f"{one['cpu_s']:8.1f}{one['peak_rss_mb']:8.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
