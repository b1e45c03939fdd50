"""One rule for a picture, whatever it lies in."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Picture, Recording
from lerobot_pipelines.pictures import ENCODINGS, UnreadablePicture, encoding_of
from lerobot_pipelines.pictures import read_picture_header as header_of
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines.video.pictures import PictureDecoder
from lerobot_pipelines_tests.recordings.folders import Folder
from lerobot_pipelines_tests.recordings.folders import config as folder_config
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    write_mcap,
    write_ros1,
    write_ros2,
)

FORMATS = {
    "JPEG": ("jpeg", ".jpg"),
    "PNG": ("png", ".png"),
    "BMP": ("bmp", ".bmp"),
    "TIFF": ("tiff", ".tif"),
    "WEBP": ("webp", ".webp"),
    "PPM": ("pnm", ".ppm"),
}
MODES = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "L", "RGBA", "I;16"), "TIFF": ("RGB", "I;16", "F")}


def encoded(kind: str, size: tuple[int, int], seed: int, mode: str = "RGB", **more: Any) -> bytes:
    width, height = size
    random = np.random.default_rng(seed)
    if mode in ("I;16", "F"):
        values = random.integers(0, 60_000, (height, width))
        image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        pixels = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, bytes]:
    """A picture, whole or spoiled in one of the ways that recorders spoil them."""
    kind = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(MODES.get(kind, ("RGB",))))
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    data = encoded(kind, size, draw(st.integers(0, 99)), mode)
    tail = draw(st.integers(0, 3000))
    junk = np.random.default_rng(tail).integers(1, 255, tail, dtype=np.uint8).tobytes()
    cut = data[: draw(st.integers(0, len(data)))]
    how = draw(st.sampled_from(("whole", "cut", "zeros", "junk", "cut and zeros", "cut and junk")))
    return FORMATS[kind][1], {
        "whole": data,
        "cut": cut,
        "zeros": data + bytes(tail),
        "junk": data + junk,
        "cut and zeros": cut + bytes(tail),
        "cut and junk": cut + junk,
    }[how]


def accepted(recording: Recording) -> list[tuple[bytes, str]]:
    """Every picture that is handed over, and what its decoding gives."""
    ids = np.arange(recording.streams["cam"].count)
    return [(p.data, decoded(p)) for p in recording.pictures({"cam": ids})]


def decoded(picture: Picture) -> str:
    try:
        (one,) = PictureDecoder().decode(picture)
    except Refused as refusal:
        return str(refusal.reason)
    return f"{one.frame.format.name} {one.frame.width}x{one.frame.height} {one.orientation}"


def in_every_container(
    pictures: list[tuple[str, bytes]], root: Path
) -> dict[str, list[tuple[bytes, str]]]:
    folder = Folder(root / "folder")
    for k, (suffix, data) in enumerate(pictures):
        folder.picture("cam", f"{START_NS // 1000 + 40_000 * k}{suffix}", data)
    tolerant = {"filtering": {"max_corrupt_fraction": 1.0}}
    found = {"folder": accepted(folder.open(folder_config(streams=(), **tolerant)))}
    for name, ros, write in (
        *(("a.bag", 1, write_ros1), ("a.mcap", 2, write_mcap), ("a", 2, write_ros2)),
    ):
        types = Types(ros)
        said = []
        for k, (_, data) in enumerate(pictures):
            ns = START_NS + 40_000_000 * k
            said.append(
                Said("/cam", "sensor_msgs/msg/CompressedImage", ns, types.compressed(ns, data, ""))
            )
        path = write(root / name, said, types)
        recording = open_recording(source_from_path(path), config_of(camera()))
        found[name] = accepted(recording)
        recording.close()
    return found


@settings(max_examples=15, deadline=None)
@given(st.lists(spoiled(), min_size=1, max_size=6))
def test_folders_and_bags_give_the_same_verdict(pictures: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        found = in_every_container([*pictures, (".png", encoded("PNG", (4, 4), 1))], Path(root))
    by_itself = [data for _, data in pictures if encoding_of(data).encoding]
    for container, kept in found.items():
        assert kept == found["folder"], container
        assert [data for data, _ in kept[:-1]] == by_itself, container


@settings(max_examples=60)
@given(spoiled())
def test_a_jpeg_is_whole_exactly_if_its_scan_ends(one: tuple[str, bytes]) -> None:
    """Against a reader that goes through the file byte by byte."""
    _, data = one
    if not data.startswith(b"\xff\xd8\xff"):
        return
    assert bool(encoding_of(data).encoding) == slow_end(data)


def slow_end(data: bytes) -> bool:
    at, in_scan = 2, False
    while at + 1 < len(data):
        if in_scan:
            if data[at] == 0xFF and data[at + 1] == 0xD9:
                return True
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        in_scan = data[at + 1] == 0xDA
        at += 2 if in_scan else 2 + length
    return False


@pytest.mark.parametrize("kind", sorted(FORMATS))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_colours_are_the_same_as_pillows(kind: str, mode: str) -> None:
    if kind == "WEBP":  # lossy, and always in colours
        data = encoded(kind, (31, 17), 5, mode, lossless=True)
    else:
        data = encoded(kind, (31, 17), 5, mode)
    encoding = encoding_of(data).encoding
    assert encoding == FORMATS[kind][0]
    (one,) = PictureDecoder().decode(Picture("cam", 0, 0, data, encoding))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    found = one.frame.to_ndarray(format="rgb24").astype(int)
    assert found.shape == expected.shape
    if kind != "JPEG":  # whose colours are told elsewhere
        assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "F")])
def test_one_channel_of_more_than_8_bits_is_distances(kind: str, mode: str) -> None:
    data = encoded(kind, (9, 5), 3, mode)
    (one,) = PictureDecoder().decode(Picture("cam", 0, 0, data, encoding_of(data).encoding))
    assert one.is_depth
    values = one.frame.to_ndarray()
    assert np.array_equal(values, np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_pictures_own_orientation_is_told_in_every_format(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(kind, (12, 8), 2, exif=exif)
    (one,) = PictureDecoder().decode(Picture("cam", 0, 0, data, encoding_of(data).encoding))
    assert one.orientation == orientation


def large(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header claims another size."""
    data = bytearray(encoded(kind, (8, 8), 1))
    if kind == "JPEG":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif kind == "PNG":
        data[16:24] = struct.pack(">II", width, height)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif kind == "PPM":
        data = bytearray(b"P6\n%d %d\n255\n" % (width, height) + bytes(64))
    return bytes(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@given(st.sampled_from(["JPEG", "PNG", "BMP", "PPM"]), st.integers(0, 65535), st.integers(0, 65535))
@settings(max_examples=60)
def test_a_size_that_the_bytes_cannot_hold_is_never_decoded(
    kind: str, width: int, height: int
) -> None:
    data = large(kind, width, height)
    try:
        header = header_of(data, FORMATS[kind][0], max_pixels=1_000_000)
    except UnreadablePicture:
        return
    assert header.width * header.height <= 1_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_claim_of_900_million_pixels_is_refused_with_little_memory(kind: str) -> None:
    import tracemalloc

    data = large(kind, 30_000, 30_000)
    tracemalloc.start()
    with pytest.raises(Refused) as caught:
        list(PictureDecoder().decode(Picture("cam", 3, 0, data, FORMATS[kind][0])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "30000x30000" in caught.value.message
    assert peak < 1_000_000


def test_a_true_picture_above_the_limit_names_the_key() -> None:
    data = encoded("PNG", (200, 100), 1)
    with pytest.raises(Refused, match=r"limits\.picture_megapixels allows 0\.01") as caught:
        list(PictureDecoder(10_000).decode(Picture("cam", 0, 0, data, "png")))
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"GIF89a", "a GIF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x00\x00\x00\x01\x67", "packets of a video"),
        (b"<html>", "a text"),
        (b"\x01\x02\x03", r"begins with"),
    ],
)
def test_what_is_no_picture_is_named(start: bytes, name: str) -> None:
    verdict = encoding_of(start + bytes(100))
    assert verdict.fault in ("not_a_picture", "lfs_pointer")
    assert name in verdict.detail


def test_every_encoding_has_a_decoder() -> None:
    assert set(ENCODINGS) == {encoding for encoding, _ in FORMATS.values()}
