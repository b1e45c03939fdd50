"""Files in the field's existing key names load unchanged."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.schema import DatasetConfig, Format, Strategy, TimelineKind
from lerobot_pipelines.errors import PipelineWarning
from lerobot_pipelines_tests.config.loading import Loader

# What such files hold: the robot's file, and the bucket's.
ROBOT = """\
robot:
  type: "dual_arm"
  arms:
    - name: "left_slave"
      file: "left_slave.parquet"
      role: "slave"
    - name: "left_master"
      file: "left_master.parquet"
      role: "master"
    - name: "right_slave"
      file: "right_slave.parquet"
      role: "slave"
    - name: "right_master"
      file: "right_master.parquet"
      role: "master"
  joints_per_arm: 7

cameras:
  - name: "cam_left_wrist"
    role: "base"
    target_fps: 25
  - name: "cam_right_wrist"
    role: "sync"
    target_fps: 25
  - name: "cam_env"
    role: "downsample"
    target_fps: 25

input:
  data_path: "./recordings/pick_task"
  images_path: "./recordings/pick_task"

output:
  base_path: "./lerobot_datasets"
  dataset_name: "dual_arm_pick"
  pattern: "{strategy}/{dataset}"

alignment:
  strategy: "chunking"
  chunk_size: 10
  padding_mode: "repeat"
  tolerance_ms: 20
  window_ms: 20
  aggregation: "median"

filtering:
  min_duration_sec: 0.5
  max_duration_sec: 300.0
  min_frames: 10
  require_all_cameras: true
  max_timestamp_gap_ms: 100

video:
  fps: 25
  codec: "libx264"
  crf: 28
  preset: "fast"
"""
BUCKET = """\
bos:
  endpoint: "https://s3.bj.bcebos.com"
  bucket: "recordings"
  paths:
    raw_data_prefix: "raw_datas/"
    converted_prefix: "converted_datas/"
  scanner:
    interval: 120
    incremental_key: "bos:last_scanned_key"
    min_episode_files: 10
  download:
    temp_dir: "${DOWNLOADS_NOT_SET}"
    batch_size: 100
    concurrent: 8
    retries: 3
  upload:
    parallel_uploads: 4

sources:
  - robot_1
  - robot_2
"""
QUEUE = """\
redis:
  host: "localhost"
  password: "${REDIS_PASSWORD_NOT_SET}"
worker: {max_workers: 2}
logging: {level: INFO}
conversion:
  strategy: "chunking"
  config_template: "config/strategies/chunking.yaml"
"""


def quietly(path: Path) -> DatasetConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PipelineWarning)
        return load_config(path)


def warned(path: Path) -> tuple[DatasetConfig, str]:
    with pytest.warns(PipelineWarning) as caught:
        config = load_config(path)
    assert len(caught) == 1  # one for the file, not one per key
    return config, str(caught[0].message)


def test_a_robots_file_loads_unchanged_and_without_a_warning(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(loader.folder)
    config = quietly(loader.write(ROBOT))
    assert config.dataset.name == "dual_arm_pick"
    assert config.dataset.robot_type == "dual_arm"
    assert config.dataset.fps == 25
    assert config.dataset.pattern == "{strategy}/{dataset}"
    assert config.storage.url == loader.folder.as_uri()
    assert config.storage.raw_prefix == "recordings/pick_task"
    assert config.storage.converted_prefix == "lerobot_datasets"
    assert config.storage.work_prefix == "lerobot_datasets_work"
    assert (config.layout.joints, config.layout.images) == ("joints", "images")
    assert [stream.name for stream in config.streams] == [
        *("left_slave", "left_master", "right_slave", "right_master")
    ]
    assert config.alignment.strategy is Strategy.CHUNKING
    assert config.alignment.chunk_size == 10
    assert config.alignment.aggregation == "median"
    assert config.filtering.max_timestamp_gap_ms == 100
    assert config.filtering.max_duration_sec == 300
    assert (config.video.codec, config.video.crf, config.video.preset) == ("h264", 28, "fast")


def test_robot_and_bucket_in_one_file_load_and_say_what_has_no_effect(loader: Loader) -> None:
    config, warning = warned(loader.write(ROBOT + BUCKET + QUEUE))
    storage = config.storage
    assert storage.url == "s3://recordings"
    assert storage.endpoint == "https://s3.bj.bcebos.com"
    assert storage.region == "bj"
    assert (storage.access_key_env, storage.secret_key_env) == ("BOS_ACCESS_KEY", "BOS_SECRET_KEY")
    assert (storage.raw_prefix, storage.converted_prefix) == ("raw_datas", "converted_datas")
    assert storage.scanner.interval_s == 120
    assert storage.scanner.min_episode_files == 10
    assert storage.transfer_threads == 8
    assert storage.upload_threads == 4
    assert storage.cache_dir is None  # its variable is not set
    assert config.workers == 2
    assert config.logging.level == "INFO"
    assert storage.sources == ("robot_1", "robot_2")
    for key in (
        *("redis", "conversion.config_template", "bos.scanner.incremental_key"),
        *("bos.download.batch_size", "bos.download.retries"),
        *("input.data_path", "input.images_path", "output.base_path"),
    ):
        assert f", {key}: " in warning
    assert "line 74, redis: " not in warning
    assert f"line {(ROBOT + BUCKET).count(chr(10)) + 1}, redis: " in warning


def test_the_section_may_be_called_s3(loader: Loader) -> None:
    text = """\
        robot: {arms: [{name: a_slave}, {name: a_master}], joints_per_arm: 6}
        cameras: [{name: cam, role: base, target_fps: 30}]
        output: {dataset_name: one_arm}
        s3:
          endpoint: http://localhost:9000
          region: us-east-1
          bucket: s3://robots
          access_key: ${EXAMPLE_ID_NOT_SET}
          secret_key: ${EXAMPLE_KEY_NOT_SET}
        """
    config = quietly(loader.write(text))
    assert config.storage.url == "s3://robots"
    assert config.storage.region == "us-east-1"
    assert config.storage.access_key_env == "EXAMPLE_ID_NOT_SET"
    assert config.storage.secret_key_env == "EXAMPLE_KEY_NOT_SET"


def test_both_names_of_the_bucket_at_once_are_a_fault(loader: Loader) -> None:
    faults = loader.faults(ROBOT + "bos: {bucket: one}\ns3: {bucket: two}\n")
    assert "keep one" in faults["s3"].message


def test_a_bucket_section_without_bucket_is_a_fault(loader: Loader) -> None:
    assert "add the key bucket" in loader.faults(ROBOT + "s3: {region: x}\n")["s3"].message


def test_new_and_older_keys_may_be_mixed(loader: Loader) -> None:
    config = quietly(
        loader.write(ROBOT + "dataset: {formats: [v2.1, v3.0], task: pick, fps: 25}\n")
    )
    assert config.dataset.formats == (Format.V21, Format.V30)
    assert config.dataset.name == "dual_arm_pick"


@pytest.mark.parametrize(
    ("new", "older", "line"),
    [
        ("dataset: {fps: 30}", "video.fps", "  fps: 25"),
        ("dataset: {name: other}", "output.dataset_name", "  dataset_name:"),
        ("dataset: {robot_type: other}", "robot.type", "  type:"),
        ("dataset: {pattern: other}", "output.pattern", "  pattern:"),
        ("storage: {raw_prefix: other}", "input.data_path", "  data_path:"),
        ("storage: {converted_prefix: other}", "output.base_path", "  base_path:"),
        ("sources: [a]\nstorage: {sources: [b]}", "sources", "sources:"),
        ("conversion: {strategy: nearest}", "conversion.strategy", "conversion:"),
    ],
)
def test_older_and_newer_keys_that_disagree_are_a_fault(
    loader: Loader, new: str, older: str, line: str
) -> None:
    text = f"{ROBOT}{new}\n"
    faults = loader.faults(text)
    assert "contradicts" in faults[older].message
    assert "keep one of them" in faults[older].message
    lines = text.splitlines()
    assert lines[(faults[older].line or 0) - 1].startswith(line)


def test_the_label_of_a_video_does_not_hide_the_cameras_rate(loader: Loader) -> None:
    config, warning = warned(loader.write(ROBOT.replace("fps: 25\n  codec", "fps: 30\n  codec")))
    assert config.dataset.fps == 25
    assert "video.fps: is 30, but the base camera's target_fps is 25" in warning


def test_the_label_of_a_video_counts_where_the_cameras_rate_is_not_given(loader: Loader) -> None:
    text = ROBOT.replace('role: "base"\n    target_fps: 25', 'role: "base"')
    assert quietly(loader.write(text.replace("target_fps: 25", "target_fps: 30"))).dataset.fps == 25


def test_an_older_file_without_roles_and_places_needs_the_place_only(loader: Loader) -> None:
    text = """\
        robot:
          type: "dual_arm"
          arms:
            - {name: "left_slave", file: "left_slave.parquet"}
            - {name: "left_master", file: "left_master.parquet"}
          joints_per_arm: 7
        cameras:
          - {name: "cam_left", role: "base", target_fps: 25}
        alignment: {strategy: "window", window_ms: 20}
        """
    faults = loader.faults(text)
    assert list(faults) == ["storage"]
    path = loader.write(text, "dual-arm window.yaml")
    config = load_config(path, {"storage.url": "/bucket"})
    assert config.dataset.name == "dual_arm_window"
    assert list(config.features) == [
        *("observation.state", "observation.state.master", "observation.state.slave", "action")
    ]


def test_a_dataset_name_that_dagster_refuses_still_names_the_folder(loader: Loader) -> None:
    text = ROBOT.replace('  pattern: "{strategy}/{dataset}"\n', "")
    config, warning = warned(loader.write(text.replace("dual_arm_pick", "dual-arm pick v1.0")))
    assert config.dataset.name == "dual_arm_pick_v1_0"
    assert config.dataset.pattern == "dual-arm pick v1.0"
    assert "output.dataset_name" in warning


@pytest.mark.parametrize(
    ("given", "sources", "pattern"),
    [
        ("./sets/{source}/{episode_id}_{strategy}", "[r1]", "{source}/{episode_id}_{strategy}"),
        ("sets/{source}/{episode}", "[r1, r2]", "{source}/{episode_id}"),
        ("{source}/{episode_id}_{strategy}", "[local, bos]", "local/{episode_id}_{strategy}"),
        ("{source}_{episode}", "[]", "local_{episode_id}"),
        ("{dataset_name}_{robot_type}_{source}", "[local, bos]", "{dataset}_{robot}"),
        ("./sets/{source}/{dataset_name}", "[r1, r2]", "{dataset}"),
        ("sets/all", "[r1, r2]", "all"),
    ],
)
def test_a_pattern_means_what_it_meant(
    loader: Loader, given: str, sources: str, pattern: str
) -> None:
    text = ROBOT.replace("{strategy}/{dataset}", given) + f"sources: {sources}\n"
    config = load_with_any_warning(loader.write(text))
    assert config.dataset.pattern == pattern
    assert config.storage.converted_prefix.endswith(
        "sets" if "sets/" in given else "lerobot_datasets"
    )


def load_with_any_warning(path: Path) -> DatasetConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PipelineWarning)
        return load_config(path)


def test_kinds_of_store_are_no_sources(loader: Loader) -> None:
    config, warning = warned(loader.write(ROBOT + "sources: [local, bos, {name: robot_1}]\n"))
    assert config.storage.sources == ("robot_1",)
    assert "sources: bos, local, s3 name kinds of store" in warning


@pytest.mark.parametrize(
    ("given", "codec"),
    [
        *(("libx264", "h264"), ("H264", "h264"), ("avc1", "h264"), ("libx265", "hevc")),
        *(("h265", "hevc"), ("libsvtav1", "av1"), ("mjpeg", "copy"), ("AV1", "av1")),
    ],
)
def test_codecs_have_their_usual_names(loader: Loader, given: str, codec: str) -> None:
    assert quietly(loader.write(ROBOT.replace("libx264", given))).video.codec == codec


def test_a_codec_without_an_equal_says_which_there_are(loader: Loader) -> None:
    fault = loader.faults(ROBOT.replace("libx264", "mp4v"))["video.codec"]
    assert "known are h264, hevc, av1, copy" in fault.message


def test_a_number_as_preset_is_taken(loader: Loader) -> None:
    text = ROBOT.replace("libx264", "libsvtav1").replace('"fast"', "8")
    assert quietly(loader.write(text)).video.preset == "8"


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("robot: {joint_per_arm: 7}", "robot.joint_per_arm", "joints_per_arm"),
        ("input: {data_pth: x}", "input.data_pth", "data_path"),
        ("output: {dataset_nam: x}", "output.dataset_nam", "dataset_name"),
        ("s3: {bucket: rec, endpont: x}", "s3.endpont", "endpoint"),
        ("bos: {bucket: rec, paths: {raw_prefix: x}}", "bos.paths.raw_prefix", "raw_data_prefix"),
        ("bos: {bucket: rec, scanner: {intervall: 1}}", "bos.scanner.intervall", "interval"),
        ("bos: {bucket: rec, download: {concurent: 1}}", "bos.download.concurent", "concurrent"),
        ("bos: {bucket: rec, upload: {max_retrys: 1}}", "bos.upload.max_retrys", "max_retries"),
        ("conversion: {stratgy: x}", "conversion.stratgy", "strategy"),
    ],
)
def test_typos_in_older_sections_name_the_nearest_key(
    loader: Loader, text: str, key: str, near: str
) -> None:
    assert f'did you mean "{near}"?' in loader.faults(f"{text}\n")[key].message


@pytest.mark.parametrize("section", ["robot", "input", "output", "bos", "s3", "conversion"])
def test_a_section_that_holds_no_keys_is_a_fault(loader: Loader, section: str) -> None:
    faults = loader.faults(f"{section}: [1]\n")
    assert faults[section].message == "must be a section of keys, not a list"


def test_the_bucket_of_several_robots_alone_says_where_the_robot_is(loader: Loader) -> None:
    faults = loader.faults(BUCKET + QUEUE)
    assert "put that file's keys into this one" in faults["conversion.config_template"].message


def test_timeline_may_stand_at_the_top(loader: Loader) -> None:
    config = quietly(loader.write(ROBOT + "timeline: uniform\n"))
    assert config.alignment.timeline is TimelineKind.UNIFORM


def test_what_a_legacy_file_resolves_to_reads_back_equal(loader: Loader) -> None:
    from lerobot_pipelines.config import dump_config

    config = quietly(loader.write(ROBOT))
    assert quietly(loader.write(dump_config(config), "resolved.yaml")) == config
