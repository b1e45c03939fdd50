"""Whatever a file holds, it is either loaded or refused with ``ConfigError``."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config import dump_config, load_config, override, shipped_configs
from lerobot_pipelines.config.faults import KeyPath
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.config.yaml_source import parse_yaml
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines_tests.config.test_legacy import BUCKET, QUEUE, ROBOT

TREES: list[Any] = [
    parse_yaml(text).data
    for text in (
        ROBOT,
        ROBOT + BUCKET + QUEUE,
        shipped_configs()["dual_arm_nearest"].read_text(encoding="utf-8"),
        dump_config(load_config(shipped_configs()["unitree_g1_bottle"])),
    )
]
WORDS = st.sampled_from(
    (
        *("", "..", "/", "a/../b", "left_slave", "cam_high", "base", "nearest", "0:7", "::0"),
        *("{source}", "{", "${X}", "${", "s3://", "s3://b/c", "file://", "yes", "1e999", "\0"),
    )
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | WORDS | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)


def places(tree: Any, path: KeyPath = ()) -> list[KeyPath]:
    found = [path] if path else []
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        found.extend(places(value, (*path, key)))
    return found


def changed(tree: Any, path: KeyPath, value: Any) -> Any:
    result = copy.deepcopy(tree)
    node = result
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return result


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    tree = draw(st.sampled_from(TREES))
    for _ in range(draw(st.integers(1, 3))):
        tree = changed(tree, draw(st.sampled_from(places(tree))), draw(VALUES))
    return tree


def attempt(path: Path) -> DatasetConfig | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load_config(path)
        except ConfigError as error:
            assert error.message.startswith(str(path))
            assert error.details["faults"]
            return None


QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(mutated())
def test_any_values_at_any_keys(tmp_path: Path, tree: Any) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML, but for infinities
    config = attempt(path)
    if config is not None:
        path.write_text(dump_config(config), encoding="utf-8")
        assert attempt(path) == config


@QUICK
@given(st.text(max_size=200))
def test_any_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert attempt(path) is None


@QUICK
@given(st.sampled_from(places(TREES[2])), VALUES, st.booleans())
def test_any_override(path: KeyPath, value: Any, by_number: bool) -> None:
    config = load_config(shipped_configs()["dual_arm_nearest"])
    key = ""
    for part in path:
        if isinstance(part, int):
            key += f"[{part}]" if by_number else f".{part}"
        else:
            key += f".{part}" if key else part
    try:
        override(config, {key: value})
    except ConfigError as error:
        assert error.details["faults"]


@pytest.mark.parametrize("key", ["", ".", "a..b", "[0]", "cameras", "cameras[0]", "features", "x"])
def test_odd_keys_of_overrides(key: str) -> None:
    config = load_config(shipped_configs()["demo"])
    with pytest.raises(ConfigError):
        override(config, {key: 5})
