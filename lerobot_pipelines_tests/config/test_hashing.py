"""A stage's hash changes exactly when the configuration of what it makes does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lerobot_pipelines.config import dump_config, load_config, override, shipped_configs
from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines_tests.config.loading import Loader

Hash = Callable[[DatasetConfig], str]
STAGES: tuple[Hash, ...] = (raw_hash, alignment_hash, video_hash, dataset_hash)


@pytest.fixture(scope="module")
def demo() -> DatasetConfig:
    return load_config(shipped_configs()["demo"])


def hashes(config: DatasetConfig) -> list[str]:
    return [stage(config) for stage in STAGES]


def test_hashes_are_64_hex_digits_and_differ_between_stages(demo: DatasetConfig) -> None:
    found = hashes(demo)
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in found)
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("first_stage", "key", "value"),
    [
        (0, "streams.left_slave.file", "other.parquet"),
        (0, "streams.left_slave.topic", "/left"),
        (0, "streams.left_slave.columns", [f"c{n}" for n in range(7)]),
        (0, "streams.left_slave.time_unit", "us"),
        (0, "streams.left_slave.offset_ms", 5),
        (0, "cameras.cam_left.folder", "other"),
        (0, "cameras.cam_left.topic", "/cam"),
        (0, "cameras.cam_left.clock", "header"),
        (0, "cameras.cam_left.rate_hz", 25),
        (0, "layout.joints", "j"),
        (0, "layout.images", "i"),
        (1, "streams.left_slave.strategy", "linear"),
        (1, "streams.left_slave.tolerance_ms", 5),
        (1, "streams.left_slave.scale", 2),
        (1, "streams.left_slave.space", "angle"),
        (1, "cameras.cam_left.tolerance_ms", 5),
        (1, "cameras.cam_left.feature", "observation.images.left"),
        (1, "cameras.cam_right.target_fps", 26),
        (1, "features.action.chunk", False),
        (1, "features.action.names_key", "motors"),
        (1, "features.observation.state.slave", None),
        (1, "alignment.strategy", "window"),
        (1, "alignment.tolerance_ms", 19),
        (1, "alignment.timeline", "uniform"),
        (1, "filtering.min_frames", 3),
        (1, "filtering.gap_policy", "split"),
        (1, "filtering.strict", True),
        (2, "video.codec", "hevc"),
        (2, "video.crf", 24),
        (2, "video.preset", "slow"),
        (2, "video.gop", 2),
        (2, "video.size", [320, 240]),
        (2, "cameras.cam_left.depth_range_m", [0, 2]),
        (3, "dataset.task", "something else"),
        (3, "dataset.robot_type", "other"),
    ],
)
def test_a_key_changes_the_hash_of_its_stage_and_of_all_later_ones(
    demo: DatasetConfig, first_stage: int, key: str, value: object
) -> None:
    before, after = hashes(demo), hashes(override(demo, {key: value}))
    assert [one != other for one, other in zip(before, after, strict=True)] == [
        stage >= first_stage for stage in range(4)
    ]


def test_the_rate_of_rows_belongs_to_alignment(demo: DatasetConfig) -> None:
    uniform = override(demo, {"alignment.timeline": "uniform"})
    slower = override(uniform, {"dataset.fps": 20})
    assert raw_hash(uniform) == raw_hash(slower)
    assert alignment_hash(uniform) != alignment_hash(slower)


@pytest.mark.parametrize(
    "overrides",
    [
        {"storage.url": "s3://elsewhere", "storage.endpoint": "https://host"},
        {"storage.raw_prefix": "in", "storage.converted_prefix": "out", "storage.work_prefix": "w"},
        {"storage.url": "s3://rec", "storage.access_key_env": "A", "storage.secret_key_env": "B"},
        {"storage.sources": ["robot_1"], "storage.transfer_threads": 3},
        {"storage.scanner.interval_s": 77, "storage.scanner.marker": "_READY"},
        {"chunk_frames": 7},
        {"video.threads": 3},
        {"dataset.formats": ["v3.0"]},
        {"dataset.chunks_size": 10, "dataset.data_files_size_in_mb": 7},
        {"dataset.video_files_size_in_mb": 7},
        {"dataset.owners": ["team:robots"], "dataset.tags": ["a"], "dataset.license": "mit"},
        {"dataset.pattern": "elsewhere/{dataset}"},
        {"dataset.name": "other"},
    ],
)
def test_places_speed_and_packaging_change_no_hash(
    demo: DatasetConfig, overrides: dict[str, object]
) -> None:
    changed = override(demo, overrides)
    assert changed != demo
    assert hashes(changed) == hashes(demo)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("demo", "6f555a16ffaf5628"),
        ("dual_arm_window", "bf4e39056a416ecb"),
        ("kuavo_4pro_claw", "1bbaab5e2d2a09ad"),
    ],
)
def test_keys_that_came_later_rebuild_no_dataset(name: str, digest: str) -> None:
    """The hash of the first version: a key left at its default is as one that does not exist."""
    assert dataset_hash(load_config(shipped_configs()[name])).startswith(digest)


def test_defaults_may_be_spelled_out(loader: Loader) -> None:
    for path in shipped_configs().values():
        config = load_config(path)
        assert hashes(load_config(loader.write(dump_config(config)))) == hashes(config)


def test_the_order_of_keys_and_the_way_numbers_are_written_have_no_meaning(
    loader: Loader,
) -> None:
    one = """\
        dataset: {name: example, fps: 25}
        storage: {url: /b}
        cameras: [{name: cam, role: base, target_fps: 25}]
        streams: [{name: a, file: a.parquet}, {name: b, file: b.parquet}]
        features: {observation.state: [a], action: [b], zeta: [a]}
        alignment: {tolerance_ms: 20, window_ms: 40}
        """
    other = """\
        alignment: {window_ms: 4e1, tolerance_ms: 20.0}
        features:
          zeta: [{stream: a}]
          action: {chunk: false, parts: [b]}
          observation.state: {parts: [{stream: a, slice: null}]}
        streams: [{file: b.parquet, name: b, scale: 1}, {file: a.parquet, name: a}]
        cameras: [{target_fps: 25.0, name: cam, role: base, folder: null}]
        storage: {url: /b}
        dataset: {fps: 25, name: example}
        """
    assert hashes(loader.load(one)) == hashes(loader.load(other))


def test_an_older_file_hashes_like_its_newer_form(loader: Loader) -> None:
    older = """\
        robot: {type: arm, arms: [{name: a_slave}, {name: a_master}], joints_per_arm: 1}
        cameras: [{name: cam, role: base, target_fps: 25}]
        input: {data_path: /b/raw}
        video: {codec: libx264}
        """
    newer = """\
        dataset: {name: other, fps: 25, robot_type: arm}
        storage: {url: /c}
        cameras: [{name: cam, role: base, target_fps: 25}]
        streams:
          - {name: a_slave, file: a_slave.parquet, expected_dimension: 1}
          - {name: a_master, file: a_master.parquet, expected_dimension: 1, kind: command}
        features:
          observation.state: [{stream: a_slave, names: [a_joint_0]}]
          observation.state.slave: [{stream: a_slave, names: [a_joint_0]}]
          observation.state.master: [{stream: a_master, names: [a_joint_0]}]
          action: {parts: [{stream: a_master, names: [a_joint_0]}], chunk: true}
        """
    assert hashes(loader.load(older)) == hashes(loader.load(newer))


def test_every_key_either_changes_a_hash_or_is_known_not_to(demo: DatasetConfig) -> None:
    """A key added to the schema must be decided on: this list is what has no part in any hash."""
    assert set(type(demo).model_fields) == {
        *("dataset", "storage", "layout", "streams", "cameras", "features", "alignment"),
        *("filtering", "video", "limits", "logging", "chunk_frames", "limit_memory_mb"),
        "workers",
    }
    hashed = {"fps", "task", "robot_type"}
    assert set(type(demo.dataset).model_fields) - hashed == {
        *("name", "formats", "pattern", "chunks_size", "data_files_size_in_mb"),
        *("video_files_size_in_mb", "license", "tags", "owners"),
    }


PINNED = {
    "dataset": {"name": "pinned", "fps": 25},
    "storage": {"url": "file:///nowhere"},
    "streams": [{"name": "arm", "topic": "/joint_states"}],
    "cameras": [
        {"name": "a", "feature": "observation.images.a"},
        {"name": "d", "feature": "observation.depth.d", "depth": True},
    ],
    "features": {"observation.state": {"parts": [{"stream": "arm"}]}},
}


def test_keys_that_came_later_leave_the_hashes_of_those_who_do_not_use_them() -> None:
    """The digests are those of the schema before any of these keys existed."""
    config = DatasetConfig.model_validate(PINNED)
    assert [digest[:16] for digest in hashes(config)] == [
        *("98acf33f0daf3c41", "9c70e2906e5422c8", "c111d8001d085269", "7a3486c3bd1c3e59"),
    ]
    limits = override(config, {"limits.picture_megapixels": 1})
    assert hashes(limits) == hashes(config)
    for key, value in (
        ("logging.file", "x.log"),
        ("workers", 4),
        ("storage.cache_dir", "/x"),
        ("storage.upload_threads", 2),
    ):
        assert hashes(override(config, {key: value})) == hashes(config)
    unit = override(config, {"cameras.d.depth_unit": "0.1mm"})
    changed = [one != other for one, other in zip(hashes(config), hashes(unit), strict=True)]
    assert changed == [False, False, True, True]
    strict = override(config, {"alignment.max_clock_offset_ms": 50.0})
    changed = [one != other for one, other in zip(hashes(config), hashes(strict), strict=True)]
    assert changed == [False, True, True, True]
