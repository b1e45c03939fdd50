"""Folders as people have them: found in a bucket by what the configuration asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import EpisodeSource
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members, list_names, readiness
from lerobot_pipelines.recordings import open_recording
from lerobot_pipelines.recordings.layout import container_of
from lerobot_pipelines.recordings.local_source import source_from_path
from lerobot_pipelines_tests.pipeline.test_discovery import Bucket
from lerobot_pipelines_tests.recordings.folders import Folder

PICTURE = "1764167571000000.jpg"
# Of files: neither has a topic.
ASKED = {
    "streams": [{"name": "left", "file": "joints.parquet"}],
    "cameras": [{"name": "front", "feature": "observation.images.front"}],
}


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path / "bucket")


def test_joints_and_cameras_right_in_an_episode_are_found(bucket: Bucket) -> None:
    bucket.touch("pick/ep1/joints.parquet", f"pick/ep1/front/{PICTURE}", "pick/ep1/notes.txt")
    bucket.touch("pick/ep1/metadata.json", "pick/ep1/front/x.jpg.part", "pick/ep1/front/.DS_Store")
    bucket.touch(f"pick/ep2/front/{PICTURE}")  # no joints yet, or none at all
    bucket.touch("pick/ep3/joints.parquet")
    bucket.touch("pick/ep4/joints/joints.parquet", f"pick/ep4/front/{PICTURE}")
    bucket.touch(f"pick/ep5/images/front/{PICTURE}", "pick/ep5/joints.parquet")
    assert bucket.keys(**ASKED) == [f"pick/ep{k}" for k in range(1, 6)]
    assert bucket.members("pick/ep1", **ASKED) == [
        *(f"pick/ep1/front/{PICTURE}", "pick/ep1/joints.parquet", "pick/ep1/metadata.json")
    ]
    assert len(bucket.members("pick/ep4", **ASKED)) == 2
    assert len(bucket.members("pick/ep5", **ASKED)) == 2
    for key in ("pick/ep1", "pick/ep4", "pick/ep5"):
        members = list_members(bucket.storage, bucket.config(**ASKED), key)
        assert container_of(members) == "folder"


def test_what_the_configuration_does_not_ask_for_is_no_episode(bucket: Bucket) -> None:
    bucket.touch("set/data/chunk-000/episode_000000.parquet", "set/meta/info.json")
    bucket.touch(f"pick/ep1/side/{PICTURE}", "pick/front/readme.md")
    assert bucket.keys(**ASKED) == []


def test_an_episode_in_folders_keeps_its_members_whatever_lies_beside(bucket: Bucket) -> None:
    bucket.whole("pick/ep1")
    before = fingerprint(list_members(bucket.storage, bucket.config(), "pick/ep1"))
    bucket.touch("pick/ep1/left.parquet", f"pick/ep1/cam/{PICTURE}", "pick/ep1/left.csv")
    bucket.touch("pick/ep1/joints/left.csv", "pick/ep1/joints/other.csv", "pick/ep1/a.hdf5")
    assert fingerprint(list_members(bucket.storage, bucket.config(), "pick/ep1")) == before


@pytest.mark.parametrize("stream", [{"name": "arm"}, {"name": "x", "file": "arm.csv"}])
def test_csv_joints_are_members_where_a_stream_asks_for_them(
    bucket: Bucket, stream: dict[str, str]
) -> None:
    bucket.touch("joints/pick/ep1/arm.csv", "joints/pick/ep1/other.csv", "pick/ep2/joints/arm.csv")
    asked = {**ASKED, "streams": [stream]}
    assert bucket.keys(**asked) == ["pick/ep1", "pick/ep2"]
    assert bucket.members("pick/ep1", **asked) == ["joints/pick/ep1/arm.csv"]


def test_recordings_that_nothing_reads_are_episodes_that_say_so(bucket: Bucket) -> None:
    bucket.touch(
        "pick/episode_0.hdf5", "pick/ep1/joints/arm.hdf5", f"pick/ep1/images/cam/{PICTURE}"
    )
    assert bucket.keys(**ASKED) == ["pick/ep1", "pick/episode_0.hdf5"]
    config = bucket.config(**ASKED)
    members = list_members(bucket.storage, config, "pick/episode_0.hdf5")
    with pytest.raises(Refused, match=r"episode_0\.hdf5 is HDF5.*parquet") as refusal:
        container_of(members)
    assert refusal.value.reason is Reason.UNSUPPORTED
    assert readiness(bucket.storage, config, "pick/episode_0.hdf5", members, 10**20) is None
    assert "pick/ep1/joints/arm.hdf5" in bucket.members("pick/ep1", **ASKED)


def test_bags_among_folders_are_found_or_named(bucket: Bucket) -> None:
    bucket.whole("pick/ep1")
    bucket.touch("pick/ep2.bag", f"pick/ep3/front/{PICTURE}", "pick/ep3/joints.parquet")
    names = list_names(bucket.storage, bucket.config(**ASKED))
    assert names.keys == ("pick/ep1", "pick/ep3")
    assert names.bags == ("pick/ep2.bag",)
    with_topics = list_names(bucket.storage, bucket.config())
    assert "pick/ep2.bag" in with_topics.keys
    assert with_topics.bags == ()


def test_a_recorders_folder_stays_a_bag_whatever_lies_beside_it(bucket: Bucket) -> None:
    bucket.touch("pick/ep1/metadata.yaml", "pick/ep1/ep1_0.mcap", f"pick/ep1/front/{PICTURE}")
    asked = {**ASKED, "streams": [{"name": "left", "topic": "/left"}]}
    assert bucket.keys(**asked) == ["pick/ep1"]
    assert bucket.members("pick/ep1", **asked) == ["pick/ep1/ep1_0.mcap", "pick/ep1/metadata.yaml"]


def _moved(folder: Folder, joints: str, images: str) -> Path:
    """The episode of ``folder`` with its joints and images at these places below ``ep``."""
    for section, place in (("joints", joints), ("images", images)):
        for path in sorted((folder.root / section).rglob("*")):
            if path.is_file():
                inner = path.relative_to(folder.root / section).parts[2:]
                target = folder.root.joinpath("ep", place, *inner)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
    return folder.root / "ep"


@pytest.mark.parametrize(("joints", "images"), [("", ""), ("", "images"), ("joints", "")])
def test_a_loose_episode_reads_as_one_in_folders(tmp_path: Path, joints: str, images: str) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    folder.camera("front", 5)
    expected = folder.open()
    path = _moved(folder, joints, images)
    recording = open_recording(source_from_path(path))
    assert list(recording.streams) == ["left", "front"]
    for stream in recording.streams:
        assert recording.timestamps(stream).tolist() == expected.timestamps(stream).tolist()
    assert not recording.faults


@pytest.mark.parametrize("only", ["left", "front"])
def test_an_episode_may_have_joints_alone_or_cameras_alone(tmp_path: Path, only: str) -> None:
    folder = Folder(tmp_path)
    if only == "left":
        folder.arm("left")
    else:
        folder.camera("front", 5)
    recording = open_recording(source_from_path(_moved(folder, "", "")))
    assert list(recording.streams) == [only]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("a.mcap", "b.mcap"), "2 bags"),  # two recordings are not one
        (("a.mcap", "b.bag"), "2 bags"),
        (("a.bag", "ep1/joints/x.parquet"), "beside folders"),
        (("episode_0.hdf5",), r"episode_0\.hdf5, HDF5"),
    ],
)
def test_a_folder_of_several_recordings_is_not_one(
    tmp_path: Path, files: tuple[str, ...], message: str
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    with pytest.raises(Refused, match=message):
        source_from_path(tmp_path)
    if files[0].endswith("hdf5"):
        with pytest.raises(Refused, match="HDF5"):
            source_from_path(tmp_path / files[0])


def test_a_source_says_where_its_files_are(tmp_path: Path) -> None:
    (tmp_path / "pick/ep1/front").mkdir(parents=True)
    (tmp_path / "pick/ep1/front" / PICTURE).write_bytes(b"x")
    source = source_from_path(tmp_path / "pick/ep1")
    assert isinstance(source, EpisodeSource)
    assert all((source.root / member.path).is_file() for member in source.members)
