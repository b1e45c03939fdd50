from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.keys import MAX_PARTITION_KEY, decode_key, encode_key
from lerobot_pipelines.storage.names import key_fault

KEYS = st.text(min_size=1, max_size=20).filter(lambda key: key_fault(key) is None)


@pytest.mark.parametrize(
    ("key", "partition"),
    [
        ("bottle/episode_0028", "bottle~episode_0028"),
        ("robot_1/pick-up/2025.11.26.bag", "robot_1~pick-up~2025.11.26.bag"),
        ("pick up, then [place]", "pick=20up=2C=20then=20=5Bplace=5D"),
        ("a...b", "a.=2E=2Eb"),
        ("-rf/.hidden", "=2Drf~=2Ehidden"),
        ("a~b=c", "a=7Eb=3Dc"),
        ("抓取", "=E6=8A=93=E5=8F=96"),
    ],
)
def test_keys_stay_readable(key: str, partition: str) -> None:
    assert encode_key(key) == partition
    assert decode_key(partition) == key


@given(KEYS)
def test_every_key_comes_back_from_its_partition(key: str) -> None:
    partition = encode_key(key)
    assert decode_key(partition) == key
    assert re.fullmatch(r"[A-Za-z0-9_=~][A-Za-z0-9._=~-]*", partition)
    assert ".." not in partition


@given(st.text(max_size=30))
def test_other_texts_are_no_partition_keys(text: str) -> None:
    try:
        key = decode_key(text)
    except Refused as refusal:
        assert refusal.reason is Reason.BAD_NAME
    else:
        assert encode_key(key) == text


@pytest.mark.parametrize("key", ["", "..", "a/../b", "/etc/passwd", "a\nb", "a//b", "a/", "\0"])
def test_dangerous_names_are_refused(key: str) -> None:
    with pytest.raises(Refused) as refusal:
        encode_key(key)
    assert refusal.value.reason is Reason.BAD_NAME


def test_long_names_are_refused_with_the_limit() -> None:
    longest = "a" * MAX_PARTITION_KEY
    assert decode_key(encode_key(longest)) == longest
    for key in (longest + "a", "抓" * 30):
        with pytest.raises(Refused, match=str(MAX_PARTITION_KEY)):
            encode_key(key)


@pytest.mark.parametrize("text", ["a=2", "a=zz", "a=+1b", "a=61", "a=2f", "a=FF", "~", "=", "é"])
def test_only_the_one_spelling_counts(text: str) -> None:
    with pytest.raises(Refused):
        decode_key(text)
