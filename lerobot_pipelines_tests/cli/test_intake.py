"""The intake report from the recording to the dataset, as a person meets it on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.cli.calling import call

CAMERAS = tuple(
    SynthCamera(name, rate, width=64, height=48)
    for name, rate in (("cam_high", 25.0), ("cam_left", 25.0), ("cam_right", 30.0))
)
CLEAN, DOUBTED = "block/clean", "block/doubted"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """Of two recordings one holds a picture whose name is no stamp: a fault, left out."""
    for seed, key in enumerate((CLEAN, DOUBTED)):
        spec = SynthSpec(seconds=1.2, cameras=CAMERAS, seed=seed)
        write_recording(tmp_path / "raw", key, spec)
    (picture, *_) = sorted((tmp_path / "raw" / "images" / DOUBTED / "cam_left").glob("*.jpg"))
    (picture.parent / "thumbnail\u202e.jpg").write_bytes(picture.read_bytes())
    return tmp_path


def setting(bucket: Path) -> tuple[str, ...]:
    return ("--set", f"storage.url={bucket}")


def test_a_warning_goes_all_the_way(bucket: Path) -> None:
    outcome = call("convert", "demo", *setting(bucket))
    assert outcome.code == 0, outcome.stderr
    assert "1 converted with warnings" in outcome.stderr
    (line,) = [one for one in outcome.stderr.splitlines() if one.startswith(f"  {DOUBTED}: ")]
    assert (
        "2 warnings: cam_left: bad_name" in line
        and "few_faults: " in line
        and "\u202e" not in outcome.stderr
    )

    again = call("convert", "demo", *setting(bucket), "--json")
    assert again.code == 0, again.stderr
    by_key = {one["key"]: one["intake"] for one in again.json()["episodes"]}
    assert [one for one in by_key[CLEAN] if one["severity"] == "warning"] == []
    (entry,) = [one for one in by_key[DOUBTED] if one["severity"] == "warning"]
    assert (entry["code"], entry["stream"]) == ("fault", "cam_left")
    assert entry["details"]["reason"] == "bad_name"
    dataset = again.json()["datasets"][-1]
    readme = (Path(dataset["location"]) / "README.md").read_text()
    assert "1 of 2 recordings were converted with warnings" in readme

    monitored = call("monitor", "demo", *setting(bucket))
    assert "fault (1 episode)" in monitored.stdout
    assert call("monitor", "demo", *setting(bucket), "--json").json()["warnings"]["fault"] == 1
    metrics = call("monitor", "demo", *setting(bucket), "--prometheus").stdout
    assert 'lerobot_pipelines_episodes_with_warnings{dataset="demo",code="fault"} 1' in metrics

    verified = call("verify", dataset["location"])
    assert verified.code == 0 and "sound, with" in verified.stdout
    assert "at conversion (v3.0, 2 episodes" in verified.stdout and DOUBTED in verified.stdout
    assert call("verify", dataset["location"], "--strict").code == 1
    as_json = call("verify", dataset["location"], "--json").json()
    assert as_json["ok"] is True and as_json["conversion"]["listed"][0]["recording"] == DOUBTED


def test_strict_refuses_it_and_says_what_to_do(bucket: Path) -> None:
    outcome = call("convert", "demo", *setting(bucket), "--strict", "--json")
    assert outcome.code == 1
    statuses = {one["key"]: (one["status"], one["reason"]) for one in outcome.json()["episodes"]}
    assert statuses == {CLEAN: ("converted", None), DOUBTED: ("refused", "warnings")}
    (left_out,) = outcome.json()["left_out"]
    assert "cam_left" in left_out["message"] and "filtering.strict: false" in left_out["message"]
    # Remembered like any refusal, and taken back by the configuration that allows it.
    strict = (*setting(bucket), "--set", "filtering.strict=true")
    monitored = call("monitor", "demo", *strict, "--json").json()
    assert (monitored["refused"], monitored["reasons"]) == (1, {"warnings": 1})
    lenient = call("convert", "demo", *setting(bucket), "--json")
    assert lenient.code == 0
    assert {one["status"] for one in lenient.json()["episodes"]} == {"converted"}
