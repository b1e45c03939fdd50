"""The conversion as operators meet it: repeated, with one more, with a bad one, changed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.errors import ConfigError, ContentChanged, Reason
from lerobot_pipelines.model import Manifest
from lerobot_pipelines.pipeline.aligned import align_episode
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.convert import ConvertEvent, convert_dataset
from lerobot_pipelines.pipeline.failures import list_failures
from lerobot_pipelines.pipeline.fetch import kept_open, members_of, opened_recording
from lerobot_pipelines.pipeline.raw import scan_episode
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.recordings.synth import SynthSpec, write_recording
from lerobot_pipelines_tests.conftest import EPISODES, Converted, demo_config, write_episodes


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bucket(converted: Converted, tmp_path: Path) -> Path:
    """A copy of the converted bucket, to be changed."""
    copy = tmp_path / "bucket"
    shutil.copytree(converted.bucket, copy)
    return copy


def test_a_moved_bucket_is_unchanged(bucket: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(bucket, moved)
    before = times(moved)
    summary = convert_dataset(demo_config(moved))
    assert {outcome.status for outcome in summary.episodes} == {"unchanged"}
    assert [update.kind for update in summary.datasets] == ["none", "none"]
    assert times(moved) == before


def test_what_an_earlier_version_converted_with_inodes_in_its_etags_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = tmp_path / "bucket"
    write_episodes(bucket, EPISODES[:1])
    with monkeypatch.context() as earlier:
        earlier.setattr(
            "lerobot_pipelines.storage.local.etag_of",
            lambda status: f"{status.st_size}-{status.st_mtime_ns:x}-{status.st_ino:x}",
        )
        for module in ("pipeline.discovery", "datasets.selection", "datasets.reading"):
            earlier.setattr(f"lerobot_pipelines.{module}.lasting_etag", lambda etag: etag)
        old = convert_dataset(demo_config(bucket))
    assert [outcome.status for outcome in old.episodes] == ["converted"]
    before = contents(bucket / "converted")
    moved = tmp_path / "moved"
    shutil.copytree(bucket, moved)
    for place in (bucket, moved):
        summary = convert_dataset(demo_config(place))
        assert [outcome.status for outcome in summary.episodes] == ["unchanged"]
        assert [update.kind for update in summary.datasets] == ["none", "none"]
        assert contents(place / "converted") == before
    write_recording(moved / "raw", EPISODES[0], SynthSpec(seconds=2.5, seed=9))
    assert convert_dataset(demo_config(moved)).episodes[0].status == "converted"


def test_a_second_run_writes_nothing(bucket: Path) -> None:
    before = times(bucket)
    summary = convert_dataset(demo_config(bucket))
    assert {outcome.status for outcome in summary.episodes} == {"unchanged"}
    assert [update.kind for update in summary.datasets] == ["none", "none"]
    assert times(bucket) == before


def test_one_more_episode_is_all_that_is_converted(bucket: Path) -> None:
    write_recording(bucket / "raw", "block/episode_0003", SynthSpec(seconds=2.0, seed=9))
    before = contents(bucket / "converted")
    summary = convert_dataset(demo_config(bucket))
    statuses = {outcome.key: outcome.status for outcome in summary.episodes}
    assert statuses.pop("block/episode_0003") == "converted"
    assert set(statuses.values()) == {"unchanged"}
    assert [update.kind for update in summary.datasets] == ["append", "append"]
    after = contents(bucket / "converted")
    old_files = [
        name
        for name in before
        if "/meta/" not in name and "/.ledger/" not in name and not name.endswith(".md")
    ]
    assert old_files
    assert all(after[name] == before[name] for name in old_files)
    for fmt in Format:
        report = verify_dataset(bucket / "converted" / "demo" / fmt)
        assert report.findings == ()
        assert report.episodes == 4


def test_an_episode_that_changed_is_converted_again_and_keeps_its_place(bucket: Path) -> None:
    write_recording(bucket / "raw", EPISODES[1], SynthSpec(seconds=3.0, seed=77))
    summary = convert_dataset(demo_config(bucket))
    statuses = {outcome.key: outcome.status for outcome in summary.episodes}
    assert statuses[EPISODES[1]] == "converted"
    assert statuses[EPISODES[0]] == "unchanged"
    assert all(update.replaced == (EPISODES[1],) for update in summary.datasets)
    for fmt in Format:
        report = verify_dataset(bucket / "converted" / "demo" / fmt)
        assert report.findings == ()
        assert report.episodes == 3
    assert convert_dataset(demo_config(bucket)).datasets[0].kind == "none"


def test_a_filtered_episode_says_why_and_comes_back_when_allowed(bucket: Path) -> None:
    strict = demo_config(bucket, **{"filtering.min_duration_sec": 2.1})
    summary = convert_dataset(strict)
    refused = [outcome for outcome in summary.episodes if outcome.status == "refused"]
    assert [outcome.key for outcome in refused] == [EPISODES[0]]
    assert refused[0].reason == Reason.TOO_SHORT
    failures = list(list_failures(open_workspace(strict)))
    assert [failure.reason for failure in failures] == [Reason.TOO_SHORT]
    assert verify_dataset(bucket / "converted/demo/v3.0").episodes == 2

    again = convert_dataset(demo_config(bucket))
    assert again.ok
    assert list(list_failures(open_workspace(strict))) == []
    report = verify_dataset(bucket / "converted/demo/v3.0")
    assert report.findings == ()
    assert report.episodes == 3


def test_a_bad_episode_does_not_stop_the_others(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    write_episodes(bucket)
    shutil.rmtree(bucket / "raw/images" / EPISODES[1] / "cam_left")
    (bucket / "raw/joints" / EPISODES[2] / "left_slave.parquet").write_bytes(b"PAR1 cut")
    summary = convert_dataset(demo_config(bucket))
    reasons = {outcome.key: outcome.reason for outcome in summary.episodes}
    assert reasons[EPISODES[0]] is None
    assert reasons[EPISODES[1]] == Reason.MISSING_CAMERA
    assert reasons[EPISODES[2]] == Reason.CORRUPT_CONTAINER
    assert not summary.ok
    assert verify_dataset(bucket / "converted/demo/v2.1").episodes == 1


@pytest.mark.parametrize("change", [{"chunk_frames": 1}, {"chunk_frames": 7}, {"workers": 2}])
def test_the_result_does_not_depend_on_how_it_was_computed(
    converted: Converted, tmp_path: Path, change: dict[str, int]
) -> None:
    bucket = tmp_path / "bucket"
    write_episodes(bucket)
    workers = change.pop("workers", 1)
    events: list[ConvertEvent] = []
    config = demo_config(bucket, **change)
    assert convert_dataset(config, workers=workers, on_event=events.append).ok
    expected = contents(converted.bucket / "converted")
    ours = contents(bucket / "converted")
    # These name the bucket, and when its objects were written.
    local = {name for name in expected if name.endswith("README.md") or "/.ledger/" in name}
    for name in expected.keys() - local:
        assert ours[name] == expected[name], name
    assert ours.keys() == expected.keys()
    assert sum(event.kind == "finished" for event in events) == len(EPISODES)


def test_an_unknown_episode_is_refused_by_name(bucket: Path) -> None:
    with pytest.raises(ConfigError, match="episode_9999"):
        convert_dataset(demo_config(bucket), episodes=["block/episode_9999"])


def test_content_that_changes_while_it_is_read_fails_the_attempt(bucket: Path) -> None:
    workspace = open_workspace(demo_config(bucket))
    members = members_of(workspace, EPISODES[0])
    with pytest.raises(ContentChanged), opened_recording(workspace, EPISODES[0], members):
        picture = min((bucket / "raw/images" / EPISODES[0] / "cam_high").iterdir())
        picture.write_bytes(picture.read_bytes() + b"\0")


def test_rows_of_other_content_never_meet_an_old_manifest(bucket: Path) -> None:
    workspace = open_workspace(demo_config(bucket))
    write_recording(bucket / "raw", EPISODES[0], SynthSpec(seconds=3.0, seed=78))
    with pytest.raises(ContentChanged):
        align_episode(workspace, EPISODES[0])
    scan_episode(workspace, EPISODES[0])
    align_episode(workspace, EPISODES[0])
    manifest = read_artifact(workspace, episode_keys(workspace, EPISODES[0]).manifest, Manifest)
    assert {stream.name for stream in manifest.streams} >= {"cam_high", "left_slave"}


def test_steps_that_follow_one_another_open_the_recording_once(tmp_path: Path) -> None:
    write_episodes(tmp_path)
    workspace = open_workspace(demo_config(tmp_path))
    key = EPISODES[0]
    members = members_of(workspace, key)
    with kept_open(workspace) as together:
        with opened_recording(together, key, members) as first:
            pass
        with opened_recording(together, key, members) as second:
            assert second is first
    with opened_recording(workspace, key, members) as alone:
        assert alone is not first


def test_a_recording_kept_open_is_not_taken_for_one_that_changed(tmp_path: Path) -> None:
    write_episodes(tmp_path)
    workspace = open_workspace(demo_config(tmp_path))
    key = EPISODES[0]
    with kept_open(workspace) as together:
        with opened_recording(together, key, members_of(workspace, key)) as first:
            pass
        write_recording(tmp_path / "raw", key, SynthSpec(seconds=2.0, seed=77))
        with opened_recording(together, key, members_of(workspace, key)) as second:
            assert second is not first
        with (
            pytest.raises(ContentChanged),
            opened_recording(together, key, members_of(workspace, key)),
        ):
            write_recording(tmp_path / "raw", key, SynthSpec(seconds=2.0, seed=78))
