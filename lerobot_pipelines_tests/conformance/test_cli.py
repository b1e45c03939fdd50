"""The command line on real recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.conformance.shared import shared_folder

pytestmark = pytest.mark.conformance


@pytest.fixture
def recordings() -> Path:
    return shared_folder() / "data" / "g1_bottle"


def test_a_real_bag_converts_with_the_configuration_suggested_for_it(
    recordings: Path, tmp_path: Path
) -> None:
    bag = tmp_path / "raw" / "bottle" / "episode_0029.bag"
    bag.parent.mkdir(parents=True)
    shutil.copyfile(recordings / "episode_0029.bag", bag)
    suggested = call("inspect", bag, "--suggest-config")
    assert suggested.code == 0, suggested.stderr
    (tmp_path / "suggested.yaml").write_text(suggested.stdout)
    converted = call(
        *("convert", tmp_path / "suggested.yaml", "--set", "video.preset=ultrafast", "--json")
    )
    assert converted.code == 0, converted.stderr
    datasets = converted.json()["datasets"]
    assert [dataset["format"] for dataset in datasets] == ["v2.1", "v3.0"]
    for dataset in datasets:
        assert dataset["frames"] == pytest.approx(221, abs=2)
        assert call("verify", dataset["location"]).code == 0


def test_a_real_folder_converts_with_the_shipped_configuration(
    recordings: Path, tmp_path: Path
) -> None:
    converted = call(
        *("convert", "unitree_g1_bottle", "--input", recordings, "--output", tmp_path),
        *("--episode", "bottle/episode_0029", "--set", "video.preset=ultrafast", "--json"),
    )
    assert converted.code == 0, converted.stderr
    for dataset in converted.json()["datasets"]:
        assert call("verify", dataset["location"]).code == 0
