from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.cli.commands.synth import numbered_keys
from lerobot_pipelines_tests.cli.calling import call


@pytest.mark.parametrize(
    ("first", "count", "keys"),
    [
        ("block/episode_0009", 2, ["block/episode_0009", "block/episode_0010"]),
        ("block/x", 2, ["block/x_0001", "block/x_0002"]),
        ("block/x", 1, ["block/x"]),
    ],
)
def test_recordings_are_numbered_on(first: str, count: int, keys: list[str]) -> None:
    assert numbered_keys(first, count) == keys


def test_the_recordings_asked_for_are_written(tmp_path: Path) -> None:
    outcome = call(
        *("synth", tmp_path / "raw", "--key", "pour/7", "--episodes", 2, "--seconds", 1),
        *("--layout", "episode", "--cameras", "front:20:64x48,side", "--gap", "front:0.2:0.6"),
    )
    assert outcome.code == 0, outcome.stderr
    for key in ("pour/7", "pour/8"):
        report = call("inspect", tmp_path / "raw" / key, "--json").json()
        rates = {stream["name"]: stream["median_rate_hz"] for stream in report["streams"]}
        assert rates["front"] == pytest.approx(20.0, rel=0.05)
        assert rates["side"] == pytest.approx(25.0, rel=0.05)
        assert [gap["stream"] for gap in report["gaps"]] == ["front"]


def test_an_existing_recording_is_never_overwritten(tmp_path: Path) -> None:
    arguments = ("synth", tmp_path, "--seconds", 0.5, "--cameras", "front:10:64x48")
    assert call(*arguments).code == 0
    outcome = call(*arguments)
    assert outcome.code == 2
    assert "exists; choose another --key" in outcome.stderr


@pytest.mark.parametrize("option", [("--cameras", "front:fast"), ("--gap", "front:1")])
def test_a_wrong_option_is_exit_code_2(tmp_path: Path, option: tuple[str, str]) -> None:
    outcome = call("synth", tmp_path, *option)
    assert outcome.code == 2
    assert option[0] in outcome.stderr
    assert list(tmp_path.iterdir()) == []
