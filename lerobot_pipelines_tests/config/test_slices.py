"""Slices as text mean what Python means, and never less than they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config.slices import (
    element_indices,
    fields_length,
    parse_slice,
    slice_length,
    split_subscript,
    subscripts,
)

BOUND = st.none() | st.integers(-12, 12)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        *(("0:7", range(7)), (":", range(10)), ("3", range(3, 4)), ("-1", range(9, 10))),
        *(("::2", range(0, 10, 2)), ("-3:", range(7, 10)), (" 2 : 4 ", range(2, 4))),
        *((":-8", range(2)), ("9:10", range(9, 10))),
    ],
)
def test_examples(text: str, elements: range) -> None:
    assert list(element_indices(text, 10)) == list(elements)


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "1,2", "[0:7]", "1.5", "0:7:0", "::-1"])
def test_what_is_no_slice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a slice|step"):
        parse_slice(text)


@pytest.mark.parametrize("text", ["0:11", "10", "-11:", "11:", "-11", "5:3", "10:", "4:4"])
def test_elements_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"reaches beyond|takes none"):
        element_indices(text, 10)


@given(BOUND, BOUND, st.none() | st.integers(1, 5), st.integers(1, 12))
def test_accepted_slices_take_what_python_takes(
    start: int | None, stop: int | None, step: int | None, dimension: int
) -> None:
    text = ":".join("" if part is None else str(part) for part in (start, stop, step))
    try:
        indices = element_indices(text, dimension)
    except ValueError:
        inside = all(bound is None or abs(bound) <= dimension for bound in (start, stop))
        assert not inside or not range(dimension)[start:stop:step]
        return
    assert list(indices) == list(range(dimension)[start:stop:step])
    assert slice_length(text) in (None, len(indices))


@pytest.mark.parametrize(
    ("text", "length"),
    [("12:26", 14), (":7", 7), ("5", 1), ("-2:", 2), ("::2", None), ("3:", None), ("-3:2", None)],
)
def test_lengths_are_told_only_where_they_are_certain(text: str, length: int | None) -> None:
    assert slice_length(text) == length


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("joint_data.joint_q[12:26]", ("joint_data.joint_q", "12:26")),
        ("position", ("position", None)),
        (" left [ 0:7 ] ", ("left", "0:7")),
        ("a[]", ("a", "")),
    ],
)
def test_subscripts_are_split_off(text: str, parts: tuple[str, str | None]) -> None:
    assert split_subscript(text) == parts


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("a[0:3], b[1:4]", 6),
        ("joint_q[12:26]", 14),
        ("a[0:3], b", None),
        ("a[0], b[0:2]", None),  # an element may hold several numbers
        ("a.b[0:2].c[1:4]", 3),
        ("position", None),
    ],
)
def test_several_fields_have_a_length_where_each_has_one(text: str, length: int | None) -> None:
    assert fields_length(text) == length


def test_every_subscript_of_a_field_is_found() -> None:
    assert subscripts("legs[12:26], arms[0].q[ 1 : ]") == ["12:26", "0", "1 :"]
