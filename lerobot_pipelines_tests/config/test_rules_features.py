"""Streams and the features made of them fit together."""

from __future__ import annotations

import pytest

from lerobot_pipelines_tests.config.loading import SOUND, Loader

STREAM = "{name: left, file: left.parquet, "
ON_LEFT = "streams[0]"


@pytest.mark.parametrize(
    ("streams", "key", "words"),
    [
        ("[{name: left}]", ON_LEFT, "needs a file (folders) or a topic (bags)"),
        ("[{name: left, file: ''}]", f"{ON_LEFT}.file", "is empty"),
        ("[{name: left, file: /etc/x}]", f"{ON_LEFT}.file", "is not relative"),
        ("[{name: left, file: a/../../x}]", f"{ON_LEFT}.file", 'holds the part ".."'),
        ('[{name: left, file: "a\\\\b"}]', f"{ON_LEFT}.file", "backslash"),
        ('[{name: left, file: "a\\nb"}]', f"{ON_LEFT}.file", "control character"),
        ("[{name: left, topic: /a, columns: [a]}]", f"{ON_LEFT}.columns", "is for files"),
        (f"[{STREAM}joint_names: [a]}}]", f"{ON_LEFT}.joint_names", "is for topics"),
        (f"[{STREAM}columns: [a, b], expected_dimension: 3}}]", f"{ON_LEFT}.columns", "3 are"),
        (
            "[{name: left, topic: /a, joint_names: [a, b], field: 'p, v', expected_dimension: 2}]",
            f"{ON_LEFT}.joint_names",
            "has 2 entries for each of 2 fields; 2 are expected",
        ),
        (
            "[{name: left, topic: /a, joint_names: [a, b], field: 'p, v', scale: [1, 1]}]",
            f"{ON_LEFT}.scale",
            "2 numbers for 4 elements",
        ),
        (f"[{STREAM}columns: [a, a]}}]", f"{ON_LEFT}.columns", 'holds "a" twice'),
        (f"[{STREAM}scale: [1, 2], expected_dimension: 3}}]", f"{ON_LEFT}.scale", "2 numbers"),
        (f"[{STREAM}bias: [1], columns: [a, b]}}]", f"{ON_LEFT}.bias", "1 numbers for 2"),
        (f"[{STREAM}space: quaternion, expected_dimension: 7}}]", f"{ON_LEFT}.space", "four"),
        (f"[{STREAM}strategy: chunking}}]", f"{ON_LEFT}.strategy", "chunk: true"),
        (f"[{STREAM}max_age_ms: 5}}]", f"{ON_LEFT}.max_age_ms", "only hold looks at the age"),
        ("[{name: left, topic: /a, field: 'q[2'}]", f"{ON_LEFT}.field", None),
        ("[{name: left, topic: /a, field: 'q[a:b]'}]", f"{ON_LEFT}.field", "is not a slice"),
        ("[{name: left, topic: /a, field: '[0:2]'}]", f"{ON_LEFT}.field", "names no field"),
        (
            "[{name: left, topic: /a, field: 'q[12:26]', expected_dimension: 7}]",
            f"{ON_LEFT}.field",
            "takes 14 elements, but expected_dimension is 7",
        ),
        (f"[{STREAM}}}, {STREAM}}}]", "streams[1].name", "is used twice"),
    ],
)
def test_streams(loader: Loader, streams: str, key: str, words: str | None) -> None:
    text = loader.changed(streams=streams, features="{}")
    if words is None:
        loader.load(text)  # an odd name, which the recording may know
    else:
        fault = loader.faults(text)[key]
        assert words in fault.message
        assert fault.line == 5


def test_streams_and_cameras_share_their_names(loader: Loader) -> None:
    text = loader.changed(streams="[{name: cam_high, file: a}]", features="{}")
    fault = loader.faults(text)["cameras[0].name"]
    assert 'there is a stream "cam_high" as well' in fault.message


@pytest.mark.parametrize(
    ("feature", "key", "words"),
    [
        ("[lef]", "[0].stream", 'there is no stream "lef"; did you mean "left"?'),
        ("[left, {stream: zz}]", "[1].stream", "known are left, right"),
        ("[cam_high]", "[0].stream", "is a camera"),
        ("['left[0:8]']", "[0].slice", "reaches beyond the 7 elements"),
        ("['left[7]']", "[0].slice", "reaches beyond the 7 elements"),
        ("['left[3:3]']", "[0].slice", "takes none of the 7 elements"),
        ("['left[a]']", "[0].slice", "is not a slice"),
        ("['left[::-1]']", "[0].slice", "step -1"),
        ("[{stream: left, names: [a, b]}]", "[0].names", "has 2 names for 7 elements"),
        ("[{stream: left, slice: '0:2', names: [a]}]", "[0].names", "has 1 names for 2 elements"),
        ("[{stream: left, fallback: rigth}]", "[0].fallback", 'did you mean "right"?'),
        (
            "[{stream: left, fallback: right, fallback_slice: '0:9'}]",
            "[0].fallback_slice",
            "beyond",
        ),
        ("[{stream: left, fallback_slice: '0:7'}]", "[0].fallback_slice", "without fallback"),
        ("['left[0:2]', {stream: left, slice: '0:2', fallback: right}]", "[1].fallback", "has 7"),
        ("[{stream: left, nams: [a]}]", "[0].nams", 'did you mean "names"?'),
        ("[{slice: '0:2'}]", "[0].stream", "is missing"),
    ],
)
def test_parts_of_features(loader: Loader, feature: str, key: str, words: str) -> None:
    faults = loader.faults(loader.changed(features=f"{{observation.state: {feature}}}"))
    assert words in faults[f"features.observation.state{key}"].message


def test_parts_under_their_own_key_are_named_so(loader: Loader) -> None:
    faults = loader.faults(loader.changed(features="{action: {parts: [lef], chunk: true}}"))
    assert "features.action.parts[0].stream" in faults


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("observation/state", "for example observation.state"),
        ("timestamp", "LeRobot adds itself"),
        ("frame_index", "LeRobot adds itself"),
        ("episode_index", "LeRobot adds itself"),
        ("index", "LeRobot adds itself"),
        ("task_index", "LeRobot adds itself"),
        ("task", "LeRobot adds itself"),
        (".state", 'must not begin or end with "."'),
        ("observation.images.cam_high", "is the feature of the camera"),
        ("observation.image_quality", 'holds the word "image"'),
        ("action_is_pad", "padding mask"),
        ('""', "is no name for a feature"),
        ('" action"', "is no name for a feature"),
    ],
)
def test_names_of_features(loader: Loader, key: str, words: str) -> None:
    text = loader.changed(features=f"{{action: {{parts: [left], chunk: true}}, {key}: [left]}}")
    spelled = key.strip('"')
    assert words in loader.faults(text)[f"features.{spelled}"].message


def test_two_elements_of_one_name_are_a_fault(loader: Loader) -> None:
    text = loader.changed(
        features="{action: [{stream: left, slice: '0:1', names: [a]}, "
        "{stream: right, slice: '0:1', names: [a]}]}"
    )
    assert 'two elements are called "a"' in loader.faults(text)["features.action"].message


def test_a_feature_without_parts_is_a_fault(loader: Loader) -> None:
    faults = loader.faults(loader.changed(features="{action: []}"))
    assert faults["features.action.parts"].message == "must not be empty"


def test_slices_of_streams_of_unknown_size_are_taken_as_they_are(loader: Loader) -> None:
    text = loader.changed(
        streams="[{name: left, topic: /q, field: data}]",
        features="{action: [{stream: left, slice: '90:92', names: [a, b]}]}",
    )
    assert loader.load(text).features["action"].parts[0].slice == "90:92"


def test_the_size_of_a_field_with_a_slice_is_known(loader: Loader) -> None:
    text = loader.changed(
        streams="[{name: left, topic: /q, field: 'joint_q[12:26]'}]",
        features="{action: ['left[0:15]']}",
    )
    assert "14 elements" in loader.faults(text)["features.action[0].slice"].message


@pytest.mark.parametrize("field", ["poses[0]", "points[0:2]", "data[0].position[0:6]"])
def test_elements_of_a_field_may_be_messages_of_several_numbers(loader: Loader, field: str) -> None:
    streams = f"[{{name: left, topic: /q, field: '{field}', expected_dimension: 6}}]"
    loader.load(loader.changed(streams=streams, features="{action: ['left[0:6]']}"))


def test_chunking_needs_a_feature_to_chunk(loader: Loader) -> None:
    fault = loader.faults(SOUND + "alignment: {strategy: chunking}\n")["alignment.strategy"]
    assert "features.action.chunk: true" in fault.message


def test_hold_with_an_age_of_its_own_is_fine(loader: Loader) -> None:
    text = loader.changed(
        streams="[{name: left, file: a, strategy: hold, max_age_ms: 50}]", features="{a: [left]}"
    )
    assert loader.load(text).stream("left").max_age_ms == 50


def test_a_file_that_describes_no_data_is_a_fault(loader: Loader) -> None:
    faults = loader.faults(
        "dataset: {name: a}\nstorage: {url: /b}\nalignment: {timeline: uniform}\n"
    )
    assert "neither features nor cameras" in faults[""].message


def test_the_order_of_features_does_not_follow_from_the_file(loader: Loader) -> None:
    text = "{action: [left], zeta: [left], observation.z: [left], observation.state: [left]}"
    keys = list(loader.load(loader.changed(features=text)).features)
    assert keys == ["observation.state", "observation.z", "zeta", "action"]
