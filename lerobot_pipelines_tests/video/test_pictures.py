from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.video import decode_frames, encode_cameras
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, rows, texture

WIDTH, HEIGHT = 64, 48


def bayer(rgb: NDArray[np.uint8], order: str) -> NDArray[np.uint8]:
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(order):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return mosaic


def yuv422(rgb: NDArray[np.uint8], layout: str) -> bytes:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    plane = frame.reformat(format=layout, dst_colorspace=5, dst_color_range=1).planes[0]
    packed = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return packed[:HEIGHT, : WIDTH * 2].tobytes()


def with_alpha(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def raw(encoding: str, rgb: NDArray[np.uint8]) -> bytes:
    match encoding:
        case "rgb8":
            return rgb.tobytes()
        case "bgr8" | "8UC3":
            return rgb[..., ::-1].tobytes()
        case "rgba8":
            return with_alpha(rgb).tobytes()
        case "bgra8":
            return with_alpha(rgb[..., ::-1]).tobytes()
        case "rgb16":
            return (rgb.astype("<u2") * 257).tobytes()
        case "uyvy" | "yuv422":
            return yuv422(rgb, "uyvy422")
        case "yuyv" | "yuv422_yuy2":
            return yuv422(rgb, "yuyv422")
        case _:
            return bayer(rgb, encoding.removeprefix("bayer_").removesuffix("8")).tobytes()


def encode(
    data: list[bytes], folder: Path, *, encoding: str, step: int | None = None, **video: Any
) -> list[NDArray[np.uint8]]:
    recording = MemoryRecording({"a": data}, encoding=encoding, size=(WIDTH, HEIGHT), step=step)
    frames = rows({"a": range(len(data))})
    (made,) = encode_cameras(recording, frames, config(crf=4, **video), folder)
    return list(decode_frames(made.path, range(made.frames)))


def error(frame: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    return float(np.abs(frame.astype(int) - expected).mean())


@pytest.mark.parametrize(
    "encoding",
    [
        *("rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "rgb16"),
        *("uyvy", "yuv422", "yuyv", "yuv422_yuy2"),
        *("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"),
    ],
)
def test_raw_layouts_keep_their_colours(encoding: str, tmp_path: Path) -> None:
    frames = encode([raw(encoding, texture(2))] * 2, tmp_path, encoding=encoding)
    limit = 8 if encoding.startswith("bayer") else 4
    assert error(frames[0], texture(2)) < limit


@pytest.mark.parametrize(("encoding", "dtype"), [("mono8", "<u1"), ("mono16", "<u2")])
def test_raw_grey_is_grey(encoding: str, dtype: str, tmp_path: Path) -> None:
    grey = texture(2)[..., 0]
    samples = grey.astype(dtype) * (257 if dtype == "<u2" else 1)
    frames = encode([samples.tobytes()] * 2, tmp_path, encoding=encoding)
    assert error(frames[0], np.stack([grey] * 3, axis=-1)) < 4


def test_padding_between_rows_is_no_picture(tmp_path: Path) -> None:
    step = WIDTH * 3 + 20
    padded = np.full((HEIGHT, step), 255, np.uint8)
    padded[:, : WIDTH * 3] = texture(1).reshape(HEIGHT, -1)
    data = padded.tobytes()[:-20]  # the last row's padding is often left out
    assert error(encode([data] * 2, tmp_path, encoding="rgb8", step=step)[1], texture(1)) < 4


def test_raw_pictures_that_are_too_short_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="64x48 pixels of step 192") as refusal:
        encode([texture(0).tobytes()[:-1]], tmp_path, encoding="rgb8")
    assert refusal.value.reason is Reason.CORRUPT_PICTURE


def test_unknown_layouts_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"'nv99'; known are jpeg, png, .*rgb8") as refusal:
        encode([b"1234"], tmp_path, encoding="nv99")
    assert refusal.value.reason is Reason.UNSUPPORTED


def png(pixels: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_png_pictures_keep_their_colours(tmp_path: Path) -> None:
    frames = encode([png(texture(k)) for k in range(3)], tmp_path, encoding="png")
    assert [error(frame, texture(k)) < 4 for k, frame in enumerate(frames)] == [True] * 3


@pytest.mark.parametrize("encoding", ["16UC1", "png"])
def test_metric_depth_is_refused_instead_of_losing_its_low_byte(
    encoding: str, tmp_path: Path
) -> None:
    depth = np.full((HEIGHT, WIDTH), 1500, np.uint16)
    data = png(depth) if encoding == "png" else depth.tobytes()
    with pytest.raises(Refused, match="metric depth"):
        encode([data], tmp_path, encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "encoder", "options"),
    [
        ("h264", "libx264", {"tune": "zerolatency", "x264-params": "keyint=10:repeat-headers=1"}),
        ("hevc", "libx265", {"x265-params": "keyint=10:bframes=0:repeat-headers=1:log-level=none"}),
    ],
)
def test_packets_of_a_video_topic_show_the_rows_they_belong_to(
    encoding: str, encoder: str, options: dict[str, str], tmp_path: Path
) -> None:
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.options = {"crf": "4", **options}
    packets: list[bytes] = []
    for k in range(25):
        frame = av.VideoFrame.from_ndarray(texture(k), format="rgb24")
        frame.pts = k
        packets += [bytes(packet) for packet in context.encode(frame)]
    packets += [bytes(packet) for packet in context.encode(None)]
    recording = MemoryRecording({"a": packets}, encoding=encoding)
    shown = [7, 7, 8, 14, 23, 24]
    (video,) = encode_cameras(recording, rows({"a": shown}), config(crf=4), tmp_path)
    assert recording.asked == [{"a": list(range(25))}]  # those before are needed to decode
    for number, frame in zip(shown, decode_frames(video.path, range(6)), strict=True):
        errors = [error(frame, texture(other)) for other in range(25)]
        assert int(np.argmin(errors)) == number


def test_packets_in_bt709_become_bt601(tmp_path: Path) -> None:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.colorspace, context.color_range = Fraction(1, 30), 1, 1
    context.options = {"crf": "4", "tune": "zerolatency", "x264-params": "repeat-headers=1"}
    red = np.broadcast_to(np.array([220, 30, 40], np.uint8), (HEIGHT, WIDTH, 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(red), format="rgb24")
    converted = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
    packets = [bytes(p) for p in [*context.encode(converted), *context.encode(None)]]
    (shown,) = encode(packets, tmp_path, encoding="h264")
    assert np.abs(shown.astype(int) - red).max() <= 6


def test_packets_cannot_be_copied_as_jpegs(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"is png, .*set video.codec: h264"):
        encode([png(texture(0))], tmp_path, encoding="png", codec="copy")
