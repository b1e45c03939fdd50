"""Files that are broken, doubled or oddly named: a dataset keeps the one it was loaded from."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config import shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.definitions import defs
from lerobot_pipelines.defs.assemble import build_defs
from lerobot_pipelines.defs.broken import BrokenConfiguration
from lerobot_pipelines.defs.config_files import CONFIGS_VARIABLE, config_files, read_configs
from lerobot_pipelines.defs.config_memory import ConfigMemory, Loaded
from lerobot_pipelines.errors import ConfigError

TEXT = shipped_configs()["demo"].read_text()
IN_USE, BACKUP = TEXT.replace("crf: 23", "crf: 30"), TEXT
COPIES = (
    "robot-old.yaml",
    "robot (copy).yaml",
    "robot copy.yaml",
    "robot_old.yaml",
    "robot.old.yaml",
    "robot (1).yaml",
    "a_copy.yaml",
    "a-backup.yml",
    "Copy of robot.yaml",
    "robot.YAML",
    "副本 robot.yaml",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "configs").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(CONFIGS_VARIABLE, str(tmp_path / "configs"))
    return tmp_path / "configs"


def loaded() -> tuple[dict[str, DatasetConfig], list[str]]:
    configs, broken = read_configs(config_files())
    return configs, [each.path.name for each in broken]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_beside_a_file_never_takes_its_dataset_over(folder: Path, copy: str) -> None:
    """Neither where the file was in use before, nor where both are there from the beginning."""
    (folder / copy).write_text(BACKUP)
    (folder / "robot.yaml").write_text(IN_USE)
    configs, broken = loaded()
    assert configs["demo"].video.crf == 30
    assert broken == [copy]


@pytest.mark.parametrize("other", ["a.yaml", "demo.yaml", "r.yaml", "zebra.yml"])
def test_the_file_in_use_stays_in_use_whatever_the_other_is_called(
    folder: Path, other: str
) -> None:
    (folder / "robot-old.yaml").write_text(IN_USE)
    assert loaded()[1] == []
    (folder / other).write_text(BACKUP)
    for _ in range(2):
        configs, broken = loaded()
        assert (configs["demo"].video.crf, broken) == (30, [other])
    (folder / "robot-old.yaml").unlink()  # a person decided
    configs, broken = loaded()
    assert (configs["demo"].video.crf, broken) == (23, [])


def test_what_is_no_configuration_is_not_read(folder: Path) -> None:
    (folder / "robot.yaml").write_text(IN_USE)
    for name in (
        "robot.yaml.bak",
        "robot.yaml~",
        ".robot.yaml.swp",
        "._robot.yaml",
        ".#robot.yaml",
    ):
        (folder / name).write_text("not a: [configuration")
    configs, broken = loaded()
    assert configs["demo"].video.crf == 30 and broken == []


def test_a_typo_leaves_the_dataset_as_it_was_last_loaded(folder: Path) -> None:
    """Queued runs find their jobs; the fault is shown, and a repaired file counts again."""
    file = folder / "robot.yaml"
    file.write_text(IN_USE)
    assert loaded()[0]["demo"].video.crf == 30
    file.write_text(IN_USE.replace("video:", "vido:"))
    for _ in range(2):
        definitions = defs()
        assert definitions.resolve_job_def("demo_episode")
        node = definitions.get_repository_def().asset_graph.get(
            dg.AssetKey(["broken_configurations", "robot"])
        )
        assert "Its dataset demo goes on as the file was last loaded" in (node.description or "")
        assert loaded()[0]["demo"].video.crf == 30
    file.write_text(TEXT.replace("crf: 23", "crf: 31"))
    configs, broken = loaded()
    assert (configs["demo"].video.crf, broken) == (31, [])


def test_a_broken_file_in_use_does_not_hand_its_dataset_to_a_copy(folder: Path) -> None:
    (folder / "robot.yaml").write_text(IN_USE)
    loaded()
    (folder / "robot.yaml").write_text("dataset: [")
    (folder / "robot copy.yaml").write_text(BACKUP)
    configs, broken = loaded()
    assert configs["demo"].video.crf == 30
    assert broken == ["robot copy.yaml", "robot.yaml"]


def test_a_file_that_was_never_loaded_is_only_reported(folder: Path) -> None:
    (folder / "robot.yaml").write_text("dataset: [")
    assert loaded() == ({}, ["robot.yaml"])


def test_a_deleted_file_is_a_decision(folder: Path) -> None:
    (folder / "robot.yaml").write_text(IN_USE)
    loaded()
    (folder / "robot.yaml").unlink()
    assert loaded() == ({}, [])
    (folder / "robot.yaml").write_text("dataset: [")
    assert loaded() == ({}, ["robot.yaml"])


def test_two_datasets_are_never_written_to_one_folder(folder: Path) -> None:
    (folder / "robot.yaml").write_text(IN_USE.replace("name: demo ", "name: one "))
    same = TEXT.replace("name: demo ", "name: two ")
    configs, broken = loaded()
    (folder / "second.yaml").write_text(same.replace("dataset:\n", "dataset:\n  pattern: one\n", 1))
    configs, broken = loaded()
    assert list(configs) == ["one"] and broken == ["second.yaml"]


BROKEN_NAMES = (
    b"robot.yaml",
    b"robot.yml",
    "机器.yaml".encode(),
    "ロボ.yaml".encode(),
    b"\xff.yaml",
)


@pytest.mark.parametrize("names", list(itertools.permutations(BROKEN_NAMES, 2)))
def test_two_broken_files_with_like_names_stop_nobody(
    folder: Path, names: tuple[bytes, bytes]
) -> None:
    (folder / "good.yaml").write_text(TEXT)
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "w") as file:
            file.write("dataset: [")
    definitions = defs()
    keys = definitions.get_repository_def().asset_graph.get_all_asset_keys()
    assert sum(key.path[0] == "broken_configurations" for key in keys) == 2
    assert definitions.resolve_job_def("demo_episode")
    for key in keys:
        description = definitions.get_repository_def().asset_graph.get(key).description
        (description or "").encode()  # what the webserver is sent


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), unique=True, max_size=6)
)
def test_any_names_make_a_code_location(names: list[str]) -> None:
    from lerobot_pipelines.errors import ConfigError

    broken = [
        BrokenConfiguration(Path("folder") / f"{name}.yaml", ConfigError(f"{name} is broken"))
        for name in names
    ]
    repository = build_defs({}, broken=broken).get_repository_def()
    assert len(repository.asset_graph.get_all_asset_keys()) == len(names)


def test_any_text_as_memory_is_accepted_and_an_unwritable_place_stops_nobody(
    tmp_path: Path,
) -> None:
    place = tmp_path / "memory.json"
    for text in ("", "[]", "{}", '{"version": 9}', '{"version": 1, "files": {"a": 1}}', "\xff"):
        place.write_text(text)
        assert ConfigMemory.open(place).files == {}
    (tmp_path / "file").write_text("")
    memory = ConfigMemory.open(tmp_path / "file" / "memory.json")
    memory.replace({tmp_path / "file": Loaded("demo", TEXT)})
    assert memory.is_in_use(tmp_path / "file", "demo")


def test_several_files_and_folders_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for place in (tmp_path / "one.yaml", folder / "two.yaml", folder / ".hidden.yaml"):
        place.touch()
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIGS", f"{tmp_path / 'one.yaml'}:{folder}")
    assert config_files() == [tmp_path / "one.yaml", folder / "two.yaml"]
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIGS", f"{folder}:{tmp_path / 'gone.yaml'}")
    with pytest.raises(ConfigError, match=r"gone\.yaml, which is not there"):
        config_files()


@pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")
def test_a_service_s_file_and_its_strategy_file_are_one_dataset(folder: Path) -> None:
    """The strategy's file beside it is none of its own, and its loss stops nobody."""
    texts = Path(__file__).parents[1] / "migration" / "texts"
    service = (texts / "redis_config.yaml").read_text() + "storage: {url: /bucket}\n"
    (folder / "robots.yaml").write_text(service.replace("config/dual_arm", "dual_arm"))
    strategy = folder / "dual_arm_chunking.yaml"
    strategy.write_text((texts / "dual_arm_chunking.yaml").read_text())
    configs, broken = loaded()
    assert (list(configs), broken) == (["dual_arm_chunking"], [])
    assert configs["dual_arm_chunking"].storage.sources == ("robot_1", "robot_2", "robot_3")
    strategy.write_text(strategy.read_text().replace("chunk_size: 10", "chunk_size: ten"))
    kept, broken = loaded()
    assert broken == ["robots.yaml"]
    assert kept == configs
    strategy.unlink()
    assert loaded()[0] == configs
