from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.video import concatenate, cut, decode_frames, encode_cameras, probe
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture

LENGTHS = (23, 10, 7)


def episodes(folder: Path, codec: str = "h264", **video: Any) -> list[Path]:
    """Three short videos that show pictures 0 to 39 one after the other."""
    frames = rows(
        {"a": range(sum(LENGTHS))},
        segments=[number for number, length in enumerate(LENGTHS) for _ in range(length)],
    )
    pictures = [jpeg(texture(k)) for k in range(sum(LENGTHS))]
    made = encode_cameras(
        MemoryRecording({"a": pictures}), frames, config(codec=codec, **video), folder
    )
    return [video.path for video in made]


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "copy"])
def test_joined_videos_hold_the_same_packets_at_exact_times(codec: str, tmp_path: Path) -> None:
    paths = episodes(tmp_path, codec)
    output = tmp_path / "joined.mp4"
    concatenate(paths, output)
    facts = probe(output)
    assert facts.frames == sum(LENGTHS)
    assert facts.first_pts == 0 and facts.constant_rate and facts.closed_gops
    assert facts.fps == probe(paths[0]).fps
    assert {0, 23, 33} <= set(facts.key_frames)
    assert packets(output) == [packet for path in paths for packet in packets(path)]
    with av.open(str(output)) as joined, av.open(str(paths[0])) as single:
        tags = [c.streams.video[0].codec_context.codec_tag for c in (joined, single)]
    assert tags[0] == tags[1]


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    output = tmp_path / "joined.mp4"
    concatenate(episodes(tmp_path), output)
    data = output.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_joining_twice_gives_equal_bytes(tmp_path: Path) -> None:
    paths = episodes(tmp_path)
    for name in ("one.mp4", "two.mp4"):
        concatenate(paths, tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_appending_equals_joining_at_once(tmp_path: Path) -> None:
    paths = episodes(tmp_path)
    concatenate(paths[:2], tmp_path / "two.mp4")
    concatenate([tmp_path / "two.mp4", paths[2]], tmp_path / "grown.mp4")
    concatenate(paths, tmp_path / "at_once.mp4")
    assert (tmp_path / "grown.mp4").read_bytes() == (tmp_path / "at_once.mp4").read_bytes()


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "copy"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_episode_cut_out_is_the_episode_that_went_in(
    which: int, codec: str, tmp_path: Path
) -> None:
    paths = episodes(tmp_path, codec)
    concatenate(paths, tmp_path / "joined.mp4")
    cut(tmp_path / "joined.mp4", sum(LENGTHS[:which]), LENGTHS[which], tmp_path / "cut.mp4")
    facts = probe(tmp_path / "cut.mp4")
    assert facts.frames == LENGTHS[which]
    assert facts.first_pts == 0 and facts.constant_rate and facts.closed_gops
    assert packets(tmp_path / "cut.mp4") == packets(paths[which])


def test_videos_with_b_frames_keep_every_frame_in_place(tmp_path: Path) -> None:
    """Datasets of other programs have them; their packets are not in the order of display."""
    paths = []
    for number in range(2):
        path = tmp_path / f"{number}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30, options={"bf": "3", "g": "10"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for k in range(20):
                frame = av.VideoFrame.from_ndarray(texture(20 * number + k), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        paths.append(path)
    concatenate(paths, tmp_path / "joined.mp4")
    assert probe(tmp_path / "joined.mp4").constant_rate
    for k, frame in enumerate(decode_frames(tmp_path / "joined.mp4", range(40))):
        errors = [np.abs(frame.astype(int) - texture(other)).mean() for other in range(40)]
        assert int(np.argmin(errors)) == k
    cut(tmp_path / "joined.mp4", 20, 20, tmp_path / "cut.mp4")
    assert packets(tmp_path / "cut.mp4") == packets(paths[1])


@pytest.mark.parametrize(("first", "frames"), [(5, 5), (0, 25), (10, 40), (0, 0)])
def test_a_cut_inside_an_episode_is_refused(first: int, frames: int, tmp_path: Path) -> None:
    concatenate(episodes(tmp_path), tmp_path / "joined.mp4")
    with pytest.raises(Refused, match=r"joined\.mp4") as refusal:
        cut(tmp_path / "joined.mp4", first, frames, tmp_path / "cut.mp4")
    assert refusal.value.reason is Reason.CORRUPT_ARTIFACT
    assert not (tmp_path / "cut.mp4").exists()


@pytest.mark.parametrize(
    ("other", "difference"),
    [({"size": (32, 24)}, "width 64 and 32"), ({"codec": "copy"}, "codec h264 and mjpeg")],
)
def test_unlike_videos_are_not_joined(
    other: dict[str, Any], difference: str, tmp_path: Path
) -> None:
    one, two = episodes(tmp_path / "one")[0], episodes(tmp_path / "two", **other)[0]
    with pytest.raises(Refused, match=difference):
        concatenate([one, two], tmp_path / "joined.mp4")
    assert not (tmp_path / "joined.mp4").exists()


def test_videos_of_other_encoder_parameters_are_not_joined(tmp_path: Path) -> None:
    one = episodes(tmp_path / "one")[0]
    two = episodes(tmp_path / "two", preset="ultrafast")[0]
    with pytest.raises(Refused, match="other parameters"):
        concatenate([one, two], tmp_path / "joined.mp4")
    assert not (tmp_path / "joined.mp4").exists()
