from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from PIL import Image

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.video import encode_cameras, probe
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture


def copy(pictures: list[bytes], folder: Path) -> list[bytes]:
    """The packets of the mp4 that the pictures become."""
    frames = rows({"a": range(len(pictures))})
    (video,) = encode_cameras(
        MemoryRecording({"a": pictures}), frames, config(codec="copy"), folder
    )
    with av.open(str(video.path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_cameras_jpegs_are_in_the_mp4_byte_for_byte(subsampling: int, tmp_path: Path) -> None:
    pictures = [jpeg(texture(k), subsampling=subsampling) for k in range(12)]
    assert copy(pictures, tmp_path) == pictures


def test_grey_jpegs_can_be_copied(tmp_path: Path) -> None:
    pictures = [jpeg(texture(k)[..., 0]) for k in range(3)]
    assert copy(pictures, tmp_path) == pictures


def test_bytes_after_the_end_of_a_jpeg_stay(tmp_path: Path) -> None:
    pictures = [jpeg(texture(k)) + bytes(k) for k in range(3)]
    assert copy(pictures, tmp_path) == pictures


def test_the_file_says_that_its_range_is_full(tmp_path: Path) -> None:
    copy([jpeg(texture(k)) for k in range(3)], tmp_path)
    facts = probe(next(tmp_path.rglob("*.mp4")))
    assert facts.color_range == 2
    assert facts.pix_fmt == "yuvj420p"


def test_progressive_jpegs_are_refused_with_the_remedy(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(texture(1)).save(file, "JPEG", progressive=True)
    with pytest.raises(
        Refused, match=r"picture 1 .* no baseline JPEG.*set video.codec: h264"
    ) as no:
        copy([jpeg(texture(0)), file.getvalue()], tmp_path)
    assert no.value.reason is Reason.UNSUPPORTED


def test_a_changing_chroma_sampling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="chroma sampling"):
        copy([jpeg(texture(0)), jpeg(texture(1), subsampling=0)], tmp_path)
