from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.cli.calling import call

CAMERAS = (
    SynthCamera("cam_high", 25.0, width=64, height=48),
    SynthCamera("cam_right", 30.0, width=64, height=48),
)
KEY = "block/episode_0001"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inspect") / "raw"
    spec = SynthSpec(
        seconds=2.5, cameras=CAMERAS, gap=("cam_right", 0.8, 0.7), layout="episode", task="stack"
    )
    write_recording(root, KEY, spec)
    return root


def test_streams_rates_gaps_and_metadata_are_shown(raw: Path) -> None:
    outcome = call("inspect", raw / KEY, "--json")
    assert outcome.code == 0, outcome.stderr
    document = outcome.json()
    streams = {stream["name"]: stream for stream in document["streams"]}
    assert len(streams) == 6
    assert streams["cam_high"]["kind"] == "picture"
    assert streams["cam_high"]["median_rate_hz"] == pytest.approx(25.0, rel=0.02)
    assert streams["cam_right"]["median_rate_hz"] == pytest.approx(30.0, rel=0.02)
    assert streams["cam_right"]["longest_gap_ms"] == pytest.approx(700, abs=80)
    assert streams["left_master"]["dimension"] == 7
    assert document["metadata"]["task"] == "stack"
    (gap,) = document["gaps"]
    assert gap["stream"] == "cam_right"
    assert gap["at_s"] == pytest.approx(0.8, abs=0.08)
    assert document["faults"] == []


def test_the_table_names_each_stream_and_the_hole(raw: Path) -> None:
    outcome = call("inspect", raw / KEY, "--gap-ms", 300)
    assert outcome.code == 0
    for word in ("cam_high", "left_slave", "task: stack", "gaps longer than 300 ms: 1", "none"):
        assert word in outcome.stdout


def test_faults_are_listed_and_the_rest_stays_readable(raw: Path, tmp_path: Path) -> None:
    episode = tmp_path / KEY
    write_recording(tmp_path, KEY, SynthSpec(seconds=1.0, cameras=CAMERAS, layout="episode"))
    picture = sorted((episode / "images" / "cam_high").glob("*.jpg"))[3]
    picture.rename(picture.with_name("not\x1b[2Ja stamp.jpg"))
    outcome = call("inspect", episode)
    assert outcome.code == 0, outcome.stderr
    assert "warnings: 1" in outcome.stdout
    assert "cam_high: fault: bad_name at" in outcome.stdout
    assert "\x1b" not in outcome.stdout
    (entry,) = call("inspect", episode, "--json").json()["intake"]
    assert (entry["code"], entry["severity"], entry["stream"]) == ("fault", "warning", "cam_high")
    assert entry["details"]["reason"] == "bad_name"
    assert "\x1b" not in outcome.stdout


@pytest.mark.parametrize("layout", ["episode", "split"])
def test_a_suggested_configuration_converts(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "raw"
    spec = SynthSpec(
        seconds=1.2, cameras=CAMERAS, layout="episode" if layout == "episode" else "split"
    )
    write_recording(root, KEY, spec)
    recording = root / KEY if layout == "episode" else root / "images" / KEY
    suggested = call("inspect", recording, "--suggest-config")
    assert suggested.code == 0, suggested.stderr
    config = tmp_path / "suggested.yaml"
    config.write_text(suggested.stdout)
    outcome = call("convert", config, "--input", root, "--output", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json()["datasets"][0]["episodes"] == 1


def test_an_unreadable_recording_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    bag = tmp_path / "broken.bag"
    bag.write_bytes(b"this is not a bag")
    outcome = call("inspect", bag)
    assert outcome.code == 1
    assert outcome.stderr.startswith("error: [")
    assert "Traceback" not in outcome.stderr


def test_a_missing_recording_is_exit_code_2(tmp_path: Path) -> None:
    assert call("inspect", tmp_path / "nothing").code == 2
