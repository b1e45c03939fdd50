"""The bucket, its prefixes and the dataset's folder are safe and apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config.rules_dataset import dataset_folder
from lerobot_pipelines.config.rules_names import inside, path_fault
from lerobot_pipelines_tests.config.loading import SOUND, Loader


@pytest.mark.parametrize(
    ("storage", "key", "words"),
    [
        ("{url: ''}", "url", "is empty"),
        ("{url: 'ftp://host/x'}", "url", "is no kind of store"),
        ("{url: 's3://'}", "url", "names no bucket"),
        ("{url: 's3://bucket/folder'}", "url", "storage.raw_prefix"),
        ("{url: 's3://key:secret@bucket'}", "url", "holds a credential"),
        ("{url: /b, endpoint: 'http://h'}", "endpoint", "belongs to a bucket"),
        ("{url: 's3://rec', endpoint: h}", "endpoint", "must be a server's address"),
        ("{url: 's3://rec', endpoint: 'http://k:s@h'}", "endpoint", "holds a credential"),
        ("{url: 's3://rec', access_key_env: A}", "access_key_env", "without secret_key_env"),
        ("{url: 's3://rec', secret_key_env: B}", "secret_key_env", "without access_key_env"),
        (
            "{url: 's3://rec', access_key_env: a-b/c, secret_key_env: B}",
            "access_key_env",
            "must be the name of an environment variable",
        ),
        ("{url: 's3://rec', access_key: x}", "access_key", 'did you mean "access_key_env"?'),
        ("{url: /b, raw_prefix: ''}", "raw_prefix", "is empty"),
        ("{url: /b, raw_prefix: '../a'}", "raw_prefix", 'holds the part ".."'),
        ("{url: /b, work_prefix: converted}", "work_prefix", "lie in one another"),
        ("{url: /b, raw_prefix: converted/raw}", "converted_prefix", "lie in one another"),
        ("{url: /b, converted_prefix: raw/out}", "converted_prefix", "lie in one another"),
        ("{url: /b, work_prefix: raw/.work}", "work_prefix", "lie in one another"),
        ("{url: /b, work_prefix: converted/work}", "work_prefix", "lie in one another"),
        ("{url: /b, sources: ['../a']}", "sources[0]", 'holds the part ".."'),
        ("{url: /b, sources: [a, b, a/c]}", "sources[2]", "hold the same recordings"),
        ("{url: /b, sources: [a, '']}", "sources[1]", "must not be empty"),
        ("{url: /b, scanner: {marker: a/b}}", "scanner.marker", "e.g. _READY"),
        ("{url: /b, scanner: {rescan_cron: hourly}}", "scanner.rescan_cron", "five fields"),
        ("{url: /b, scanner: {rescan_cron: '* * * *'}}", "scanner.rescan_cron", "five fields"),
        ("{url: /b, scanner: {interval: 5}}", "scanner.interval", 'did you mean "interval_s"?'),
    ],
)
def test_storage(loader: Loader, storage: str, key: str, words: str) -> None:
    fault = loader.faults(loader.changed(storage=storage))[f"storage.{key}"]
    assert words in fault.message
    assert fault.line is None or fault.line == 9
    assert "secret@" not in fault.message


@pytest.mark.parametrize(
    "storage",
    [
        "{url: /b, raw_prefix: a/raw, converted_prefix: a/converted, work_prefix: a/work}",
        "{url: /b, raw_prefix: raw, converted_prefix: raw_converted, work_prefix: rawer}",
        "{url: /b, work_prefix: converted/.work}",
        "{url: 's3://rec', endpoint: 'https://h:9000', access_key_env: A, secret_key_env: B}",
        "{url: /b, scanner: {rescan_cron: '@daily', marker: _READY}}",
        "{url: /b, sources: [a/b, a/c, ab]}",
        "{url: /b, sources: robot_1}",
    ],
)
def test_storage_that_is_sound(loader: Loader, storage: str) -> None:
    loader.load(loader.changed(storage=storage))


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ("{joints: ''}", "layout.joints"),
        ("{images: ../x}", "layout.images"),
        ("{joints: a, images: a}", "layout.images"),
        ("{joints: a, images: a/b}", "layout.images"),
    ],
)
def test_the_folders_of_joints_and_images_are_two(loader: Loader, layout: str, key: str) -> None:
    assert key in loader.faults(SOUND + f"layout: {layout}\n")


@pytest.mark.parametrize(
    ("dataset", "key", "words"),
    [
        ("{name: my-data}", "name", "use letters, digits and _ only"),
        ("{name: 1st}", "name", "a letter first"),
        ("{name: ''}", "name", "use letters, digits and _ only"),
        ("{name: 数据}", "name", "use letters, digits and _ only"),
        ("{name: 7}", "name", "must be text, not 7"),
        ("{name: config}", "name", "is a word of Dagster or Python"),
        ("{name: import}", "name", "is a word of Dagster or Python"),
        ("{name: a, pattern: ''}", "pattern", "is empty"),
        ("{name: a, pattern: '/x/{dataset}'}", "pattern", "is not relative"),
        ("{name: a, pattern: '../{dataset}'}", "pattern", 'holds the part ".."'),
        ("{name: a, pattern: 'x//{dataset}'}", "pattern", "empty part"),
        ("{name: a, pattern: '.{dataset}'}", "pattern", 'must not begin with "."'),
        ("{name: a, pattern: '{datset}'}", "pattern", 'did you mean "{dataset}"?'),
        ("{name: a, pattern: '{dataset.__class__}'}", "pattern", "holds {dataset.__class__}"),
        ("{name: a, pattern: '{dataset'}", "pattern", "without its other half"),
        ("{name: a, pattern: '{{dataset}}'}", "pattern", "without its other half"),
        ("{name: a, pattern: '{source}/x'}", "pattern", "there are no storage.sources"),
        ("{name: a, pattern: '{robot}', robot_type: a/b}", "robot_type", 'holds "/"'),
        ("{name: a, pattern: '{robot}', robot_type: ..}", "robot_type", 'the part ".."'),
        ("{name: a, robot_type: ' '}", "robot_type", "is empty"),
        ("{name: a, task: ''}", "task", "is empty"),
        ("{name: a, formats: []}", "formats", "must not be empty"),
        ("{name: a, formats: [v2.1, v2.1]}", "formats", "holds an entry twice"),
        ("{name: a, formats: [v2]}", "formats[0]", 'did you mean "v2.1"?'),
        ("{name: a, formats: [3.0]}", "formats[0]", "known are v2.1, v3.0"),
        ("{name: a, owners: [me]}", "owners[0]", "team:name"),
        ("{name: a, fps: 29.97}", "fps", "must be a whole number, not 29.97"),
        ("{name: a, fps: 0}", "fps", "it must be at least 1"),
    ],
)
def test_the_dataset(loader: Loader, dataset: str, key: str, words: str) -> None:
    fault = loader.faults(loader.changed(dataset=dataset))[f"dataset.{key}"]
    assert words in fault.message
    assert fault.line == 9


def test_the_folder_of_a_dataset_follows_from_its_pattern(loader: Loader) -> None:
    config = loader.load(
        loader.changed(
            dataset="{name: a, robot_type: g1, pattern: '{source}/{robot}/{dataset}_{strategy}'}",
            storage="{url: /b, sources: [r1]}",
        )
    )
    assert dataset_folder(config) == "r1/g1/a_nearest"


def test_one_format_may_be_written_without_a_list(loader: Loader) -> None:
    config = loader.load(loader.changed(dataset="{name: a, fps: 25, formats: v2.1}"))
    assert config.dataset.formats == ("v2.1",)


def test_durations_that_let_nothing_pass_are_a_fault(loader: Loader) -> None:
    text = SOUND + "filtering: {min_duration_sec: 5, max_duration_sec: 4}\n"
    assert "no recording would pass" in loader.faults(text)["filtering.max_duration_sec"].message


@given(st.text(alphabet="ab./\\~ \n\0é", max_size=12))
def test_an_accepted_path_stays_below_its_folder(path: str) -> None:
    if path_fault(path) is None:
        parts = path.split("/")
        assert all(part not in ("", ".", "..") for part in parts)
        assert not path.startswith(("/", "~"))
        assert "\0" not in path


@given(st.lists(st.sampled_from("ab"), max_size=4), st.lists(st.sampled_from("ab"), max_size=4))
def test_inside_means_the_same_folder_or_below_it(one: list[str], other: list[str]) -> None:
    assert inside("/".join(one), "/".join(other)) == (one[: len(other)] == other)
