from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Picture
from lerobot_pipelines.video import decode_frames, encode_cameras, probe
from lerobot_pipelines_tests.video.recording import (
    FPS,
    MemoryRecording,
    config,
    jpeg,
    rows,
    texture,
)

COUNT = 33
CODECS = {"h264": "h264", "hevc": "hevc", "av1": "av1", "copy": "mjpeg"}


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return [jpeg(texture(number)) for number in range(COUNT)]


def nearest(frame: NDArray[np.uint8], count: int = COUNT, seed: int = 0) -> int:
    """The number of the source picture that a decoded frame shows."""
    distances = [
        np.abs(frame.astype(int) - texture(number, seed=seed)).mean() for number in range(count)
    ]
    return int(np.argmin(distances))


@pytest.mark.parametrize("codec", CODECS)
def test_every_row_is_one_frame_at_its_exact_time_in_closed_groups(
    codec: str, jpegs: list[bytes], tmp_path: Path
) -> None:
    frames = rows({"a": range(COUNT)})
    (video,) = encode_cameras(MemoryRecording({"a": jpegs}), frames, config(codec=codec), tmp_path)
    facts = probe(video.path)
    assert (video.frames, facts.frames) == (COUNT, COUNT)
    assert facts.fps == FPS and facts.first_pts == 0 and facts.constant_rate
    assert facts.closed_gops
    assert facts.key_frames == tuple(range(0, COUNT, 1 if codec == "copy" else 10))
    assert video.codec == facts.codec == CODECS[codec]
    assert not facts.has_audio
    assert [nearest(frame) for frame in decode_frames(video.path, range(COUNT))] == list(
        range(COUNT)
    )


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_the_stream_says_limited_range_and_bt601(
    codec: str, jpegs: list[bytes], tmp_path: Path
) -> None:
    frames = rows({"a": range(12)})
    (video,) = encode_cameras(MemoryRecording({"a": jpegs}), frames, config(codec=codec), tmp_path)
    facts = probe(video.path)
    assert (facts.color_range, facts.color_space) == (1, 6)


def test_decoding_a_random_frame_never_needs_more_than_one_group(
    jpegs: list[bytes], tmp_path: Path
) -> None:
    frames = rows({"a": range(COUNT)})
    (video,) = encode_cameras(MemoryRecording({"a": jpegs}), frames, config(gop=4), tmp_path)
    with av.open(str(video.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    assert [packet.is_keyframe for packet in packets] == [k % 4 == 0 for k in range(COUNT)]
    assert all(packet.pts == packet.dts for packet in packets)  # no B-frames to wait for


@pytest.mark.parametrize("fps", [10, 25, 29, 30, 60])
def test_frame_times_are_exact_at_every_rate(fps: int, jpegs: list[bytes], tmp_path: Path) -> None:
    frames = rows({"a": range(12)}, fps=fps)
    (video,) = encode_cameras(MemoryRecording({"a": jpegs}), frames, config(), tmp_path)
    with av.open(str(video.path)) as container:
        stream = container.streams.video[0]
        times = [packet.pts * stream.time_base for packet in container.demux(stream) if packet.size]
        assert stream.average_rate == fps
    assert times == [Fraction(k, fps) for k in range(12)]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "copy"])
def test_bytes_do_not_depend_on_the_chunk_size(
    codec: str, jpegs: list[bytes], tmp_path: Path
) -> None:
    frames = rows({"a": range(COUNT), "b": [k // 2 for k in range(COUNT)]})
    recording = MemoryRecording({"a": jpegs, "b": jpegs})
    digests = [
        [
            video.sha256
            for video in encode_cameras(
                recording, frames, config(codec=codec, chunk_frames=chunk), tmp_path / str(chunk)
            )
        ]
        for chunk in (1, 7, 100)
    ]
    assert digests[0] == digests[1] == digests[2]


@pytest.mark.parametrize("codec", ["h264", "copy"])
def test_a_picture_of_several_rows_is_asked_once_and_shown_in_each(
    codec: str, jpegs: list[bytes], tmp_path: Path
) -> None:
    shown = [2, 2, 3, 7, 7, 7, 8, 20]
    recording = MemoryRecording({"a": jpegs})
    (video,) = encode_cameras(recording, rows({"a": shown}), config(codec=codec), tmp_path)
    assert recording.asked == [{"a": [2, 3, 7, 8, 20]}]
    assert [nearest(frame) for frame in decode_frames(video.path, range(8))] == shown
    assert video.details["repeated_frames"] == 3


def test_each_segment_is_a_video_of_its_own_from_zero(jpegs: list[bytes], tmp_path: Path) -> None:
    frames = rows({"a": [0, 1, 2, 3, 3, 4], "b": [5, 6, 7, 8, 9, 9]}, segments=[0, 0, 0, 0, 1, 1])
    recording = MemoryRecording({"a": jpegs, "b": jpegs})
    videos = encode_cameras(recording, frames, config(), tmp_path)
    named = [(video.segment, video.feature[-1], video.frames) for video in videos]
    assert named == [(0, "a", 4), (0, "b", 4), (1, "a", 2), (1, "b", 2)]
    shown = [[nearest(f) for f in decode_frames(v.path, range(v.frames))] for v in videos]
    assert shown == [[0, 1, 2, 3], [5, 6, 7, 8], [3, 4], [9, 9]]
    assert [video.statistics.frames for video in videos] == [4, 4, 2, 2]


def test_two_features_may_show_one_camera(jpegs: list[bytes], tmp_path: Path) -> None:
    frames = rows({"a": [0, 2, 4], "late": [1, 2, 5]}, streams={"late": "a"})
    recording = MemoryRecording({"a": jpegs})
    videos = encode_cameras(recording, frames, config(), tmp_path)
    assert recording.asked == [{"a": [0, 1, 2, 4, 5]}]
    shown = [[nearest(f) for f in decode_frames(v.path, range(3))] for v in videos]
    assert shown == [[0, 2, 4], [1, 2, 5]]


def test_progress_counts_every_frame_in_the_callers_thread(
    jpegs: list[bytes], tmp_path: Path
) -> None:
    reports: list[tuple[int, bool]] = []
    here = threading.current_thread()
    encode_cameras(
        MemoryRecording({"a": jpegs, "b": jpegs}),
        rows({"a": range(COUNT), "b": range(COUNT)}),
        config(),
        tmp_path,
        progress=lambda count: reports.append((count, threading.current_thread() is here)),
    )
    assert sum(count for count, _ in reports) == 2 * COUNT
    assert all(count > 0 and is_here for count, is_here in reports)


class _Counting(MemoryRecording):
    """Tells how many of its pictures are held by somebody."""

    class Held(bytes):
        alive = 0

        def __del__(self) -> None:
            type(self).alive -= 1

    most = 0

    def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
        for picture in super().pictures(wanted):
            data = self.Held(picture.data)
            self.Held.alive += 1
            self.most = max(self.most, self.Held.alive)
            yield Picture(picture.stream, picture.id, picture.stamp_ns, data)
            del data, picture


def test_the_reader_waits_for_the_encoders(jpegs: list[bytes], tmp_path: Path) -> None:
    count = 150
    recording = _Counting({"a": [jpegs[k % COUNT] for k in range(count)]})
    encode_cameras(recording, rows({"a": range(count)}), config(preset="slower"), tmp_path)
    assert recording.most <= 10  # a queue of four, one being encoded, one being read


@pytest.mark.parametrize("codec", ["h264", "copy"])
def test_a_cut_picture_is_refused_by_name_and_leaves_no_file(
    codec: str, jpegs: list[bytes], tmp_path: Path
) -> None:
    cut = [*jpegs[:20], jpegs[20][: len(jpegs[20]) // 2], *jpegs[21:]]
    recording = MemoryRecording({"good": jpegs, "bad": cut})
    frames = rows({"good": range(COUNT), "bad": range(COUNT)}, segments=[0] * 15 + [1] * 18)
    with pytest.raises(Refused, match=r"picture 20 of bad \(stamp \d+ ns") as refusal:
        encode_cameras(recording, frames, config(codec=codec), tmp_path)
    assert refusal.value.reason is Reason.CORRUPT_PICTURE
    assert refusal.value.details["picture"] == 20
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_cut_picture_that_no_row_shows_does_no_harm(jpegs: list[bytes], tmp_path: Path) -> None:
    pictures = [jpegs[0], b"\xff\xd8 cut", jpegs[2]]
    (video,) = encode_cameras(
        MemoryRecording({"a": pictures}), rows({"a": [0, 2]}), config(), tmp_path
    )
    assert video.frames == 2


def test_rotten_bits_are_refused_instead_of_painted_over(
    jpegs: list[bytes], tmp_path: Path
) -> None:
    rotten = bytearray(jpegs[1])
    middle = len(rotten) * 2 // 3
    rotten[middle : middle + 60] = bytes([0xFE]) * 60
    recording = MemoryRecording({"a": [jpegs[0], bytes(rotten), jpegs[2]]})
    with pytest.raises(Refused, match="picture 1 of a") as refusal:
        encode_cameras(recording, rows({"a": [0, 1, 2]}), config(), tmp_path)
    assert refusal.value.reason is Reason.CORRUPT_PICTURE


def test_a_picture_that_never_comes_is_worth_another_attempt(
    jpegs: list[bytes], tmp_path: Path
) -> None:
    class Forgetful(MemoryRecording):
        def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
            return (p for p in super().pictures(wanted) if p.id != 3)

    with pytest.raises(ContentChanged, match="picture 3 of a"):
        encode_cameras(Forgetful({"a": jpegs}), rows({"a": range(8)}), config(), tmp_path)
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_failing_reader_ends_the_encoders(jpegs: list[bytes], tmp_path: Path) -> None:
    class Failing(MemoryRecording):
        def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
            for picture in super().pictures(wanted):
                if picture.id == 5:
                    raise OSError("the disk went away")
                yield picture

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk went away"):
        encode_cameras(Failing({"a": jpegs}), rows({"a": range(8)}), config(), tmp_path)
    assert threading.active_count() == before
    assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize("ids", [[3, 2, 4], [-1, 0, 1]])
def test_rows_that_go_back_in_time_are_refused(
    ids: list[int], jpegs: list[bytes], tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=r"observation\.images\.a") as refusal:
        encode_cameras(MemoryRecording({"a": jpegs}), rows({"a": ids}), config(), tmp_path)
    assert refusal.value.reason is Reason.CORRUPT_ARTIFACT
