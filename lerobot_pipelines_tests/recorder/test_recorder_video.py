"""Cameras recorded as videos: every picture with its own moment, whatever happens."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Recording
from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
from lerobot_pipelines.recorder.local_recorder import LocalRecorder
from lerobot_pipelines.recorder.recovery import recover_recordings
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines.recordings.synth import draw_picture, read_barcode
from lerobot_pipelines.video.pictures import Decoded, PictureDecoder
from lerobot_pipelines_tests.recorder import takes

WIDTH, HEIGHT = takes.WIDTH, takes.HEIGHT


def barcodes(recording: Recording, camera: str) -> list[int]:
    """What the pictures of a camera say, in the order of their ids."""
    decoder = PictureDecoder()
    ids = np.arange(recording.streams[camera].count)
    found: list[Decoded] = []
    for picture in recording.pictures({camera: ids}):
        found += decoder.decode(picture)
    found += decoder.flush()
    assert [one.id for one in found] == ids.tolist()
    return [read_barcode(one.frame.to_ndarray(format="rgb24")) for one in found]


def opened(folder: Path) -> Recording:
    return open_recording(source_from_path(folder))


def check_video(folder: Path, take: int, frames: int | None = None) -> int:
    """Fails unless the first camera is whole, or its beginning; how many pictures it has."""
    recording = opened(folder)
    for camera, period in takes.CAMERAS.items():
        stamps = recording.timestamps(camera)
        begun = takes.START_NS + take * 3600 * 10**9
        np.testing.assert_array_equal(stamps, begun + np.arange(len(stamps)) * period)
        numbers = [takes.picture_number(take, k) for k in range(len(stamps))]
        assert barcodes(recording, camera) == numbers
    count = len(recording.timestamps("cam_high"))
    assert frames is None or count == frames
    return count


def test_a_take_as_videos_has_every_picture_at_its_own_moment(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path, pictures="h264") as recorder:
        key = takes.record(recorder, 3, 20)
        recorder.end_episode()
    names = {path.name for path in (tmp_path / key / "images" / "cam_high").iterdir()}
    assert names == {"video.mp4", "stamps.parquet"}
    check_video(tmp_path / key, 3, frames=20)
    assert not list(opened(tmp_path / key).faults)


def test_an_interrupted_take_gives_videos_up_to_the_last_whole_picture(tmp_path: Path) -> None:
    recorder = LocalRecorder(tmp_path, pictures="h264")
    takes.record(recorder, 2, 20)
    assert recorder._take is not None
    recorder._take.submit()
    spool = tmp_path / ".spool"
    (path,) = spool.glob("*.take")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    recorder._take = None
    recorder.close()
    (key,) = recover_recordings(tmp_path, interrupted="salvage").salvaged
    recording = opened(tmp_path / key)
    for camera in recording.streams:
        if camera in takes.CAMERAS:
            count = recording.streams[camera].count
            numbers = [takes.picture_number(2, k) for k in range(count)]
            assert barcodes(recording, camera) == numbers


def test_pictures_that_make_no_video_are_refused_at_once(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path, pictures="h264") as recorder:
        recorder.start_episode("t")
        recorder.add("a", takes.START_NS, np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(ValueError, match="48x62"):
            recorder.add("a", takes.START_NS + 1, np.zeros((48, 62, 3), np.uint8))
        with pytest.raises(ValueError, match="even"):
            recorder.add("b", takes.START_NS, np.zeros((47, 64), np.uint8))
        with pytest.raises(ValueError, match="encoded"):
            recorder.add("a", takes.START_NS + 1, b"\xff\xd8")


def write_video(folder: Path, frames: int = 6, b_frames: bool = False) -> Path:
    """A camera's folder as another recorder may have made it, with exact stamps."""
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / "top.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.options = {"bf": "2" if b_frames else "0", "b_strategy": "0"}
        stream.time_base = Fraction(1, 30)
        for k in range(frames):
            picture = draw_picture(k, WIDTH, HEIGHT)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    write_stamps(folder, [takes.START_NS + k * 33_000_000 for k in range(frames)])
    return folder


def write_stamps(folder: Path, stamps: list[int]) -> None:
    pq.write_table(pa.table({"timestamps": stamps}), folder / "stamps.parquet")


def test_a_video_of_another_recorder_is_read(tmp_path: Path) -> None:
    write_video(tmp_path / "e" / "images" / "top")
    recording = opened(tmp_path / "e")
    assert barcodes(recording, "top") == list(range(6))


def test_a_video_and_stamps_that_disagree_without_a_sign_where_are_refused(tmp_path: Path) -> None:
    folder = write_video(tmp_path / "e" / "images" / "top")
    write_stamps(folder, [takes.START_NS + k * 33_000_000 for k in range(4)])
    recording = opened(tmp_path / "e")
    assert "top" not in recording.streams
    assert [fault.reason for fault in recording.faults] == [str(Reason.COUNT_MISMATCH)]
    (told,) = [entry.message for entry in recording.intake if entry.stream == "top"]
    assert "6 pictures" in told and "4 stamps" in told


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no stamps", Reason.BAD_STAMPS),
        ("stamps that go back", Reason.BAD_STAMPS),
        ("b-frames", Reason.UNSUPPORTED),
        ("another file", Reason.UNSUPPORTED),
        ("no video", Reason.CORRUPT_CONTAINER),
    ],
)
def test_a_video_that_cannot_be_used_is_left_out_with_its_reason(
    tmp_path: Path, fault: str, reason: Reason
) -> None:
    folder = write_video(tmp_path / "e" / "images" / "top", b_frames=fault == "b-frames")
    if fault == "no stamps":
        (folder / "stamps.parquet").unlink()
    elif fault == "stamps that go back":
        write_stamps(folder, [takes.START_NS + k for k in (0, 2, 1, 3, 4, 5)])
    elif fault == "another file":
        (folder / "1764167571671577.jpg").write_bytes(b"\xff\xd8\xff\xd9")
    elif fault == "no video":
        (folder / "top.mp4").write_bytes(b"nothing of the kind")
    recording = opened(tmp_path / "e")
    assert "top" not in recording.streams
    assert [one.reason for one in recording.faults] == [str(reason)]


def test_a_video_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    folder = write_video(tmp_path / "e" / "images" / "top")
    recording = opened(tmp_path / "e")
    with (folder / "top.mp4").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ContentChanged):
        list(recording.pictures({"top": np.arange(3)}))


def test_a_refusal_is_raised_for_a_camera_that_a_configuration_needs(tmp_path: Path) -> None:
    from lerobot_pipelines.config.schema import StorageConfig
    from lerobot_pipelines_tests.fleet import fleet_config

    folder = write_video(tmp_path / "e" / "images" / "cam", b_frames=True)
    assert folder.exists()
    for arm in ("left", "right"):
        (tmp_path / "e" / "joints").mkdir(exist_ok=True)
        table = pa.table({"timestamps": [takes.START_NS], "joint_0": [0.0]})
        pq.write_table(table, tmp_path / "e" / "joints" / f"{arm}.parquet")
    config = fleet_config(StorageConfig(url=tmp_path.as_uri()))
    with pytest.raises(Refused, match="B-frames"):
        open_recording(source_from_path(tmp_path / "e"), config)
