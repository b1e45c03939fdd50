"""A service's file and the strategy's file that it names are one configuration."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config, load_configs
from lerobot_pipelines.config.hashing import alignment_hash
from lerobot_pipelines.config.schema import DatasetConfig, Format, Strategy
from lerobot_pipelines.errors import ConfigError, PipelineWarning
from lerobot_pipelines_tests.migration.repository import Repository

NAMES = ("storage.yaml", "chunking.yaml")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.put(*NAMES)
    return repository


def load(path: Path, overrides: dict[str, object] | None = None) -> tuple[DatasetConfig, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = load_config(path, overrides)
    return config, " ".join(str(one.message) for one in caught)


def test_both_files_are_one_configuration_from_the_root_and_from_elsewhere(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    here, said = load(Path("config/storage.yaml"))
    assert here.storage.url == "s3://srgdata"
    assert (here.storage.raw_prefix, here.storage.converted_prefix) == (
        "raw_datas",
        "converted_datas",
    )
    assert here.alignment.strategy is Strategy.CHUNKING
    assert here.alignment.chunk_size == 10
    assert [camera.name for camera in here.cameras] == [
        *("cam_left_wrist", "cam_right_wrist", "cam_env")
    ]
    assert here.dataset.fps == 25
    assert here.dataset.formats == (Format.V21,)
    assert here.dataset.pattern == "bos/{episode_id}_{strategy}"
    assert "chunking.yaml line 42, video.fps: is 30" in said
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there, _ = load(repository.path("storage.yaml"))
    assert there == here


def test_a_file_that_is_nowhere_is_a_fault_that_names_every_place(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.path("chunking.yaml").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        load(repository.path("storage.yaml"))
    message = str(caught.value)
    assert str(tmp_path / "elsewhere/config/strategies/chunking.yaml") in message
    assert str(repository.root / "config/config/strategies/chunking.yaml") in message
    assert str(repository.path("chunking.yaml")) in message
    assert "line 31, conversion.config_template" in message


def test_faults_of_the_strategys_file_name_it_and_their_line(repository: Repository) -> None:
    path = repository.path("chunking.yaml")
    path.write_text(path.read_text().replace("tolerance_ms: 20", "tolerance_ms: soon"))
    with pytest.raises(ConfigError, match=r"chunking.yaml line 37, alignment.tolerance_ms"):
        load(repository.path("storage.yaml"))


@pytest.mark.parametrize("content", ["", "[1]", "robot: [", "conversion: {config_template: x}"])
def test_a_strategys_file_that_is_none_is_a_fault(repository: Repository, content: str) -> None:
    repository.path("chunking.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"chunking\.yaml"):
        load(repository.path("storage.yaml"))


def test_three_strategy_files_against_one_are_three_datasets(repository: Repository) -> None:
    window = repository.strategy_file("chunking.yaml", "window", {"window_ms": 30})
    nearest = repository.strategy_file("chunking.yaml", "nearest", {})
    found = [
        load(repository.path("storage.yaml"), {"conversion.config_template": str(path)})[0]
        for path in (repository.path("chunking.yaml"), window, nearest)
    ]
    assert [config.dataset.name for config in found] == [
        f"airbot_play_dual_arm_{strategy}" for strategy in ("chunking", "window", "nearest")
    ]
    assert [str(config.alignment.strategy) for config in found] == ["chunking", "window", "nearest"]
    assert found[1].alignment.window_ms == 30
    assert len({alignment_hash(config) for config in found}) == 3


@pytest.mark.parametrize(
    "template",
    [
        '"config/strategies/{strategy}.yaml"',
        "[config/strategies/chunking.yaml, config/strategies/window.yaml]",
    ],
)
def test_the_strategy_asked_for_chooses_among_files(repository: Repository, template: str) -> None:
    repository.strategy_file("chunking.yaml", "window", {"window_ms": 30})
    path = repository.path("storage.yaml")
    path.write_text(path.read_text().replace('"config/strategies/chunking.yaml"', template))
    assert load(path)[0].alignment.strategy is Strategy.CHUNKING
    other = load(path, {"alignment.strategy": "window"})[0]
    assert (other.alignment.strategy, other.alignment.window_ms) == (Strategy.WINDOW, 30)
    assert other.dataset.name.endswith("_window")
    with pytest.raises(ConfigError, match="config_template"):
        load(path, {"alignment.strategy": "linear"})


def test_the_strategys_file_makes_the_rows_whatever_the_folders_were_named_after(
    repository: Repository,
) -> None:
    repository.strategy_file("chunking.yaml", "nearest", {})
    path = repository.path("storage.yaml")
    path.write_text(path.read_text().replace("strategies/chunking", "strategies/nearest"))
    config, said = load(path)
    assert config.alignment.strategy is Strategy.NEAREST
    assert 'conversion.strategy: is "chunking", but nearest.yaml is of strategy "nearest"' in said


def test_a_folder_of_service_files_holds_no_dataset_of_the_strategy_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tmp_path)
    repository.put("redis_config.yaml", "dual_arm_chunking.yaml")
    path = repository.path("redis_config.yaml")
    path.write_text(path.read_text() + "storage: {url: /bucket}\n")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(load_configs(path.parent)) == ["dual_arm_chunking"]


def test_datasets_of_single_episodes_named_after_strategies_lie_side_by_side(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.strategy_file("chunking.yaml", "window", {})
    monkeypatch.chdir(repository.root)
    text = repository.path("storage.yaml").read_text()
    for strategy in ("chunking", "window"):
        path = repository.root / "services" / f"{strategy}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("strategies/chunking", f"strategies/{strategy}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(load_configs(repository.root / "services")) == 2


def test_a_file_with_a_robot_of_its_own_keeps_it(repository: Repository) -> None:
    path = repository.path("chunking.yaml")
    path.write_text(path.read_text() + "conversion: {config_template: config/other.yaml}\n")
    with pytest.warns(PipelineWarning, match="config_template: has no effect here"):
        assert load_config(path).dataset.name == "airbot_play_dual_arm"
