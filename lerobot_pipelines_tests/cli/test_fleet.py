"""``publish``, ``monitor``, ``retry`` and ``scan --once`` on a bucket of two robots."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lerobot_pipelines.cli.status_text import drawn, duration
from lerobot_pipelines.config import dump_config, load_config
from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.pipeline.artifacts import episode_keys
from lerobot_pipelines.pipeline.lifecycle import CLOCK_NAME
from lerobot_pipelines.pipeline.status import StatusReader
from lerobot_pipelines.storage.local_versions import TEMPORARY_PREFIX
from lerobot_pipelines_tests.cli.calling import Outcome, call
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

Fleet = Callable[..., Outcome]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "robot.yaml"
    storage = StorageConfig(
        url=(tmp_path / "bucket").as_uri(), sources=("robot_1", "robot_2", "robot_3")
    )
    path.write_text(dump_config(fleet_config(storage)))
    return path


@pytest.fixture
def fleet(config: Path, tmp_path: Path) -> Path:
    """Two good episodes of one robot; a good and a bad one of another; one not yet converted."""
    good = record(tmp_path / "disk", "block/a")
    bad = record(tmp_path / "disk", "block/b", seconds=0.3)
    for pictures in list((tmp_path / "disk/images/block/b/cam").iterdir()):
        pictures.unlink()
    for source, name, recording in (
        ("robot_1", "block/a", good),
        ("robot_1", "block/b", good),
        ("robot_2", "block/a", good),
        ("robot_2", "block/bad", bad),
    ):
        outcome = call("publish", config, recording, "--episode", name, "--source", source)
        assert outcome.code == 0, outcome.stderr
    assert call("convert", config, "--json").code == 1
    assert call("publish", config, good, "--episode", "late", "--source", "robot_2").code == 0
    return config


def test_publish_tells_what_it_did_and_a_second_time_does_nothing(
    config: Path, tmp_path: Path
) -> None:
    arguments = ("publish", config, record(tmp_path / "disk"), "--source", "robot_1", "--json")
    first = call(*arguments)
    assert first.code == 0
    assert first.json()["key"] == "robot_1/block/episode_1"
    assert first.json()["uploaded"] == first.json()["files"]
    assert call(*arguments).json()["uploaded"] == 0


def test_publish_names_the_fault_and_exits_with_it(config: Path, tmp_path: Path) -> None:
    recording = record(tmp_path / "disk")
    wrong_source = call("publish", config, recording, "--source", "robot_9")
    assert (wrong_source.code, "robot_1" in wrong_source.stderr) == (2, True)
    nothing = call("publish", config, tmp_path / "nothing", "--source", "robot_1")
    assert (nothing.code, "does not exist" in nothing.stderr) == (1, True)


def test_monitor_agrees_with_the_bucket_for_each_source(fleet: Path) -> None:
    status = call("monitor", fleet, "--json").json()
    assert (status["pending"], status["converted"], status["refused"]) == (1, 3, 1)
    by_source = {one.pop("source"): one for one in status["sources"]}
    assert by_source["robot_1"].pop("last_update_s") > 1.7e9
    none_of = {"stale": 0, "damaged": 0, "cleared": 0}
    assert by_source["robot_1"] == {"pending": 0, "converted": 2, "refused": 0, **none_of}
    assert by_source["robot_2"].pop("last_update_s") > 1.7e9
    assert by_source["robot_2"] == {"pending": 1, "converted": 1, "refused": 1, **none_of}
    assert by_source["robot_3"]["last_update_s"] is None
    assert status["reasons"] == {"missing_camera": 1}
    assert status["refusals"][0]["key"] == "robot_2/block/bad"
    assert status["per_minute"] > 0 and status["seconds_left"] > 0
    assert {one["episodes"] for one in status["datasets"]} == {3}
    assert status["runs"] is None


def test_monitor_for_people_names_the_refused_and_the_reasons(fleet: Path) -> None:
    text = call("monitor", fleet).stdout
    assert "1 pending, 3 converted, 1 refused" in text
    assert re.search(r"robot_2/block/bad\s+missing_camera", text)
    assert re.search(r"robot_3\s+0\s+0\s+0\s+0\s+0\s+-", text)


def test_prometheus_text_is_one_family_after_another(fleet: Path) -> None:
    text = call("monitor", fleet, "--prometheus").stdout
    assert (
        'lerobot_pipelines_episodes{dataset="fleet",source="robot_2",state="pending"} 1\n' in text
    )
    assert 'lerobot_pipelines_refused_episodes{dataset="fleet",reason="missing_camera"} 1\n' in text
    sample = re.compile(r'[a-z_]+\{([a-z]+="[^"\n]*",?)*\} [0-9.e+-]+')
    for line in text.splitlines():
        assert line.startswith(("# HELP lerobot", "# TYPE lerobot")) or sample.fullmatch(line)


def test_the_live_table_shows_the_same_and_escapes_names(fleet: Path, tmp_path: Path) -> None:
    from rich.console import Console

    bad = tmp_path / "bucket/raw/robot_1/joints/block/\x1b[31mred"
    bad.mkdir(parents=True)
    (bad / "left.parquet").write_bytes(b"")
    reader = StatusReader(workspace_of(load_config(fleet), tmp_path))
    status = reader.read(2_000_000_000_000_000_000)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(drawn(status, {"queued": 2, "running": 1}))
    text = console.export_text()
    assert "2 runs queued, 1 runs running" in text
    assert "bad_name" in text and "\x1b[31m" not in text
    assert (status.refused, status.per_minute) == (2, 0.0)  # nothing happened in the last hour


def test_each_verdict_is_read_once(fleet: Path, tmp_path: Path) -> None:
    workspace = workspace_of(load_config(fleet), tmp_path)
    reader = StatusReader(workspace)
    reader.read(0)
    keys = episode_keys(workspace, "robot_1/block/a")
    file = workspace.storage.local_path(keys.record)
    assert file is not None
    times = file.stat()
    file.write_bytes(b"x" * times.st_size)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # the same ETag
    assert reader.read(0).converted == 3


def test_retry_queues_the_refused_and_leaves_the_converted(fleet: Path) -> None:
    assert call("retry", fleet, "--failed", "--reason", "gap").code == 3
    outcome = call("retry", fleet, "--failed", "--json")
    assert outcome.json()["queued"] == ["robot_2/block/bad"]
    assert call("monitor", fleet, "--json").json()["pending"] == 2
    assert call("retry", fleet, "--failed").code == 3
    converted = call("retry", fleet, "robot_1/block/a")
    assert (converted.code, "left alone" in converted.stderr) == (3, True)
    assert call("convert", fleet).code == 1
    status = call("monitor", fleet, "--json").json()
    assert (status["pending"], status["converted"], status["refused"]) == (0, 4, 1)


@pytest.mark.parametrize("arguments", [(), ("--failed", "a"), ("--reason", "gap"), ("nobody",)])
def test_retry_without_a_clear_choice_does_nothing(fleet: Path, arguments: tuple[str, ...]) -> None:
    assert call("retry", fleet, *arguments).code == 2


def test_scan_once_lists_the_states_without_looking_at_files(fleet: Path) -> None:
    full = call("scan", fleet, "--full", "--json").json()
    once = call("scan", fleet, "--once", "--json").json()
    assert once["counts"] == full["counts"] == {"converted": 3, "new": 1, "refused": 1}
    assert [one["key"] for one in once["episodes"]] == [one["key"] for one in full["episodes"]]
    assert all(one["files"] is None for one in once["episodes"])


def test_clean_tells_what_would_go_and_removes_nothing_that_is_needed(
    fleet: Path, tmp_path: Path
) -> None:
    work = tmp_path / "bucket" / "work"
    remains = work / f"{TEMPORARY_PREFIX}0123456789abcdef"
    remains.write_bytes(b"half an upload")
    before = sorted(path for path in work.rglob("*") if path.is_file())
    dry = call("clean", fleet, "--dry-run", "--json").json()
    assert (dry["dry_run"], dry["objects"]) == (True, [])
    outcome = call("clean", fleet)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert "0 objects removed, 0.0 MB" in outcome.stderr
    kept = sorted(path for path in work.rglob("*") if path.is_file())
    assert [path for path in kept if path.name != CLOCK_NAME] == before


def test_durations_read_well() -> None:
    assert [duration(s) for s in (5, 89, 600, 7200)] == ["5 s", "89 s", "10 min", "2.0 h"]


def test_json_is_valid_with_hostile_names(fleet: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bucket/raw/robot_1/joints/block/line\nbreak"
    bad.mkdir(parents=True)
    (bad / "left.parquet").write_bytes(b"")
    status = json.loads(call("monitor", fleet, "--json").stdout)
    assert status["reasons"]["bad_name"] == 1
    assert 'reason="bad_name"' in call("monitor", fleet, "--prometheus").stdout
