"""Synthetic truth: the barcode in each decoded picture proves that each row shows the right one.

The expected rows are found here by brute force from the recorded files, not by the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.recordings.synth import (
    SynthCamera,
    SynthSpec,
    read_barcode,
    write_recording,
)
from lerobot_pipelines_tests.conftest import demo_config

KEY = "block/episode_0007"
SLAVES = ("left_slave", "right_slave")
CAMERAS = ("cam_high", "cam_left", "cam_right")
NS_PER_US = 1000
GAP_START_S, GAP_LENGTH_S = 2.0, 1.0


@dataclass(frozen=True)
class RawCamera:
    stamps_us: np.ndarray  # sorted
    barcodes: np.ndarray  # of the picture with that stamp


@dataclass(frozen=True)
class Row:
    state: np.ndarray
    barcodes: dict[str, int]


def read_camera(folder: Path) -> RawCamera:
    files = sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))
    barcodes = [read_barcode(np.asarray(Image.open(path).convert("RGB"))) for path in files]
    return RawCamera(np.array([int(path.stem) for path in files]), np.array(barcodes))


def decoded(root: Path, camera: str) -> Iterator[np.ndarray]:
    for path in sorted(root.glob(f"videos/**/observation.images.{camera}/**/*.mp4")):
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")


def read_rows(root: Path) -> list[Row]:
    table = [
        row
        for path in sorted(root.glob("data/*/*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    seen = {camera: [read_barcode(rgb) for rgb in decoded(root, camera)] for camera in CAMERAS}
    assert {len(codes) for codes in seen.values()} == {len(table)}
    return [
        Row(np.array(row["observation.state"]), {name: seen[name][index] for name in CAMERAS})
        for index, row in enumerate(table)
    ]


def convert(bucket: Path, spec: SynthSpec, fmt: Format, **overrides: object) -> Path:
    write_recording(bucket / "raw", KEY, spec)
    # Every camera matched as it was recorded; the demo thins the faster one first.
    fixed = {"dataset.formats": [fmt], "cameras.cam_right.role": "sync"}
    config: DatasetConfig = demo_config(bucket, **{**fixed, **overrides})
    summary = convert_dataset(config)
    assert summary.ok, summary
    return bucket / "converted" / config.dataset.name / fmt


def assert_rows_are_true(rows: list[Row], raw: Path, far_ms: Mapping[str, float] = {}) -> None:
    """``far_ms``: cameras that may show a picture this far from the row instead of the nearest."""
    cameras = {name: read_camera(raw / "images" / KEY / name) for name in CAMERAS}
    arms = [pq.read_table(raw / "joints" / KEY / f"{arm}.parquet").to_pandas() for arm in SLAVES]
    for arm in arms:
        arm.columns = ["timestamps", *arm.columns[1:]]
    base = cameras["cam_high"]
    for row in rows:
        (position,) = np.flatnonzero(base.barcodes == row.barcodes["cam_high"])
        moment = base.stamps_us[position]
        for name, camera in cameras.items():
            if name in far_ms:
                (shown,) = np.flatnonzero(camera.barcodes == row.barcodes[name])
                assert abs(camera.stamps_us[shown] - moment) <= far_ms[name] * 1000
                continue
            nearest = np.argmin(np.abs(camera.stamps_us - moment))
            assert row.barcodes[name] == camera.barcodes[nearest], (name, moment)
        expected = [
            arm.iloc[np.argmin(np.abs(arm["timestamps"].to_numpy() - moment))].to_numpy()[1:]
            for arm in arms
        ]
        np.testing.assert_array_equal(row.state, np.concatenate(expected).astype(np.float32))


@pytest.mark.parametrize("fmt", list(Format))
def test_each_row_shows_the_nearest_picture_of_each_camera_and_the_nearest_joints(
    tmp_path: Path, fmt: Format
) -> None:
    spec = SynthSpec(seconds=4.0, seed=3)
    rows = read_rows(convert(tmp_path / "bucket", spec, fmt))
    assert 90 <= len(rows) <= 100
    assert_rows_are_true(rows, tmp_path / "bucket/raw")


def test_a_thinned_camera_shows_pictures_within_its_tolerance(tmp_path: Path) -> None:
    overrides = {"cameras.cam_right.role": "downsample"}
    root = convert(tmp_path / "bucket", SynthSpec(seconds=4.0, seed=8), Format.V30, **overrides)
    rows = read_rows(root)
    assert len({row.barcodes["cam_right"] for row in rows}) > 0.8 * len(rows)
    assert_rows_are_true(rows, tmp_path / "bucket/raw", far_ms={"cam_right": 40.0})


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_rows_stay_true_with_another_codec(tmp_path: Path, codec: str) -> None:
    preset = {"hevc": "fast", "av1": "10"}[codec]
    overrides = {"video.codec": codec, "video.preset": preset}
    root = convert(tmp_path / "bucket", SynthSpec(seconds=2.0, seed=4), Format.V30, **overrides)
    assert_rows_are_true(read_rows(root), tmp_path / "bucket/raw")


def test_rows_stay_true_when_cameras_drop_pictures(tmp_path: Path) -> None:
    """Single losses in every camera: rows without a picture near enough go, no other shifts."""
    cameras = (
        SynthCamera("cam_high", 25.0, drop_fraction=0.03),
        SynthCamera("cam_left", 25.0, drop_fraction=0.05),
        SynthCamera("cam_right", 30.0, drop_fraction=0.05),
    )
    spec = SynthSpec(seconds=6.0, cameras=cameras, seed=5)
    rows = read_rows(convert(tmp_path / "bucket", spec, Format.V30))
    assert 110 <= len(rows) <= 150
    assert_rows_are_true(rows, tmp_path / "bucket/raw")


def test_a_gap_splits_the_recording_into_two_true_episodes(tmp_path: Path) -> None:
    spec = SynthSpec(seconds=6.0, gap=("cam_left", GAP_START_S, GAP_LENGTH_S), seed=6)
    overrides = {"filtering.gap_policy": "split", "filtering.max_timestamp_gap_ms": 300}
    root = convert(tmp_path / "bucket", spec, Format.V30, **overrides)
    rows = read_rows(root)
    assert_rows_are_true(rows, tmp_path / "bucket/raw")
    episodes = pq.read_table(min(root.glob("meta/episodes/*/*.parquet")))
    assert len(episodes) == 2
    assert sum(episodes["length"].to_pylist()) == len(rows)
    base = read_camera(tmp_path / "bucket/raw/images" / KEY / "cam_high")
    first_us = base.stamps_us[0]
    for row in rows:
        (position,) = np.flatnonzero(base.barcodes == row.barcodes["cam_high"])
        seconds = (base.stamps_us[position] - first_us) / 1e6
        inside = GAP_START_S + 0.1 < seconds < GAP_START_S + GAP_LENGTH_S - 0.1
        assert not inside, f"a row at {seconds:.2f} s has no picture of cam_left"
