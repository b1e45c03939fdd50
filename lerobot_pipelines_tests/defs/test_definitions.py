"""What the code location holds. Names are history: a rename orphans runs and cursors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest

from lerobot_pipelines.config import load_config, override, shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.definitions import build_defs, defs
from lerobot_pipelines.defs import naming
from lerobot_pipelines.defs.assemble import CONFIGS_VARIABLE, EXECUTOR_VARIABLE
from lerobot_pipelines.defs.episode_assets import step_version
from lerobot_pipelines.errors import ConfigError


@pytest.fixture(scope="module")
def demo() -> DatasetConfig:
    return load_config(shipped_configs()["demo"])


@pytest.fixture(scope="module")
def repository(demo: DatasetConfig) -> dg.RepositoryDefinition:
    return build_defs({"demo": demo}).get_repository_def()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CONFIGS_VARIABLE, str(tmp_path))
    return tmp_path


def asset_names(definitions: dg.Definitions) -> set[str]:
    graph = definitions.get_repository_def().asset_graph
    return {key.to_user_string() for key in graph.get_all_asset_keys()}


def test_names_are_those_that_history_is_stored_under(repository: dg.RepositoryDefinition) -> None:
    keys = repository.asset_graph.get_all_asset_keys()
    assert {key.to_user_string() for key in keys} == {
        "demo/raw_episodes",
        "demo/aligned_frames",
        "demo/encoded_videos",
        "demo/episode_metadata",
        "demo/lerobot_dataset",
        "demo/refused_episodes",
    }
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    assert jobs == {"demo_episode", "demo_update", "demo_all"}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    assert sensors == {"demo_bucket", "demo_dataset", "run_failures"}
    assert [schedule.name for schedule in repository.schedule_defs] == ["demo_rescan"]
    checks = {
        f"{key.asset_key.path[-1]}:{key.name}" for key in repository.asset_graph.asset_check_keys
    }
    assert checks == {
        "episode_metadata:rows_match_frames",
        "episode_metadata:measured_rate",
        "episode_metadata:ages_within_tolerance",
        "episode_metadata:values_finite",
        "episode_metadata:pictures_vary",
        "episode_metadata:clocks_agree",
        "episode_metadata:few_faults",
        "episode_metadata:no_warnings",
        "episode_metadata:depth_in_range",
        "episode_metadata:duration_kept",
        "episode_metadata:pictures_in_place",
        "lerobot_dataset:dataset_up_to_date",
        "lerobot_dataset:no_stale_episodes",
        "lerobot_dataset:no_skipped_episodes",
        "lerobot_dataset:no_withheld_removals",
        "lerobot_dataset:dataset_validates",
    }


def test_sensors_and_schedules_run_without_being_switched_on(
    repository: dg.RepositoryDefinition,
) -> None:
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert {s.default_status for s in repository.schedule_defs} == {
        dg.DefaultScheduleStatus.RUNNING
    }


def test_everything_has_a_description_and_every_run_a_time_limit(
    repository: dg.RepositoryDefinition,
) -> None:
    graph = repository.asset_graph
    assert all(graph.get(key).description for key in graph.get_all_asset_keys())
    assert all(sensor.description for sensor in repository.sensor_defs)
    assert all(schedule.description for schedule in repository.schedule_defs)
    for name in ("demo_episode", "demo_update", "demo_all"):
        job = repository.get_job(name)
        assert job.description
        assert int(job.tags[naming.MAX_RUNTIME_TAG]) > 600


def test_every_shipped_configuration_becomes_a_group_that_loads() -> None:
    configs = {path.stem: load_config(path) for path in shipped_configs().values()}
    by_name = {config.dataset.name: config for config in configs.values()}
    definitions = build_defs(by_name)
    dg.Definitions.validate_loadable(definitions)
    groups = {
        definitions.get_repository_def().asset_graph.get(key).group_name
        for key in definitions.get_repository_def().asset_graph.get_all_asset_keys()
    }
    assert groups == set(by_name)


def test_loading_warns_of_nothing(demo: DatasetConfig) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_defs({"demo": demo}).get_repository_def()


def test_a_new_yaml_is_a_new_dataset(folder: Path, demo: DatasetConfig) -> None:
    text = shipped_configs()["demo"].read_text()
    (folder / "one.yaml").write_text(text.replace("name: demo ", "name: one "))
    (folder / "two.yml").write_text(text.replace("name: demo ", "name: two "))
    (folder / "notes.txt").write_text("not a dataset")
    assert {name.split("/")[0] for name in asset_names(defs())} == {"one", "two"}


def test_a_broken_yaml_is_seen_and_takes_no_other_down(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = shipped_configs()["demo"].read_text()
    (folder / "good.yaml").write_text(text)
    (folder / "faulty one.yaml").write_text(text.replace("video:", "vido:"))
    definitions = defs()
    assert {"demo/raw_episodes", "broken_configurations/faulty_one"} <= asset_names(definitions)
    assert "vido" in caplog.text
    key = dg.AssetKey(["broken_configurations", "faulty_one"])
    node = definitions.get_repository_def().asset_graph.get(key)
    assert "vido" in (node.description or "")
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[key], instance=instance, raise_on_error=False
        )
    failure = result.get_step_failure_events()[0].step_failure_data.user_failure_data
    assert failure is not None and failure.metadata["reason"].value == "bad_config"


def test_of_two_files_with_one_name_the_first_stays(folder: Path) -> None:
    text = shipped_configs()["demo"].read_text()
    (folder / "a.yaml").write_text(text)
    (folder / "b.yaml").write_text(text)
    assert {"demo/raw_episodes", "broken_configurations/b"} <= asset_names(defs())


def test_a_folder_that_does_not_exist_is_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CONFIGS_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        defs()


def test_the_executor_is_a_setting(
    folder: Path, demo: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "demo.yaml").write_text(shipped_configs()["demo"].read_text())
    assert defs().executor is dg.in_process_executor
    monkeypatch.setenv(EXECUTOR_VARIABLE, "multiprocess")
    assert defs().executor is dg.multiprocess_executor
    monkeypatch.setenv(EXECUTOR_VARIABLE, "celery")
    with pytest.raises(ConfigError, match="none of in_process, multiprocess"):
        defs()


def test_a_configuration_change_makes_exactly_the_affected_steps_stale(
    demo: DatasetConfig,
) -> None:
    def changed_by(**overrides: object) -> set[str]:
        other = override(demo, {key.replace("__", "."): v for key, v in overrides.items()})
        return {
            step
            for step in naming.EPISODE_STEPS
            if step_version(demo, step) != step_version(other, step)
        }

    assert changed_by(alignment__strategy="window") == {
        naming.ALIGNED,
        naming.VIDEOS,
        naming.METADATA,
    }
    assert changed_by(video__crf=30) == {naming.VIDEOS, naming.METADATA}
    assert changed_by(storage__scanner__interval_s=60) == set()


def test_loading_imports_nothing_heavy() -> None:
    # Run start-up is paid for every run: 1.5 CPU-seconds for all of these.
    script = (
        "import sys; from lerobot_pipelines.definitions import defs; defs().get_repository_def(); "
        "heavy = {'pandas', 'pyarrow', 'av', 'rosbags', 'matplotlib', 'PIL', 'boto3', 'torch'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
