"""``output.pattern``: the folder of all results, and the pattern below it."""

from __future__ import annotations

import posixpath
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.legacy_names import identifier, split_pattern
from lerobot_pipelines_tests.config.loading import Loader

ROBOT = """\
robot: {arms: [{name: a_slave}, {name: a_master}], joints_per_arm: 6}
cameras: [{name: cam, role: base}]
sources: [robot_1, robot_2]
output: {pattern: "./sets/{source}/{episode_id}_{strategy}"}
"""
PARTS = st.lists(
    st.sampled_from(["a", "b_c", "{source}", "{episode_id}_{strategy}", "x{dataset}"]),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(
    ("pattern", "base", "rest"),
    [
        ("./sets/{source}/{episode_id}_{strategy}", "sets", "{source}/{episode_id}_{strategy}"),
        ("/data/out/{episode_id}", "/data/out", "{episode_id}"),
        ("../out/x_{episode_id}", "../out", "x_{episode_id}"),
        ("{source}/fixed", None, "{source}/fixed"),
        ("sets/all", "sets", "all"),
        ("all/", None, "all"),
    ],
)
def test_folders_before_the_first_placeholder_are_the_place(
    pattern: str, base: str | None, rest: str
) -> None:
    assert split_pattern(pattern) == (base, rest)


@given(PARTS, st.sampled_from(["", "./", "/"]), st.sampled_from(["", "/"]))
def test_both_parts_make_the_pattern_again(parts: list[str], before: str, after: str) -> None:
    base, rest = split_pattern(before + "/".join(parts) + after)
    assert base is None or "{" not in base
    assert rest
    assert posixpath.join(base or "", rest) == before.removeprefix("./") + "/".join(parts)


@given(st.text(max_size=150))
def test_any_text_becomes_a_name_or_none(text: str) -> None:
    name = identifier(text)
    assert name == "" or (name[0].isalpha() and name.isascii() and len(name) <= 100)
    assert identifier(name) == name


def test_the_place_lies_below_a_bucket_given_from_outside(loader: Loader) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = load_config(loader.write(ROBOT), {"storage.url": "/bucket"})
    assert config.storage.url == "file:///bucket"
    assert config.storage.converted_prefix == "sets"
    assert config.dataset.pattern == "{source}/{episode_id}_{strategy}"
