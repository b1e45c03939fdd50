"""The shipped examples are sound, say what they should, and teach every key."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from lerobot_pipelines.config import dump_config, load_config, load_configs, shipped_configs
from lerobot_pipelines.config.schema import CameraRole, Format, Strategy
from lerobot_pipelines.config.yaml_source import parse_yaml
from lerobot_pipelines.errors import PipelineWarning

SHIPPED = shipped_configs()


@pytest.mark.parametrize("name", SHIPPED)
def test_an_example_loads_without_a_warning_and_is_named_after_its_file(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PipelineWarning)
        config = load_config(SHIPPED[name])
    assert config.dataset.name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_what_an_example_resolves_to_reads_back_equal(name: str, tmp_path: Path) -> None:
    config = load_config(SHIPPED[name])
    path = tmp_path / "resolved.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize("name", SHIPPED)
def test_an_example_says_first_what_it_is(name: str) -> None:
    text = SHIPPED[name].read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert name == "dual_arm_nearest" or "dual_arm_nearest.yaml" in text  # where all keys are


def test_the_examples_are_one_folder_for_dagster() -> None:
    folder = next(iter(SHIPPED.values())).parent
    assert set(load_configs(folder)) == set(SHIPPED)


def test_each_strategy_has_its_example() -> None:
    strategies = {
        name: load_config(path).alignment.strategy
        for name, path in SHIPPED.items()
        if name.startswith("dual_arm_")
    }
    assert strategies == {
        "dual_arm_nearest": Strategy.NEAREST,
        "dual_arm_chunking": Strategy.CHUNKING,
        "dual_arm_window": Strategy.WINDOW,
    }


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith(("dual", "demo"))])
def test_the_two_armed_examples_fit_the_synthetic_robot(name: str) -> None:
    config = load_config(SHIPPED[name])
    assert [(camera.name, camera.role) for camera in config.cameras] == [
        ("cam_high", CameraRole.BASE),
        ("cam_left", CameraRole.SYNC),
        ("cam_right", CameraRole.DOWNSAMPLE),
    ]
    assert config.dataset.fps == 25
    assert {stream.file for stream in config.streams} == {
        *("left_slave.parquet", "right_slave.parquet"),
        *("left_master.parquet", "right_master.parquet"),
    }
    names = [name for part in config.features["action"].parts for name in part.names or ()]
    assert names == [f"{side}_joint_{joint}" for side in ("left", "right") for joint in range(7)]


@pytest.mark.parametrize("name", ["demo", "unitree_g1_bottle"])
def test_both_formats_are_shown(name: str) -> None:
    assert load_config(SHIPPED[name]).dataset.formats == (Format.V21, Format.V30)


def test_the_demo_keeps_its_bucket_beside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "configs" / "demo.yaml"
    path.parent.mkdir()
    path.write_bytes(SHIPPED["demo"].read_bytes())
    storage = load_config(path).storage
    assert storage.url == (tmp_path / "bucket").as_uri()
    assert storage.raw_prefix == "raw"


def test_the_bucket_of_the_others_is_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEROBOT_PIPELINES_BUCKET", str(tmp_path))
    for name in ("dual_arm_nearest", "dual_arm_chunking", "dual_arm_window", "unitree_g1_bottle"):
        assert load_config(SHIPPED[name]).storage.url == tmp_path.as_uri()


def test_the_full_example_speaks_of_every_key() -> None:
    config = load_config(SHIPPED["dual_arm_nearest"])
    text = SHIPPED["dual_arm_nearest"].read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z0-9_]+", text))
    missing = {
        path[-1]
        for path in parse_yaml(dump_config(config)).lines
        if isinstance(path[-1], str) and not path[-1].startswith("observation")
    } - words
    assert missing == set()


def test_defaults_in_the_comments_of_the_full_example_are_the_defaults(tmp_path: Path) -> None:
    """Taking the "#" away from a default changes nothing."""
    text = SHIPPED["dual_arm_nearest"].read_text(encoding="utf-8")
    before, features = text.split("# features:\n")
    examples, after = features.split("\ncameras:\n")
    assert "null removes" in before and examples
    uncommented = re.sub(
        r"^(\s*)# ([a-z_]+: )(?!see )", r"\1\2", f"{before}\ncameras:\n{after}", flags=re.MULTILINE
    )
    path = tmp_path / "dual_arm_nearest.yaml"
    path.write_text(uncommented, encoding="utf-8")
    assert uncommented != text
    assert load_config(path) == load_config(SHIPPED["dual_arm_nearest"])
