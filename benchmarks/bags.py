"""Memory and speed with bags of any size, beside reading the whole bag first.

    python benchmarks/bags.py                                         # 0.3 and 1 GB
    python benchmarks/bags.py --sizes 0.3 1 10 --most-encoded 1       # needs 45 GB of disk
    python benchmarks/bags.py --compression lz4 --json
    python benchmarks/bags.py --only "ported script"                  # some 2 minutes

A bag holds three 640x480 cameras at 28.6 Hz and joints at 200 Hz, eight pictures over and over.
Each line is a process of its own:

- ``first pass cold``: open the bag, read all numbers and look at both ends of every picture, after
  the system was asked to forget what it holds of the file;
- ``first pass``: the same again;
- ``second pass``: read every picture, in the order of the file;
- ``convert copy``: bucket to dataset with ``video.codec: copy``;
- ``convert h264``: bucket to dataset with the encoder's defaults;
- ``ffmpeg h264``: the ffmpeg program on the same JPEGs, as files, with the same settings, all
  cameras at once;
- ``ported script``: a script written around another bag reader, its import alone replaced: every
  row with its decoded pictures in a callback, 100 rows at a time;
- ``all in memory``: every message decoded by ``rosbags`` and kept, as simple converters do.

Peak memory is the process's highest resident set (VmHWM). ``x ffmpeg`` compares pictures a second;
``CPU s`` counts all threads and processes of a line, from when the modules are loaded: on a machine
that is not idle it says more than seconds do. What a conversion leaves is removed after each line.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

START_NS = 1_759_212_371_000_000_000
CAMERAS = 3
JOINT_STEP_NS = 5_000_000
PICTURE_EVERY = 7  # joint samples

CONFIG = {
    "dataset": {"name": "bag", "fps": 29, "formats": ["v3.0"]},
    "streams": [{"name": "joints", "topic": "/joint_states", "clock": "header"}],
    "cameras": [
        {"name": f"cam_{c}", "topic": f"/cam_{c}/compressed", "clock": "header"}
        for c in range(CAMERAS)
    ],
    "features": {"observation.state": ["joints"], "action": ["joints"]},
    "video": {"codec": "copy"},
}
ENCODED = ("convert h264", "ffmpeg h264")
FFMPEG = (  # the settings of ``video.codecs``
    *("-c:v", "libx264", "-crf", "23", "-preset", "medium", "-pix_fmt", "yuv420p"),
    *("-g", "10", "-keyint_min", "10", "-sc_threshold", "0", "-bf", "0"),
    *("-movflags", "+faststart"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.3, 1.0], help="GB")
    parser.add_argument("--compression", choices=["none", "lz4", "bz2"], default="none")
    parser.add_argument("--most-in-memory", type=float, default=1.0, help="GB kept at most (1)")
    parser.add_argument("--most-encoded", type=float, default=0.3, help="GB encoded at most (0.3)")
    parser.add_argument("--only", choices=list(CHILDREN), nargs="+", help="these lines alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child[0]](Path(arguments.child[1]))))
        return
    results = [line for size in arguments.sizes for line in _measure(size, arguments)]
    print(json.dumps(results, indent=2) if arguments.json else _table(results))


def _measure(size_gb: float, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    bucket = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        bag = bucket / "raw/task/recording.bag"
        bag.parent.mkdir(parents=True)
        print(f"writing {size_gb:g} GB ...", file=sys.stderr)
        write_bag(bag, size_gb * 1e9, arguments.compression)
        for name in arguments.only or CHILDREN:
            if name == "all in memory" and size_gb > arguments.most_in_memory:
                continue
            if name in ENCODED and size_gb > arguments.most_encoded:
                continue
            print(f"{name} ...", file=sys.stderr)
            command = [sys.executable, __file__, "--child", name, str(bag)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            shutil.rmtree(bucket / "converted", ignore_errors=True)
            shutil.rmtree(bucket / "work", ignore_errors=True)
            yield {"bag_gb": bag.stat().st_size / 1e9, "what": name, **found}
    finally:
        shutil.rmtree(bucket, ignore_errors=True)


def write_bag(path: Path, size: float, compression: str) -> None:
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    make = store.types
    pictures = [_jpeg(seed) for seed in range(8)]
    names = [f"joint_{joint}" for joint in range(14)]
    writer = Writer(path)
    if compression != "none":
        writer.set_compression(Writer.CompressionFormat[compression.upper()])
    joint_type, picture_type = "sensor_msgs/msg/JointState", "sensor_msgs/msg/CompressedImage"
    with writer:
        joints = writer.add_connection("/joint_states", joint_type, typestore=store)
        cameras = [
            writer.add_connection(f"/cam_{c}/compressed", picture_type, typestore=store)
            for c in range(CAMERAS)
        ]
        written = sample = 0
        while written < size:
            ns = START_NS + sample * JOINT_STEP_NS
            stamp = make["builtin_interfaces/msg/Time"](ns // 10**9, ns % 10**9)
            header = make["std_msgs/msg/Header"](sample, stamp, "base")
            position = np.sin(sample / 200 + np.arange(14.0))
            state = make[joint_type](header, names, position, np.zeros(14), np.zeros(14))
            writer.write(joints, ns, store.serialize_ros1(state, joint_type))
            for number, camera in enumerate(cameras if sample % PICTURE_EVERY == 0 else ()):
                data = pictures[(sample + number) % len(pictures)]
                image = make[picture_type](header, "jpeg", data)
                writer.write(camera, ns + number + 1, store.serialize_ros1(image, picture_type))
                written += len(data)
            sample += 1


def _jpeg(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(seed).integers(90, 120, (480, 640, 3), dtype=np.uint8)
    noise[::7] += 100
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 480, "yuvj422p"
    encoder.time_base, encoder.options = 1, {"qscale": "3"}
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuvj422p")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return np.frombuffer(b"".join(bytes(packet) for packet in packets), dtype=np.uint8)


def _first_pass(bag: Path, cold: bool = False) -> dict[str, float]:
    from lerobot_pipelines.recordings.ros import open_bag  # noqa: F401  # not what is measured

    if cold:
        _forget(bag)
    begun = _Start()
    recording = _opened(bag)
    count = sum(stream.count for stream in recording.streams.values())
    return _figures(begun, count)


def _forget(bag: Path) -> None:
    """Only what the system has written to the disk already can be forgotten."""
    with bag.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _second_pass(bag: Path) -> dict[str, float]:
    recording = _opened(bag)
    wanted = {
        name: np.arange(stream.count)
        for name, stream in recording.streams.items()
        if stream.kind == "picture"
    }
    begun = _Start()
    return _figures(begun, sum(1 for _ in recording.pictures(wanted)))


def _convert(bag: Path, codec: str = "copy") -> dict[str, float]:
    from lerobot_pipelines.config import override
    from lerobot_pipelines.pipeline.convert import convert_dataset

    settings = {"video.codec": codec, "dataset.name": f"bag_{codec}"}
    begun = _Start()
    summary = convert_dataset(override(_config(bag), settings))
    assert summary.ok, summary
    return _figures(begun, summary.episodes[0].rows * CAMERAS)


def _encode_as_files(bag: Path) -> dict[str, float]:
    """Putting the JPEGs into files first is not counted, nor is their memory."""
    recording = _opened(bag)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        folders = {f"cam_{camera}": Path(scratch) / f"cam_{camera}" for camera in range(CAMERAS)}
        for folder in folders.values():
            folder.mkdir()
        wanted = {name: np.arange(recording.streams[name].count) for name in folders}
        for picture in recording.pictures(wanted):
            (folders[picture.stream] / f"{picture.id:08}.jpg").write_bytes(picture.data)
        begun = _Start()
        running = [
            subprocess.Popen(
                [
                    *("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "image2"),
                    *("-framerate", "29", "-i", str(folder / "%08d.jpg"), *FFMPEG),
                    f"{folder}.mp4",
                ]
            )
            for folder in folders.values()
        ]
        statuses = [process.wait() for process in running]
        found = _figures(begun, sum(len(ids) for ids in wanted.values()))
        if any(statuses):
            raise SystemExit("ffmpeg failed")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest of them
    return found | {"peak_mb": peak * CAMERAS * (1 if sys.platform == "darwin" else 1024) / 1e6}


def _ported_script(bag: Path) -> dict[str, float]:
    os.environ["LEROBOT_PIPELINES_CONFIG"] = str(_config_file(bag))
    begun = _Start()
    # From here on as it was, but for the import.
    from lerobot_pipelines.bags import RosbagReader

    episode: list[Any] = []
    sums = np.zeros(3)

    def frame_callback(aligned_frame: Any, frame_idx: int) -> None:
        episode.append(aligned_frame)

    def save_callback() -> None:
        for frame in episode:
            sums[0] += frame["observation.state"]["data"].sum()
            sums[1] += frame["observation.images.cam_0"]["data"].shape[0]
        episode.clear()

    frames = RosbagReader().process_rosbag_chunked(
        bag, frame_callback, chunk_size=100, save_callback=save_callback
    )
    assert not episode and sums[1] == 480 * frames
    return _figures(begun, frames)


def _all_in_memory(bag: Path) -> dict[str, float]:
    from rosbags.highlevel import AnyReader

    begun = _Start()
    with AnyReader([bag]) as reader:
        kept = [
            (connection.topic, stamp, reader.deserialize(raw, connection.msgtype))
            for connection, stamp, raw in reader.messages()
        ]
    return _figures(begun, len(kept))


def _opened(bag: Path) -> Any:
    from lerobot_pipelines.recordings import open_recording, source_from_path

    return open_recording(source_from_path(bag), _config(bag))


def _config(bag: Path) -> Any:
    from lerobot_pipelines.config import load_config

    return load_config(_config_file(bag))


def _config_file(bag: Path) -> Path:
    import yaml

    path = bag.parents[2] / "bag.yaml"
    path.write_text(yaml.safe_dump(CONFIG | {"storage": {"url": bag.parents[2].as_uri()}}))
    return path


class _Start:
    """The moment from which seconds and CPU seconds count."""

    def __init__(self) -> None:
        self.seconds = time.monotonic()
        self.cpu_s = _cpu_s()


def _cpu_s() -> float:
    return sum(os.times()[:4])


def _figures(begun: _Start, count: int) -> dict[str, float]:
    seconds = time.monotonic() - begun.seconds
    return {
        "seconds": seconds,
        "cpu_s": _cpu_s() - begun.cpu_s,
        "items": count,
        "items_per_s": count / seconds,
        "peak_mb": _peak_bytes() / 1e6,
    }


def _peak_bytes() -> int:
    """The highest resident set since this program began, not that of the one that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024)
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


CHILDREN: dict[str, Callable[[Path], dict[str, float]]] = {
    "first pass cold": functools.partial(_first_pass, cold=True),
    "first pass": _first_pass,
    "second pass": _second_pass,
    "convert copy": _convert,
    "convert h264": functools.partial(_convert, codec="h264"),
    "ffmpeg h264": _encode_as_files,
    "ported script": _ported_script,
    "all in memory": _all_in_memory,
}


def _table(results: list[dict[str, Any]]) -> str:
    ffmpeg = {line["bag_gb"]: line["items_per_s"] for line in results if line["what"] == ENCODED[1]}
    lines = [
        f"{'bag GB':>7}  {'what':<15} {'seconds':>8} {'CPU s':>8} {'items':>9} {'items/s':>9} "
        f"{'x ffmpeg':>8} {'peak MB':>8}"
    ]
    for line in results:
        known = ffmpeg.get(line["bag_gb"]) if line["what"].startswith("convert") else None
        ratio = f"{line['items_per_s'] / known:.2f}" if known else ""
        lines.append(
            f"{line['bag_gb']:>7.2f}  {line['what']:<15} {line['seconds']:>8.2f} "
            f"{line['cpu_s']:>8.2f} {line['items']:>9,} {line['items_per_s']:>9,.0f} "
            f"{ratio:>8} {line['peak_mb']:>8,.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
