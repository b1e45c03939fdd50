"""Depth cameras: distances come back within half a step of the scale, whatever they came as."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig
from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.datasets.statistics import picture_statistics
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import DepthCoding, EncodedVideo
from lerobot_pipelines.video import contact_sheet, encode_cameras, probe
from lerobot_pipelines.video.depth import LEVELS, distances, quantise, step_m
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture

WIDTH, HEIGHT = 63, 47  # depth has no chroma: odd sizes stay
MM = DepthCoding("mm", 0.0, 10.0, 3.5)
FRAMES = 6


def scene(number: int) -> NDArray[np.uint16]:
    """0.3 to 2.6 m, with a hole of no return."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    depth: NDArray[np.uint16] = (300 + 30 * x + 5 * y + 20 * number).astype(np.uint16)
    depth[10:20, 10:20] = 0
    return depth


def as_bytes(depth: NDArray[np.uint16], encoding: str) -> bytes:
    if encoding == "32FC1":
        metres = depth.astype("<f4") / 1000
        metres[depth == 0] = np.nan
        return metres.tobytes()
    if encoding == "png":
        file = io.BytesIO()
        Image.fromarray(depth).save(file, "PNG")
        return file.getvalue()
    return depth.astype("<u2").tobytes()


def depth_config(range_m: tuple[float, float] = (0.0, 10.0), **video: Any) -> DatasetConfig:
    camera = CameraConfig(
        name="a", feature="observation.images.a", depth=True, depth_range_m=range_m
    )
    return config(**video).model_copy(update={"cameras": (camera,)})


def encode(
    pictures: list[NDArray[np.uint16]], folder: Path, encoding: str = "16UC1", **video: Any
) -> EncodedVideo:
    data = [as_bytes(picture, encoding) for picture in pictures]
    size = (pictures[0].shape[1], pictures[0].shape[0])
    recording = MemoryRecording({"a": data}, encoding=encoding, size=size)
    frames = rows({"a": range(len(data))})
    (made,) = encode_cameras(recording, frames, depth_config(**video), folder)
    return made


def read(made: EncodedVideo) -> NDArray[np.float64]:
    assert made.depth is not None
    with av.open(str(made.path)) as container:
        codes = [frame.to_ndarray(format="gray12le") for frame in container.decode(video=0)]
    return distances(np.stack(codes), made.depth)


@given(st.floats(0, 10), st.sampled_from(["mm", "m"]))
def test_a_distance_comes_back_within_half_a_step(metres: float, unit: Any) -> None:
    coding = DepthCoding(unit, 0.0, 10.0, 3.5)
    scale = 1000 if unit == "mm" else 1
    (back,) = distances(quantise(np.array([metres * scale]), unit, coding), coding) / scale
    assert abs(back - metres) <= step_m(max(metres, back), coding) * 0.5 + 1e-9


def test_the_scale_is_the_one_that_lerobot_reads() -> None:
    """Ends and middle by lerobot's formula, calculated by hand."""
    codes = np.array([0, 1, 2048, LEVELS - 1])
    ratio = np.log(13.5 / 3.5) / 4095
    expected = 3.5 * np.exp(ratio * codes) - 3.5
    np.testing.assert_allclose(distances(codes, MM), expected * 1000, atol=1e-9)
    assert quantise(np.array([0.0, 10_000.0, 60_000.0, np.nan]), "mm", MM).tolist() == [
        *(0, 4095, 4095, 0)
    ]


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1", "png"])
def test_depth_of_every_kind_stays_metric_through_the_video(encoding: str, tmp_path: Path) -> None:
    pictures = [scene(number) for number in range(FRAMES)]
    made = encode(pictures, tmp_path, encoding, codec="copy" if encoding == "png" else "h264")
    unit = "m" if encoding == "32FC1" else "mm"
    assert made.depth is not None
    assert (made.depth.unit, made.depth.nearest_m, made.depth.farthest_m) == (unit, 0.0, 10.0)
    found_mm = read(made) * (1000 if unit == "m" else 1)
    assert np.abs(found_mm - np.stack(pictures)).max() <= step_m(3.0, made.depth) * 500
    assert (found_mm[:, 10:20, 10:20] == 0).all()  # no return stays no return


def test_the_video_is_lossless_and_read_at_random(tmp_path: Path) -> None:
    made = encode([scene(number) for number in range(25)], tmp_path, gop=10)
    facts = probe(made.path)
    assert (facts.codec, facts.pix_fmt) == ("hevc", "gray12le")
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)
    assert facts.closed_gops
    assert facts.constant_rate
    assert facts.key_frames == (0, 10, 20)
    assert (made.proof.misplaced, made.proof.largest_difference) == ((), 0.0)
    assert contact_sheet(made.path).startswith(b"\xff\xd8")


def test_equal_depth_gives_equal_bytes(tmp_path: Path) -> None:
    pictures = [scene(number) for number in range(FRAMES)]
    one, other = (encode(pictures, tmp_path / name) for name in ("one", "other"))
    assert one.sha256 == other.sha256


def test_statistics_are_in_the_cameras_unit_and_of_one_channel(tmp_path: Path) -> None:
    pictures = [scene(number) for number in range(FRAMES)]
    made = encode(pictures, tmp_path)
    record = VideoRecord(
        **{name: getattr(made, name) for name in ("bytes", "sha256", "frames", "codec", "pix_fmt")},
        **{name: getattr(made, name) for name in ("width", "height", "fps", "depth")},
        key="k",
        sampled_frames=made.statistics.frames,
        histogram=made.statistics.histogram.tolist(),
    )
    found = picture_statistics(VideoRecord.model_validate_json(record.model_dump_json()))
    truth = np.stack(pictures).astype(np.float64)
    for name, expected in (
        *(("min", truth.min()), ("max", truth.max()), ("mean", truth.mean())),
        *(("std", truth.std()), ("q50", np.median(truth)), ("q01", np.quantile(truth, 0.01))),
    ):
        assert np.shape(found[name]) == (1, 1, 1)
        assert found[name][0][0][0] == pytest.approx(expected, abs=1.5), name
    assert found["count"] == [FRAMES]


def test_scaling_never_mixes_distances(tmp_path: Path) -> None:
    picture = np.where(np.arange(64) < 20, 500, 3000) * np.ones((48, 1))
    made = encode([picture.astype(np.uint16)] * 3, tmp_path, size=(30, 20))
    assert set(np.round(read(made).ravel() / 100)) == {5, 30}
    assert (made.width, made.height) == (30, 20)


def test_colours_are_no_distances(tmp_path: Path) -> None:
    recording = MemoryRecording({"a": [jpeg(texture(0))] * 2})
    with pytest.raises(Refused, match="no distances") as caught:
        encode_cameras(recording, rows({"a": range(2)}), depth_config(), tmp_path)
    assert caught.value.reason is Reason.UNSUPPORTED
    assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize(
    ("encoding", "unit", "metres_each"),
    [
        *(("16UC1", "0.1mm", 1e-4), ("16UC1", "um", 1e-6), ("16UC1", 0.00025, 0.00025)),
        *(("png", "cm", 0.01), ("32FC1", "mm", 0.001), ("32FC1", 1.0, 1.0), ("16UC1", "mm", 0.001)),
    ],
)
def test_a_unit_given_goes_before_the_encodings_own(
    encoding: str, unit: Any, metres_each: float, tmp_path: Path
) -> None:
    metres = np.linspace(0.02, 0.06, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    values = metres / metres_each
    if encoding == "32FC1":
        data = values.astype("<f4").tobytes()
    else:
        values = np.rint(values)
        data = as_bytes(values.astype(np.uint16), encoding)
    recording = MemoryRecording({"a": [data] * 3}, encoding=encoding, size=(WIDTH, HEIGHT))
    settings = depth_config()
    camera = settings.cameras[0].model_copy(update={"depth_unit": unit})
    settings = settings.model_copy(update={"cameras": (camera,)})
    (made,) = encode_cameras(recording, rows({"a": range(3)}), settings, tmp_path)
    assert made.depth is not None
    found_m = read(made) / (1000 if made.depth.unit == "mm" else 1)
    assert np.abs(found_m - values * metres_each).max() <= step_m(0.06, made.depth) * 0.5 + 1e-6
