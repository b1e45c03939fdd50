from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.cli.calling import call

CAMERAS = tuple(
    SynthCamera(name, rate, width=64, height=48)
    for name, rate in (("cam_high", 25.0), ("cam_left", 25.0), ("cam_right", 30.0))
)
FIRST, SECOND = "block/episode_0001", "block/episode_0002"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings")
    for seed, key in enumerate((FIRST, SECOND)):
        write_recording(root, key, SynthSpec(seconds=1.2, cameras=CAMERAS, seed=seed))
    return root


def content(folder: Path) -> dict[str, str]:
    """Hash and modification time of every file."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()}"
        f" {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_becomes_datasets_and_stays_as_it_was(recordings: Path, tmp_path: Path) -> None:
    before, output = content(recordings), tmp_path / "datasets"
    roots = ("--input", recordings, "--output", output)
    first = call("convert", "demo", *roots, "--format", "v2.1", "--format", "v3.0", "--json")
    assert first.code == 0, first.stderr
    summary = first.json()
    assert summary["ok"] is True
    assert [(e["key"], e["status"]) for e in summary["episodes"]] == [
        (FIRST, "converted"),
        (SECOND, "converted"),
    ]
    assert [(d["format"], d["episodes"]) for d in summary["datasets"]] == [("v2.1", 2), ("v3.0", 2)]
    for dataset in summary["datasets"]:
        location = Path(dataset["location"])
        assert location.is_relative_to(output)
        assert call("verify", location).code == 0

    written = content(output)
    again = call("convert", "demo", *roots, "--format", "v2.1", "--format", "v3.0")
    assert again.code == 0
    assert f"{FIRST}  unchanged" in again.stdout
    assert content(output) == written
    assert content(recordings) == before


def test_one_episode_may_be_chosen_and_settings_overridden(
    recordings: Path, tmp_path: Path
) -> None:
    outcome = call(
        *("convert", "demo", "--input", recordings, "--output", tmp_path, "--episode", SECOND),
        *("--strategy", "window", "--format", "v3.0", "--set", "alignment.window_ms=15", "--json"),
    )
    assert outcome.code == 0, outcome.stderr
    assert [episode["key"] for episode in outcome.json()["episodes"]] == [SECOND]


def test_two_workers_make_the_same_dataset_as_one(recordings: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        outcome = call(
            *("convert", "demo", "--input", recordings, "--output", tmp_path / str(workers)),
            *("--workers", workers, "--format", "v3.0", "--json"),
        )
        assert outcome.code == 0, outcome.stderr
        (dataset,) = outcome.json()["datasets"]
        shutil.move(dataset["location"], tmp_path / f"dataset_{workers}")
    one, two = (
        {name: line.split()[0] for name, line in content(tmp_path / f"dataset_{workers}").items()}
        for workers in (1, 2)
    )
    assert one == two


def test_a_refused_episode_is_listed_with_its_reason_and_stops_no_other(
    recordings: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(recordings, raw)
    shutil.rmtree(raw / "images" / FIRST / "cam_left")
    arguments = ("convert", "demo", "--input", raw, "--output", tmp_path / "out")
    for attempt in ("first", "again"):
        outcome = call(*arguments, "--format", "v3.0")
        assert outcome.code == 1, attempt
        assert f"  {FIRST}: missing_camera: " in outcome.stderr
        assert "1 episode, " in outcome.stdout
    summary = call(*arguments, "--format", "v3.0", "--json").json()
    assert summary["ok"] is False
    assert {episode["key"]: episode["reason"] for episode in summary["episodes"]} == {
        FIRST: "missing_camera",
        SECOND: None,
    }


def test_nothing_to_convert_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    outcome = call("convert", "demo", "--input", tmp_path / "raw", "--output", tmp_path / "out")
    assert outcome.code == 3
    assert "no recording found below" in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such"], 'no file "no_such"'),
        (["demo", "--strategy", "nearst"], "nearest"),
        (["demo", "--format", "v9"], "v2.1"),
        (["demo", "--set", "video.crff=3"], "video.crf"),
        (["demo", "--set", "video.crf"], "KEY=VALUE"),
    ],
)
def test_a_wrong_configuration_is_exit_code_2_and_names_the_remedy(
    recordings: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    outcome = call("convert", *arguments, "--input", recordings, "--output", tmp_path / "out")
    assert outcome.code == 2
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_episode_is_exit_code_2(recordings: Path, tmp_path: Path) -> None:
    outcome = call(
        *("convert", "demo", "--input", recordings, "--output", tmp_path, "--episode", "nobody")
    )
    assert outcome.code == 2
    assert "no episode named nobody" in outcome.stderr


def test_scan_tells_new_from_converted_and_refused(recordings: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(recordings, raw)
    roots = ("--input", raw, "--output", tmp_path / "out", "--set", "dataset.formats=[v3.0]")
    settled = (*roots, "--set", "storage.scanner.quiet_period_s=0")

    def states() -> dict[str, str]:
        outcome = call("scan", "demo", *settled, "--json")
        assert outcome.code == 0, outcome.stderr
        return {episode["key"]: episode["state"] for episode in outcome.json()["episodes"]}

    assert states() == {FIRST: "new", SECOND: "new"}
    call("convert", "demo", *roots, "--episode", FIRST)
    assert states() == {FIRST: "converted", SECOND: "new"}
    shutil.rmtree(raw / "images" / SECOND / "cam_high")
    call("convert", "demo", *roots)
    assert states() == {FIRST: "converted", SECOND: "refused"}
    table = call("scan", "demo", *settled).stdout
    assert "missing_camera: " in table
    assert table.endswith("1 converted, 1 refused\n")


def test_a_name_that_cannot_be_taken_is_listed_and_stops_no_other(
    recordings: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(recordings, raw)
    for section in ("joints", "images"):
        (raw / section / FIRST).rename(raw / section / "block" / "bad\x1b[2Jname")
    roots = ("--input", raw, "--output", tmp_path / "out", "--set", "dataset.formats=[v3.0]")
    outcome = call("convert", "demo", *roots)
    assert outcome.code == 1
    assert "  block/bad\\x1b[2Jname: bad_name: " in outcome.stderr
    assert "1 episode, " in outcome.stdout
    table = call("scan", "demo", *roots).stdout
    assert "bad_name: " in table
    assert "\x1b" not in outcome.stdout + outcome.stderr + table


def test_scan_says_why_a_recording_waits(recordings: Path, tmp_path: Path) -> None:
    roots = ("--input", recordings, "--output", tmp_path)
    outcome = call(
        "scan", "demo", *roots, "--set", "storage.scanner.quiet_period_s=100000", "--json"
    )
    (episode, _) = outcome.json()["episodes"]
    assert episode["state"] == "waiting"
    assert "quiet period" in episode["reason"]


def test_scan_of_an_empty_bucket_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert call("scan", "demo", "--input", tmp_path / "raw", "--output", tmp_path).code == 3
