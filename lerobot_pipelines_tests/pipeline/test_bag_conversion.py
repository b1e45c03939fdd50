"""Bags to datasets: bytes follow from bag and configuration alone, within the memory allowed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.pipeline.aligned import align_episode
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.raw import scan_episode
from lerobot_pipelines.pipeline.videos import encode_episode
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.recordings.ros import recording
from lerobot_pipelines.recordings.ros.container import BagFile
from lerobot_pipelines.recordings.ros.survey import Survey
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.recordings_ros.bags import START_NS, Said, Types, write_ros1
from lerobot_pipelines_tests.video.recording import jpeg, texture

CONFIG = """
dataset: {name: bags, fps: 25, formats: [v2.1, v3.0]}
storage: {url: BUCKET}
streams:
  - {name: joints, topic: /joint_states, clock: header}
  - {name: command, topic: /joint_cmd, clock: header, strategy: hold}
cameras:
  - {name: cam_0, topic: /cam_0/compressed, clock: header, role: base}
  - {name: cam_1, topic: /cam_1/compressed, clock: header}
  - {name: depth, topic: /depth, clock: header, depth: true}
features: {observation.state: [joints], action: [command]}
video: {preset: ultrafast}
filtering: {max_timestamp_gap_ms: 300, gap_policy: split}
"""


def write_bag(
    path: Path,
    *,
    frames: int = 30,
    size: tuple[int, int] = (64, 48),
    cameras: int = 2,
    seed: int = 0,
) -> Path:
    """Joints at 100 Hz, commands at 5 Hz, JPEG cameras and one of depth at 25 Hz, with a hole."""
    types = Types(1)
    said = []
    for k in range(frames * 4):
        ns = START_NS + k * 10_000_000
        joints = types.joint_state(ns, np.sin(k / 20 + np.arange(3)).tolist())
        said.append(Said("/joint_states", "sensor_msgs/msg/JointState", ns + 1_000_000, joints))
        if k % 20 == 0:
            said.append(Said("/joint_cmd", "sensor_msgs/msg/JointState", ns + 2_000_000, joints))
        if k % 4 or frames * 2 <= k < frames * 2 + 40:
            continue
        for camera in range(cameras):
            data = jpeg(texture(k // 4, *size, seed=seed + camera))
            message = types.compressed(ns, data)
            stamp = ns + 20_000_000 + camera
            said.append(Said(f"/cam_{camera}/compressed", COMPRESSED, stamp, message))
        depth = (np.indices(size[::-1]).sum(axis=0) * 9 + 300 + k).astype("<u2")
        image = types.image(ns, depth.tobytes(), size, "16UC1", 2 * size[0])
        said.append(Said("/depth", "sensor_msgs/msg/Image", ns + 21_000_000, image))
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_ros1(path, sorted(said, key=lambda one: one.receive_ns), types, "lz4")


COMPRESSED = "sensor_msgs/msg/CompressedImage"


def config_for(bucket: Path, **settings: object) -> DatasetConfig:
    bucket.mkdir(parents=True, exist_ok=True)
    path = bucket / "bags.yaml"
    path.write_text(CONFIG.replace("BUCKET", bucket.as_uri()))
    return load_config(path, settings)


def digests(bucket: Path) -> dict[str, str]:
    root = bucket / "converted"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".ledger" not in path.parts  # it says when objects were written
    }


def test_the_dataset_is_the_same_for_every_chunk_size_and_number_of_workers(
    tmp_path: Path,
) -> None:
    bags = [write_bag(tmp_path / f"bags/episode_{n}.bag", seed=n) for n in range(2)]
    found = {}
    for chunk_frames, workers in ((1, 1), (7, 1), (50, 1), (100, 4), (1000, 1)):
        bucket = tmp_path / f"bucket_{chunk_frames}"
        (bucket / "raw/task").mkdir(parents=True)
        for bag in bags:
            shutil.copy(bag, bucket / "raw/task")
        summary = convert_dataset(config_for(bucket, chunk_frames=chunk_frames), workers=workers)
        assert summary.ok, summary
        assert {update.episodes for update in summary.datasets} == {4}  # two sides of each hole
        found[chunk_frames] = digests(bucket)
    assert len(found[1]) > 10
    for chunk_frames, files in found.items():
        assert files == found[1], chunk_frames


def test_steps_that_run_apart_make_the_first_pass_over_a_bag_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[object] = []

    def counted(file: BagFile, surveys: Sequence[Survey]) -> None:
        walks.append(file)
        walk(file, surveys)

    walk = recording.walk
    monkeypatch.setattr(recording, "walk", counted)
    write_bag(tmp_path / "bucket/raw/task/episode_0.bag", frames=8)
    workspace = open_workspace(config_for(tmp_path / "bucket"), cache_dir=tmp_path / "cache")
    for step in (scan_episode, align_episode, encode_episode):
        step(workspace, "task/episode_0.bag")
    assert len(walks) == 1


# Without a limit this bag's three cameras take some 460 MB.
LIMIT_MB = 450

# VmHWM begins anew with the program; getrusage's peak is inherited from the process that forked it,
# which here is the test runner.
CONVERT = """
import sys
from lerobot_pipelines.cli.program import run
code = run(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024 / 1e6, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at Linux's /proc")
def test_a_conversion_stays_below_the_memory_it_is_allowed(tmp_path: Path) -> None:
    bag = tmp_path / "bucket/raw/task/episode_0.bag"
    write_bag(bag, frames=70, size=(640, 480))
    path = config_for(tmp_path / "bucket").storage.url.removeprefix("file://") + "/bags.yaml"
    arguments = ["convert", path, "--limit-memory", str(LIMIT_MB), "--set", "video.preset=veryfast"]
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak_mb = float(done.stderr.splitlines()[-1])
    assert 100 < peak_mb < LIMIT_MB


def test_a_limit_below_the_programs_own_need_is_refused_with_the_figure(tmp_path: Path) -> None:
    write_bag(tmp_path / "raw/task/episode_0.bag", frames=4)
    with pytest.raises(ConfigError, match="raise it to 270 plus the cameras"):
        convert_dataset(config_for(tmp_path, limit_memory_mb=100))


def test_a_suggested_configuration_converts_the_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "raw/task/episode_0.bag", frames=20)
    suggested = call("inspect", bag, "--suggest-config")
    assert suggested.code == 0, suggested.stderr
    path = tmp_path / "robot.yaml"
    path.write_text(suggested.stdout)
    outcome = call(
        *("convert", path, "--output", tmp_path / "out", "--json"),
        *("--set", "video.preset=ultrafast", "--set", "filtering.gap_policy=split"),
    )
    assert outcome.code == 0, outcome.stderr
    (info,) = (tmp_path / "out").rglob("v3.0/meta/info.json")
    features = json.loads(info.read_text())["features"]
    assert {name for name, one in features.items() if one["dtype"] == "video"} == {
        *("observation.images.cam_0", "observation.images.cam_1", "observation.depth.depth"),
    }
    assert features["observation.depth.depth"]["shape"] == [48, 64, 1]


def test_inspect_shows_types_skew_and_compression(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "raw/task/episode_0.bag", frames=20)
    shown = call("inspect", bag).stdout
    assert "compression: lz4" in shown
    for word in ("sensor_msgs/JointState", "(16UC1)", "(jpeg)", "20.0 (20.0..20.0)"):
        assert word in shown


def test_inspect_lists_what_is_peculiar_and_the_topics_that_are_no_stream(tmp_path: Path) -> None:
    types = Types(1)
    stamps = [START_NS + k * 10_000_000 for k in (0, 1, 3, 2, 4, 4)]
    said = [
        Said("/joints", "sensor_msgs/msg/JointState", START_NS + k, types.joint_state(ns, (k,)))
        for k, ns in enumerate(stamps)
    ]
    point = types.make("geometry_msgs/msg/Point", 1.0, 2.0, 3.0)
    said.append(Said("/point", "geometry_msgs/msg/Point", START_NS + 100, point))
    path = write_ros1(tmp_path / "a.bag", said, types)
    config = tmp_path / "joints.yaml"
    config.write_text(
        "dataset: {name: a, fps: 10}\nstorage: {url: .}\n"
        "streams: [{name: j, topic: /joints, clock: header}, "
        "{name: p, topic: /point, clock: header}]\n"
        "features: {observation.state: [j, p]}\nalignment: {timeline: uniform}\n"
    )
    outcome = call("inspect", path, "--config", config)
    shown = outcome.stdout
    assert outcome.code == 0, outcome.stderr
    assert "j: 1 stamps that went backwards" in shown
    assert "p: recorder's stamps, because messages have no header stamp" in shown
    assert "j: fault: duplicate_stamp at whole stream" in shown
    only_joints = config.read_text().replace(", {name: p, topic: /point, clock: header}", "")
    config.write_text(only_joints.replace("[j, p]", "[j]"))
    shown = call("inspect", path, "--config", config).stdout
    assert "/point: geometry_msgs/Point, 1 message" in shown


def test_inspect_lists_the_marks_of_the_file_beside_a_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "raw/task/episode_0.bag", frames=4)
    marks = [{"startPosition": 0.25, "endPosition": 0.5, "enSkillDetail": "grasp the cup"}, "none"]
    bag.with_suffix(".json").write_text(json.dumps({"taskPrompt": "tidy up", "marks": marks}))
    shown = call("inspect", bag).stdout
    assert "task: tidy up" in shown
    assert "25.0% to 50.0%: grasp the cup" in shown
    assert "1 mark without text or place" in shown


def test_inspect_names_the_topics_of_a_bag_without_streams(tmp_path: Path) -> None:
    types = Types(1)
    text = types.make("std_msgs/msg/String", "hello")
    bag = write_ros1(
        tmp_path / "a.bag", [Said("/talk", "std_msgs/msg/String", START_NS, text)], types
    )
    outcome = call("inspect", bag)
    assert outcome.code == 3
    assert "/talk: std_msgs/String, 1 message" in outcome.stderr
