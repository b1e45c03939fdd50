"""How late a 30 Hz control loop runs while episodes are saved: every way of saving in one run.

Three cameras of 640x480, takes one right after the other; two earlier ones are being saved when the
first tick is due. Each way runs in a process of its own. The ways with lerobot need its
interpreter:

    python benchmarks/recording.py --lerobot /path/to/lerobot-0.4.4/bin/python --seconds 10
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lerobot_pipelines.recorder.loop import LoopTimes, Recording

OURS = ("idle", "in place", "EpisodeRecorder", "EpisodeRecorder, h264", "LocalRecorder (threads)")
LEROBOT = (
    "lerobot image writer",
    "lerobot streaming",
    "lerobot image writer, saved asynchronously",
)
# The promises, of ``EpisodeRecorder`` with either kind of pictures.
JUDGED = ("EpisodeRecorder", "EpisodeRecorder, h264")
MOST_LATE_P99_MS = 2.0  # beyond the idle loop's
LONGEST_PAUSE_MS = 50.0
EARLIER = 2
PROJECT = Path(__file__).resolve().parents[1]


def main() -> None:
    options = _options()
    if options.way:
        print(json.dumps(_measured(options)))
        return
    ways = OURS + (LEROBOT if options.lerobot else ())
    load = os.getloadavg()[0]
    found = {way: _in_a_process(way, options) for way in ways}
    report = {
        "cpus": os.cpu_count(),
        "load_before": round(load, 2),
        "takes": options.takes,
        "seconds": options.seconds,
        "ways": {way: one["summary"] for way, one in found.items()},
    }
    report["verdict"] = _verdict(report["ways"])
    if options.plot:
        _plot(found, options.plot)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(
        f"{options.takes} takes of {options.seconds:g} s, load {load:.1f} on {os.cpu_count()} CPUs"
    )
    names = list(report["ways"]["idle"])
    print(f"{'':46}" + "".join(f"{name.removesuffix('_ms'):>12}" for name in names))
    for way, summary in report["ways"].items():
        print(f"{way:46}" + "".join(f"{summary[name]:12g}" for name in names))
    print("ms; cost: of recording one tick; every picture was looked for on the disk")
    for line in report["verdict"]:
        print(line)


def _verdict(ways: dict[str, dict[str, float]]) -> list[str]:
    """The promises, kept or not."""
    lines = []
    for way in JUDGED:
        late = ways[way]["late_p99_ms"] - ways["idle"]["late_p99_ms"]
        kept = "kept" if late < MOST_LATE_P99_MS else "MISSED"
        lines.append(
            f"{kept}: {way}: p99 lateness {late:.2f} ms beyond idle (goal: < {MOST_LATE_P99_MS:g})"
        )
        pause = ways[way]["pause_max_ms"]
        kept = "kept" if pause < LONGEST_PAUSE_MS else "MISSED"
        lines.append(
            f"{kept}: {way}: longest pause between takes {pause:.1f} ms "
            f"(goal: < {LONGEST_PAUSE_MS:g})"
        )
        lines.append(f"kept: {way}: no frame lost; {ways[way]['missed']:g} ticks missed")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lerobot", help="an interpreter with lerobot 0.4.4")
    parser.add_argument("--takes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, help="also draw the lateness of every tick")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(way: str, options: argparse.Namespace) -> dict[str, Any]:
    interpreter = options.lerobot if way in LEROBOT else sys.executable
    command = [interpreter, __file__, "--way", way]
    command += ["--takes", str(options.takes), "--seconds", str(options.seconds)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "SVT_LOG": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=1800
    )
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
    from lerobot_pipelines.recorder.local_recorder import LocalRecorder
    from lerobot_pipelines.recorder.loop import Idle, InBackground, InPlace, run_loop

    def run(recording: Recording) -> LoopTimes:
        return run_loop(recording, takes=options.takes, seconds=options.seconds, earlier=EARLIER)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "recordings")
        if options.way == "idle":
            times = run(Idle())
        elif options.way == "in place":
            times = run(InPlace(root, "bench"))
        elif options.way in OURS:
            kind = EpisodeRecorder if options.way in JUDGED else LocalRecorder
            pictures = "h264" if options.way.endswith("h264") else "jpeg"
            with kind(root, pictures=pictures) as recorder:
                background = InBackground(recorder, "bench")
                times = run(background)
                recorder.wait()
            _check_frames(root, background.keys, times, options)
        else:
            with_lerobot = WithLerobot(root, options.way)
            times = run(with_lerobot)
            with_lerobot.finish()
    return {"summary": times.summary(), "times": asdict(times)}


def _check_frames(
    root: Path, keys: list[str], times: LoopTimes, options: argparse.Namespace
) -> None:
    """No tick that recorded may be missing on the disk."""
    from lerobot_pipelines.recorder.loop import CAMERAS

    recorded = sum(_pictures_in(root / key / "images" / name) for key in keys for name in CAMERAS)
    ticks = len(times.late_ms) - times.missed
    expected = ticks // options.takes * (options.takes + EARLIER) * len(CAMERAS)
    if recorded != expected:
        raise SystemExit(f"{expected} pictures were recorded and {recorded} are on the disk")


def _pictures_in(folder: Path) -> int:
    import pyarrow.parquet as pq

    stamps = folder / "stamps.parquet"
    return pq.read_metadata(stamps).num_rows if stamps.exists() else len(list(folder.iterdir()))


class WithLerobot:
    """lerobot's own recording, and the same with its episodes saved asynchronously."""

    def __init__(self, root: Path, way: str) -> None:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        from lerobot_pipelines.recorder import enable_async_saving
        from lerobot_pipelines.recorder.loop import ARMS, CAMERAS, JOINTS

        state = {"dtype": "float32", "shape": (len(ARMS) * JOINTS,), "names": None}
        picture = {"shape": (480, 640, 3), "names": ["height", "width", "channels"]}
        cameras = {f"observation.images.{name}": {"dtype": "video", **picture} for name in CAMERAS}
        self._is_async = way.endswith("asynchronously")
        self._dataset = LeRobotDataset.create(
            "bench/bench",
            fps=30,
            root=root,
            features={"observation.state": state, "action": state, **cameras},
            image_writer_threads=4 * len(CAMERAS),
            streaming_encoding=way == "lerobot streaming",
            vcodec="h264",
        )
        if self._is_async:
            enable_async_saving(self._dataset)

    def begin(self) -> None:
        pass

    def tick(self, number: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        import numpy as np

        from lerobot_pipelines.recorder.loop import joints

        state = np.concatenate(list(joints(number).values())).astype(np.float32)
        frame = {f"observation.images.{name}": picture for name, picture in pictures.items()}
        self._dataset.add_frame(
            {"observation.state": state, "action": state, "task": "bench", **frame}
        )

    def end(self) -> None:
        if self._is_async:
            self._dataset.save_episode_async()
        else:
            self._dataset.save_episode()

    def finish(self) -> None:
        if self._is_async:
            self._dataset.wait_for_async_saves()
            failed = [one for one in self._dataset.get_async_save_results() if not one.success]
            if failed:
                raise SystemExit(f"not saved: {failed}")
            self._dataset.disable_async_saving()
        self._dataset.finalize()


def _plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    sys.path.insert(0, str(PROJECT))
    from lerobot_pipelines.cli.commands.record_demo import plot_lateness
    from lerobot_pipelines.recorder.loop import LoopTimes

    plot_lateness({way: LoopTimes(**one["times"]) for way, one in found.items()}, path)


if __name__ == "__main__":
    main()
