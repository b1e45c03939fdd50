from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.names import MAX_KEY_BYTES, check_key, join, key_fault, shown


@pytest.mark.parametrize(
    "key",
    [
        *("", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/./b", "a\nb", "a\0b", "a\x7fb"),
        *("a\u2028b", "\ud800", "a\ufffdb", "x" * 256, "é" * 128, "/".join(["abc"] * 300)),
    ],
)
def test_names_that_escape_hide_or_overflow_are_refused(key: str) -> None:
    with pytest.raises(Refused) as refusal:
        check_key(key)
    assert refusal.value.reason is Reason.BAD_NAME
    assert len(str(refusal.value)) < 400
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "key", ["a", "a b/c,d", "抓取/第 1 次", "a...b/..c", "x" * 255, "[a]'\"%20"]
)
def test_odd_but_harmless_names_are_accepted(key: str) -> None:
    assert check_key(key) == key


@given(st.text(max_size=60))
def test_an_accepted_name_stays_below_its_folder(key: str) -> None:
    if key_fault(key) is None:
        assert all(part not in ("", ".", "..") for part in key.split("/"))
        assert len(key.encode()) <= MAX_KEY_BYTES


@given(st.text())
def test_any_name_can_be_shown_on_one_short_line(key: str) -> None:
    text = shown(key)
    assert text.isprintable()
    assert len(text) < 130


def test_join_leaves_empty_parts_out() -> None:
    assert join("", "a/", "/b", "", "c") == "a/b/c"
    assert join("", "") == ""
