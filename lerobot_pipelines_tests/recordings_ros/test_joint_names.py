"""Every number under its joint's name, or a refusal: whoever publishes what, in whatever order."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, Severity, warnings_of
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    config_of,
    source_of,
    write_ros1,
)
from lerobot_pipelines_tests.recordings_ros.joint_talk import (
    ALL_NAMES,
    JOINT_STATE,
    TOPIC,
    Heard,
    Talk,
    heard,
    talks,
)

ARM = ("a1", "a2", "a3")
HAND = ("h1", "h2")


def check_values(recording: BagRecording, name: str, reference: dict[int, Heard]) -> set[int]:
    """Every number of a stream is the one beside its name; the stamps of its samples."""
    names = recording.streams[name].element_names
    assert names is not None
    stamps = recording.timestamps(name).tolist()
    for ns, row in zip(stamps, recording.vectors(name).tolist(), strict=True):
        assert row == [reference[ns].number(element) for element in names]
    return set(stamps)


def counted(recording: BagRecording) -> int:
    """Messages that are said to be left out."""
    codes = (IntakeCode.PARTIAL_MESSAGES, IntakeCode.JOINT_SETS)
    told = [
        e.count for e in recording.intake if e.code in codes and "a stream each" not in e.message
    ]
    return sum(told) + sum(fault.count for fault in recording.faults)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(talk=talks())
def test_without_a_configuration_no_number_is_lost_in_silence(talk: Talk) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = talk.write(Path(folder))
        reference = heard(path)
        recording = open_bag(source_of(path))
        seen: dict[int, set[str]] = {ns: set() for ns in reference}
        for name, stream in recording.streams.items():
            for ns in check_values(recording, name, reference):
                seen[ns] |= set(stream.element_names or ())
        lost = [ns for ns, one in reference.items() if set(one.position) - seen[ns]]
        assert len(lost) <= counted(recording)
        recording.close()


FIELDS = ("position", "position[0:2]", "position[1]", "position, velocity", "velocity[::2]", None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    talk=talks(),
    field=st.sampled_from(FIELDS),
    wanted=st.none() | st.lists(st.sampled_from(ALL_NAMES), min_size=1, max_size=4, unique=True),
)
def test_a_configured_stream_has_its_joints_or_is_refused(
    talk: Talk, field: str | None, wanted: list[str] | None
) -> None:
    stream = StreamConfig(name="s", topic=TOPIC, field=field, joint_names=wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = talk.write(Path(folder))
        reference = heard(path)
        if field == "velocity[::2]":
            reference = {ns: Heard(one.velocity, one.velocity) for ns, one in reference.items()}
        recording = open_bag(source_of(path), config_of(stream))
        try:
            stamps = check_values(recording, "s", reference)
        except Refused as refusal:
            check_refusal(refusal, talk, field, wanted)
            return
        names = [name.partition(".")[0] for name in recording.streams["s"].element_names or ()]
        if wanted is not None:
            assert list(dict.fromkeys(names)) == wanted
        # Whatever has all of the joints is a sample; what has not is counted.
        full = {ns for ns, one in reference.items() if set(names) <= set(one.position)}
        assert stamps <= full
        assert len(reference) - len(stamps) <= counted(recording)
        recording.close()


def check_refusal(refusal: Refused, talk: Talk, field: str | None, wanted: Any) -> None:
    assert refusal.reason is Reason.MISSING_FIELD
    assert TOPIC in refusal.message
    sets = {frozenset(names) for _, names in talk.messages()}
    if wanted is None:
        assert len(sets) > 1 or "elements" in refusal.message
        assert "joint_names" in refusal.message or "elements" in refusal.message
    else:
        assert not any(set(wanted) <= one for one in sets) or "elements" in refusal.message


# Cases ------------------------------------------------------------------------------------------


@pytest.fixture
def types() -> Types:
    return Types(1)


def bag(folder: Path, types: Types, sent: list[tuple[tuple[str, ...], tuple[float, ...]]]) -> Path:
    said = [
        Said(TOPIC, JOINT_STATE, ns, types.joint_state(ns, values, names))
        for ns, (names, values) in zip(
            range(START_NS, START_NS + len(sent) * 1000, 1000), sent, strict=True
        )
    ]
    return write_ros1(folder / "a.bag", said, types)


def opened(path: Path, **stream: Any) -> BagRecording:
    return open_bag(source_of(path), config_of(StreamConfig(name="s", topic=TOPIC, **stream)))


def test_two_nodes_in_turn_are_two_streams(types: Types, tmp_path: Path) -> None:
    path = bag(tmp_path, types, [(HAND, (7, 8)), (ARM, (1, 2, 3))] * 20)
    recording = open_bag(source_of(path))
    assert list(recording.streams) == [f"{TOPIC}:h1+h2", f"{TOPIC}:a1..a3(3)"]
    hand, arm = recording.streams.values()
    assert (hand.element_names, hand.count, hand.dimension) == (HAND, 20, 2)
    assert arm.details["joint_names"] == list(ARM)
    assert recording.vectors(arm.name).tolist() == [[1, 2, 3]] * 20
    assert recording.vectors(hand.name).tolist() == [[7, 8]] * 20


def test_two_nodes_need_joint_names_in_a_configuration(types: Types, tmp_path: Path) -> None:
    path = bag(tmp_path, types, [(HAND, (7, 8)), (ARM, (1, 2, 3))] * 20)
    with pytest.raises(Refused) as caught:
        opened(path).vectors("s")
    assert caught.value.reason is Reason.MISSING_FIELD
    for told in ("[h1, h2] in 20 messages", "[a1, a2, a3] in 20 messages", "joint_names"):
        assert told in caught.value.message
    recording = opened(path, joint_names=ARM)
    assert recording.vectors("s").tolist() == [[1, 2, 3]] * 20
    assert recording.streams["s"].details["other_messages"] == 20


def test_joints_of_two_nodes_are_no_stream_together(types: Types, tmp_path: Path) -> None:
    path = bag(tmp_path, types, [(HAND, (7, 8)), (ARM, (1, 2, 3))] * 20)
    with pytest.raises(Refused) as caught:
        opened(path, joint_names=(*ARM, *HAND)).vectors("s")
    assert caught.value.reason is Reason.MISSING_FIELD
    assert "[a1, a2, a3] in 20 messages" in caught.value.message
    assert "give each set a stream of its own" in caught.value.message


def test_a_driver_that_begins_with_some_joints(types: Types, tmp_path: Path) -> None:
    path = bag(tmp_path, types, [(("a2",), (9,))] * 3 + [(ARM, (1, 2, 3))] * 50)
    for settings_ in ({}, {"joint_names": ARM}, {"field": "position[0:3]"}):
        recording = opened(path, **settings_)
        assert recording.vectors("s").tolist() == [[1, 2, 3]] * 50
        assert recording.faults == ()
        (entry,) = recording.intake
        assert (entry.code, entry.count) == (IntakeCode.PARTIAL_MESSAGES, 3)
        assert entry.severity is Severity.NOTE


def test_a_tool_that_is_added_half_way(types: Types, tmp_path: Path) -> None:
    both = (*HAND, *ARM)
    path = bag(tmp_path, types, [(ARM, (1, 2, 3))] * 20 + [(both, (7, 8, 1, 2, 3))] * 20)
    assert opened(path, joint_names=ARM).vectors("s").tolist() == [[1, 2, 3]] * 40
    assert opened(path, joint_names=both).vectors("s").tolist() == [[7, 8, 1, 2, 3]] * 20
    with pytest.raises(Refused, match="2 sets of joints"):
        opened(path).vectors("s")
    recording = open_bag(source_of(path))
    assert [stream.count for stream in recording.streams.values()] == [40, 20]


def test_a_joint_that_shows_up_now_and_then_is_said(types: Types, tmp_path: Path) -> None:
    sent = [(ARM, (1.0, 2.0, 3.0))] * 50
    sent[30] = (("x", *ARM), (9, 1, 2, 3))
    recording = opened(bag(tmp_path, types, sent))
    assert recording.vectors("s").tolist() == [[1, 2, 3]] * 50
    (entry,) = warnings_of(recording.intake)
    assert (entry.code, entry.count) == (IntakeCode.JOINT_SETS, 1)
    assert "[x]" in entry.message


def test_slices_count_in_the_order_of_the_first_message(types: Types, tmp_path: Path) -> None:
    sent = [(ARM, (1.0, 2.0, 3.0))] * 5 + [(ARM[::-1], (3.0, 2.0, 1.0))] * 5
    path = bag(tmp_path, types, sent)
    for field, expected in (
        ("position[0:2]", [1, 2]),
        ("position[-1]", [3]),
        ("position", [1, 2, 3]),
    ):
        recording = opened(path, field=field)
        assert recording.vectors("s").tolist() == [expected] * 10
        assert recording.streams["s"].details["joint_order_changed"] == 5


def test_numbers_that_are_not_finite_are_named(types: Types, tmp_path: Path) -> None:
    path = bag(tmp_path, types, [(ARM, (1, float("nan"), 3))] * 5)
    config = config_of(StreamConfig(name="s", topic=TOPIC), max_corrupt=0.05)
    with pytest.raises(Refused) as caught:
        open_bag(source_of(path), config).vectors("s")
    assert caught.value.reason is Reason.NON_FINITE
    assert "not finite: a2" in caught.value.message
    assert "joint_names" in caught.value.message
    assert opened(path, joint_names=("a1", "a3")).vectors("s").tolist() == [[1, 3]] * 5


def test_names_that_do_not_tell_numbers_apart_never_mix(types: Types, tmp_path: Path) -> None:
    twice = [(("a", "a"), (1.0, 2.0))] * 5 + [(("a", "b"), (3.0, 4.0))] * 5
    with pytest.raises(Refused, match="2 sets of joints"):
        opened(bag(tmp_path, types, twice)).vectors("s")
    more = [(("a", "b"), (1.0, 2.0, 3.0))] * 5 + [(("b", "a"), (1.0, 2.0, 3.0))] * 5
    for folder in ("more", "fewer"):
        (tmp_path / folder).mkdir()
    with pytest.raises(Refused, match="2 sets of joints"):
        opened(bag(tmp_path / "more", types, more)).vectors("s")
    recording = opened(bag(tmp_path / "fewer", types, more[:5]))
    assert recording.vectors("s").tolist() == [[1, 2, 3]] * 5
    assert recording.streams["s"].element_names is None
