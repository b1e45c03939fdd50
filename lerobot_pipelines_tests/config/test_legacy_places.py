"""Two folders to read and one to write, anywhere, become one bucket with prefixes."""

from __future__ import annotations

import warnings
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config.legacy_places import split_inputs
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import PipelineWarning
from lerobot_pipelines_tests.config.loading import Loader

ARM = """\
robot: {arms: [{name: a_slave}, {name: a_master}], joints_per_arm: 6}
cameras: [{name: cam, role: base}]
"""


def load(loader: Loader, text: str) -> DatasetConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PipelineWarning)
        return loader.load(ARM + text)


@pytest.mark.parametrize(
    ("data", "images", "raw", "joints", "pictures"),
    [
        ("/in/task", "/in/task", "task", "joints", "images"),
        ("/in/raw/joints", "/in/raw/images", "raw", "joints", "images"),
        ("/in/raw/joints/", "/in/raw/./images", "raw", "joints", "images"),
        ("/in/raw/j/task", "/in/raw/i/task", "raw", "j", "i"),
        ("/in/raw/data/arms", "/in/raw/photos", "raw", "data/arms", "photos"),
    ],
)
def test_what_the_inputs_have_in_common_is_the_raw_prefix(
    loader: Loader, data: str, images: str, raw: str, joints: str, pictures: str
) -> None:
    config = load(loader, f"input: {{data_path: {data}, images_path: {images}}}\n")
    assert config.storage.url == "file:///in"
    assert config.storage.raw_prefix == raw
    assert (config.layout.joints, config.layout.images) == (joints, pictures)
    assert (config.storage.converted_prefix, config.storage.work_prefix) == ("converted", "work")


def test_the_bucket_lies_around_input_and_output(loader: Loader) -> None:
    config = load(loader, "input: {data_path: /a/b/in}\noutput: {base_path: /a/c/out}\n")
    storage = config.storage
    assert (storage.url, storage.raw_prefix) == ("file:///a", "b/in")
    assert (storage.converted_prefix, storage.work_prefix) == ("c/out", "c/out_work")


def test_folders_without_anything_in_common_still_make_a_bucket(loader: Loader) -> None:
    storage = load(loader, "input: {data_path: /in}\noutput: {base_path: /out}\n").storage
    assert (storage.url, storage.raw_prefix, storage.converted_prefix) == ("file:///", "in", "out")
    assert storage.work_prefix == "out_work"


def test_an_output_inside_the_input_is_a_fault(loader: Loader) -> None:
    faults = loader.faults(ARM + "input: {data_path: /a/b}\noutput: {base_path: /a/b/out}\n")
    assert "lie in one another" in faults["output.base_path"].message


def test_inputs_inside_one_another_are_a_fault_with_a_remedy(loader: Loader) -> None:
    text = "input: {data_path: /in, images_path: /in/images}\nstorage: {url: /b}\n"
    fault = loader.faults(ARM + text)["input.images_path"]
    assert "layout.joints and layout.images" in fault.message


def test_below_a_given_bucket_older_paths_are_prefixes(loader: Loader) -> None:
    config = load(
        loader,
        "storage: {url: /bucket}\n"
        "input: {data_path: ./raw/j, images_path: raw/i}\noutput: {base_path: ./out}\n",
    )
    storage = config.storage
    assert (storage.url, storage.raw_prefix) == ("file:///bucket", "raw")
    assert storage.converted_prefix == "out"
    assert (config.layout.joints, config.layout.images) == ("j", "i")


@pytest.mark.parametrize("path", ["/elsewhere", "../elsewhere"])
def test_paths_outside_a_given_bucket_are_a_fault(loader: Loader, path: str) -> None:
    faults = loader.faults(ARM + f"storage: {{url: /bucket}}\ninput: {{data_path: {path}}}\n")
    assert "storage.raw_prefix" in faults["input.data_path"].message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("5", "must be the path of a folder, not 5"),
        ("s3://b/x", "is a URL; give it as storage.url"),
        ("/", "is the root of the disk"),
    ],
)
def test_what_is_no_folder_is_a_fault(loader: Loader, value: str, words: str) -> None:
    assert (
        words in loader.faults(ARM + f"input: {{data_path: {value}}}\n")["input.data_path"].message
    )


def test_with_a_bucket_elsewhere_local_folders_give_the_layout_only(loader: Loader) -> None:
    text = "s3: {bucket: rec}\ninput: {data_path: /tmp/j, images_path: /tmp/i}\n"
    config = load(loader, text)
    assert (config.storage.url, config.storage.raw_prefix) == ("s3://rec", "raw")
    assert (config.layout.joints, config.layout.images) == ("j", "i")


def test_other_tasks_beside_the_named_one_are_told(loader: Loader) -> None:
    with pytest.warns(PipelineWarning, match='ends in "task"'):
        loader.load(ARM + "input: {data_path: /in/j/task, images_path: /in/i/task}\n")


NAMES = st.sampled_from(["a", "b", "joints", "images", "task"])


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_the_parts_of_two_inputs_make_both_again(left: list[str], right: list[str]) -> None:
    data, images = PurePosixPath("/", *left), PurePosixPath("/", *right)
    inputs = split_inputs(data, images)
    if inputs is None:
        assert data.is_relative_to(images) or images.is_relative_to(data)
    elif inputs.joints is None or inputs.images is None:
        assert data == images == inputs.root
    else:
        assert inputs.root / inputs.joints / inputs.task == data
        assert inputs.root / inputs.images / inputs.task == images
