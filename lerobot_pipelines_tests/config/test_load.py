"""A file is checked as a whole: every fault at once, each with its line, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config import dump_config, load_config, load_configs
from lerobot_pipelines.errors import ConfigError, Reason
from lerobot_pipelines_tests.config.loading import SOUND, Loader


def message_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.reason is Reason.BAD_CONFIG
    assert caught.value.details["file"] == str(path)
    return caught.value.message


def test_a_sound_file_loads_with_every_default_filled_in(loader: Loader) -> None:
    config = loader.load(SOUND)
    assert config.dataset.name == "example"
    assert config.storage.url == "file:///bucket"
    assert config.cameras[0].feature == "observation.images.cam_high"
    assert config.video.codec == "h264"


def test_all_faults_of_all_kinds_are_reported_at_once_in_the_order_of_lines(
    loader: Loader,
) -> None:
    path = loader.write(
        """\
        dataset:
          name: example
          fps: fast
          formts: [v3.0]
          pattern: ../x
        storage:
          url: ${NOT_SET_ANYWHERE}
        cameras:
          - {name: a, role: base}
          - {name: b, role: base}
        video:
          crf: true
        video:
          crf: 20
        features:
          observation.state: [left]
        """
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    found = [(fault.line, fault.key) for fault in caught.value.details["faults"]]
    assert found == [
        (3, "dataset.fps"),
        (4, "dataset.formts"),
        (5, "dataset.pattern"),
        (7, "storage.url"),
        (10, "cameras[1].role"),
        (12, "video.crf"),
        (13, "video"),
        (16, "features.observation.state[0].stream"),
    ]
    message = caught.value.message
    assert message.startswith(f"{path} has 8 faults:\n  line 3, dataset.fps: ")


@pytest.mark.parametrize(
    ("sound", "faulty"),
    [("name: example", "name: toy/1"), ("fps: 25", "fps: fast"), ("url: /bucket", "url: 7")],
)
def test_a_fault_in_a_key_without_default_hides_no_dangerous_prefix(
    loader: Loader, sound: str, faulty: str
) -> None:
    text = SOUND.replace("storage: {", "storage: {raw_prefix: ../.., ").replace(sound, faulty)
    assert len(loader.faults(text)) == 2
    assert "storage.raw_prefix" in loader.faults(text)


def test_a_typo_names_the_nearest_key(loader: Loader) -> None:
    faults = loader.faults(SOUND + "alignemnt: {}\nvideo: {presett: slow}\n")
    assert 'did you mean "alignment"?' in faults["alignemnt"].message
    assert 'did you mean "preset"?' in faults["video.presett"].message
    assert faults["video.presett"].line == 11


def test_an_unknown_key_far_from_all_others_lists_them(loader: Loader) -> None:
    fault = loader.faults(SOUND + "layout: {qqqq: 1}\n")["layout.qqqq"]
    assert "known are images, joints" in fault.message


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        ("video: {crf: high}", "video.crf", 'must be a whole number, not "high"'),
        ("video: {crf: 20.5}", "video.crf", "must be a whole number, not 20.5"),
        ("video: {crf: true}", "video.crf", "must not be true"),
        ("video: {crf: -1}", "video.crf", "it must be at least 0"),
        ("video: {crf: [1]}", "video.crf", "must be a whole number, not a list"),
        ("video: {codec: 7}", "video.codec", "known are h264, hevc, av1, copy"),
        ("video: {codec: h263}", "video.codec", 'did you mean "h264"?'),
        ("video: {size: 640}", "video.size", "must be a list: [a, b], not 640"),
        ("video: {size: [640]}", "video.size[1]", "is missing"),
        ("video: 7", "video", "must be a section of keys, not 7"),
        ("alignment: {tolerance_ms: 0}", "alignment.tolerance_ms", "it must be more than 0"),
        ("alignment: {tolerance_ms: .inf}", "alignment.tolerance_ms", "must be a finite number"),
        ("alignment: {causal: maybe}", "alignment.causal", "must be true or false"),
        ("alignment: {strategy: neares}", "alignment.strategy", 'did you mean "nearest"?'),
        ("alignment: {max_age_ms: null}", "alignment.max_age_ms", "must be a number"),
        ("layout: {joints: 5}", "layout.joints", "must be text, not 5; put it in quotes"),
        ("filtering: {gap_policy: ignore}", "filtering.gap_policy", "known are fail, split, drop"),
    ],
)
def test_wrong_values_say_what_is_wanted(
    loader: Loader, section: str, key: str, message: str
) -> None:
    fault = loader.faults(SOUND + section + "\n")[key]
    assert message in fault.message
    assert fault.line == 10


def test_a_list_or_number_says_both(loader: Loader) -> None:
    text = loader.changed(streams="[{name: left, file: a, scale: x}]", features="{a: left}")
    assert list(loader.faults(text)) == ["streams[0].scale"]


def test_missing_sections_and_keys_say_how_to_write_them(loader: Loader) -> None:
    faults = loader.faults("cameras: [{role: base}]\n")
    assert "dataset: {name: my_dataset}" in faults["dataset"].message
    assert "storage: {url: " in faults["storage"].message
    assert faults["cameras[0].name"].message == "is missing; add the key name"
    assert len(faults) == 3  # the feature that would follow from the name is not one more


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no such file" in message_of(tmp_path / "absent.yaml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in message_of(tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "{}\n", "null\n"])
def test_an_empty_file_says_so(loader: Loader, text: str) -> None:
    assert "is empty" in message_of(loader.write(text))


@pytest.mark.parametrize(
    ("text", "what"), [("- a\n- b\n", "holds a list"), ("hello\n", 'holds "hello"'), ("7\n", "7")]
)
def test_a_top_level_that_is_no_mapping_is_refused(loader: Loader, text: str, what: str) -> None:
    message = message_of(loader.write(text))
    assert what in message
    assert "section of keys" in message


def test_broken_yaml_names_the_line(loader: Loader) -> None:
    message = message_of(loader.write("dataset:\n  name: [a, b\nstorage: {url: /x}\n"))
    assert "line 3" in message
    assert "not valid YAML" in message


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"dataset: {name: caf\xe9}\n")
    assert "is not UTF-8 text" in message_of(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "video.yaml"
    path.write_bytes(b"#" * 2_000_001)
    assert "larger than 2 MB" in message_of(path)


def test_tags_run_no_code(loader: Loader) -> None:
    message = message_of(loader.write("dataset: !!python/object/apply:os.system [ls]\n"))
    assert "not valid YAML" in message


def test_aliases_cannot_blow_the_file_up(loader: Loader) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert "values (aliases included)" in message_of(loader.write(f"l0: &l0 [x]\n{levels}"))


def test_duplicate_keys_name_both_lines(loader: Loader) -> None:
    faults = loader.faults(SOUND + "video:\n  crf: 20\n  crf: 21\n")
    assert faults["video.crf"].line == 12
    assert "given twice, first on line 11" in faults["video.crf"].message


def test_words_and_times_of_older_yaml_are_text(loader: Loader) -> None:
    text = loader.changed(features="{observation.state: [{stream: left, slice: 0:7}]}")
    assert loader.load(text).features["observation.state"].parts[0].slice == "0:7"
    # A boolean may be written as older files do.
    assert loader.load(SOUND + "alignment: {causal: yes}\n").alignment.causal is True


def test_an_empty_section_means_its_defaults(loader: Loader) -> None:
    config = loader.load(SOUND + "video:\nalignment:\nfiltering:\nlayout:\n")
    assert config.video.crf == 23


def test_relative_paths_start_at_the_files_own_folder(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    path = loader.write(loader.changed(storage="{url: ../bucket}"), "configs/a.yaml")
    expected = (loader.folder / "bucket").as_uri()
    assert load_config(path).storage.url == expected
    monkeypatch.chdir(path.parent)
    assert load_config(Path("a.yaml")).storage.url == expected


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("/data/my bucket", "file:///data/my%20bucket"),
        ("file:///data/my%20bucket", "file:///data/my%20bucket"),
        ("file://localhost/data/", "file:///data"),
        ("/data/a/../b/./c/", "file:///data/b/c"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket", "s3://bucket"),
    ],
)
def test_the_bucket_is_resolved_to_one_form(loader: Loader, given: str, resolved: str) -> None:
    assert loader.load(loader.changed(storage=f"{{url: '{given}'}}")).storage.url == resolved


def test_the_home_folder_expands(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    config = loader.load(loader.changed(storage="{url: ~/bucket}"))
    assert config.storage.url == "file:///home/robot/bucket"


def test_prefixes_are_cleaned(loader: Loader) -> None:
    config = loader.load(loader.changed(storage="{url: /b, raw_prefix: ./a//b/, work_prefix: w/}"))
    assert (config.storage.raw_prefix, config.storage.work_prefix) == ("a/b", "w")


def test_what_is_dumped_reads_back_equal(loader: Loader) -> None:
    config = loader.load(
        loader.changed(
            streams='[{name: "yes", file: "012", unit: "1e3", field: "12:26", scale: [1, 2.5]}]',
            features='{observation.state: ["yes"]}',
            dataset='{name: example, fps: 25, task: "a: b # $${HOME}", tags: ["~", "null", "0x1"]}',
        )
    )
    again = loader.load(dump_config(config))
    assert again == config
    assert again.dataset.task == "a: b # ${HOME}"


def test_a_folder_of_files_is_loaded_by_dataset_name(loader: Loader) -> None:
    for name in ("zebra", "ant"):
        loader.write(SOUND.replace("example", name), f"{name}.yaml")
    loader.write("not: a config", ".hidden.yaml")
    loader.write("neither", "notes.txt")
    assert list(load_configs(loader.folder)) == ["ant", "zebra"]


def test_the_faults_of_all_files_of_a_folder_are_reported_at_once(loader: Loader) -> None:
    loader.write(SOUND, "one.yaml")
    loader.write(SOUND, "two.yaml")
    loader.write(SOUND.replace("fps", "fsp").replace("example", "x"), "three.yml")
    with pytest.raises(ConfigError) as caught:
        load_configs(loader.folder)
    message = caught.value.message
    assert 'did you mean "fps"?' in message
    assert 'one.yaml describes a dataset "example" as well' in message
    assert "three.yml" in message
    assert "two.yaml" in message
    assert len(caught.value.details["faults"]) == 2


def test_two_datasets_in_one_folder_are_refused(loader: Loader) -> None:
    for name in ("one", "two"):
        text = loader.changed(dataset=f"{{name: {name}, fps: 25, pattern: same/place}}")
        loader.write(text, f"{name}.yaml")
    with pytest.raises(ConfigError, match=r"is the folder of the dataset of one\.yaml"):
        load_configs(loader.folder)


def test_an_absent_folder_is_an_error_and_an_empty_one_is_not(tmp_path: Path) -> None:
    assert load_configs(tmp_path) == {}
    with pytest.raises(ConfigError, match="there is no folder"):
        load_configs(tmp_path / "absent")


def test_a_list_whose_entries_are_all_wrong_is_not_called_empty(loader: Loader) -> None:
    faults = loader.faults(SOUND.replace("dataset: {", "dataset: {formats: [v4], "))
    assert list(faults) == ["dataset.formats[0]"]
