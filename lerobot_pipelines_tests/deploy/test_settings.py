"""Dagster reads the shipped settings as it will on a server, so that they cannot rot unnoticed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.config_schema import process_workspace_config

from lerobot_pipelines.cli.services import LOCATION
from lerobot_pipelines.defs import home
from lerobot_pipelines_tests.deploy.shipped import DEPLOY, documented_variables, documents

# Settings that hold wherever Dagster runs; the rest is each deployment's own.
SAME_EVERYWHERE = ("run_retries", "retention", "python_logs", "telemetry", "nux")
EXAMPLE = {
    "DAGSTER_PG_HOST": "db.example",
    "DAGSTER_PG_PORT": "5433",
    "DAGSTER_PG_DB": "dagster",
    "DAGSTER_PG_USER": "robot",
    "DAGSTER_PG_PASSWORD": "a b:c",
    "CELERY_BROKER_URL": "redis://redis.example/0",
    "CELERY_RESULT_BACKEND": "redis://redis.example/1",
    "LEROBOT_PIPELINES_NAMESPACE": "robots",
}
PARTS = {"celery": "dagster_celery", "kubernetes": "dagster_k8s"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in EXAMPLE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=list(PARTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reference(kind: str, folder: Path) -> InstanceRef:
    """The instance as Dagster understands the settings; nothing is connected."""
    for module in (PARTS[kind], "dagster_postgres"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: the extras {kind} and postgres")
    (folder / "dagster.yaml").write_text((DEPLOY / kind / "dagster.yaml").read_text())
    return InstanceRef.from_dir(str(folder))


def environment_names(value: Any) -> Iterator[str]:
    """Every NAME of ``{env: NAME}``."""
    if isinstance(value, dict):
        if list(value) == ["env"]:
            yield value["env"]
        for each in value.values():
            yield from environment_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from environment_names(each)


def test_settings_agree_with_those_of_a_single_machine(kind: str, tmp_path: Path) -> None:
    single = yaml.safe_load(home.settings(tmp_path, cores=8))
    (shipped,) = documents(f"{kind}/dagster.yaml")
    for section in SAME_EVERYWHERE:
        assert shipped[section] == single[section], section
    assert shipped["concurrency"]["pools"] == single["concurrency"]["pools"]
    assert shipped["run_monitoring"]["enabled"] is True  # else no lost worker is noticed
    assert shipped["run_monitoring"]["max_resume_run_attempts"] == 0
    runs = shipped["concurrency"]["runs"]
    assert runs["tag_concurrency_limits"][0]["limit"] < runs["max_concurrent_runs"]


def test_dagster_accepts_the_settings_and_finds_the_database(kind: str, tmp_path: Path) -> None:
    instance = reference(kind, tmp_path)
    from dagster._config import process_config
    from dagster_postgres.storage import DagsterPostgresStorage
    from dagster_postgres.utils import pg_url_from_config

    data = instance.storage_data
    assert data is not None
    found = process_config(DagsterPostgresStorage.config_type(), data.config_dict)
    assert found.success, found.errors
    url = pg_url_from_config(found.value)
    assert url == "postgresql+psycopg2://robot:a%20b%3Ac@db.example:5433/dagster"
    assert instance.run_coordinator is not None


def test_celery_runs_go_to_the_broker_of_the_environment(tmp_path: Path) -> None:
    launcher: Any = reference("celery", tmp_path).run_launcher
    assert launcher.celery.conf.broker_url == EXAMPLE["CELERY_BROKER_URL"]
    assert launcher.celery.conf.result_backend == EXAMPLE["CELERY_RESULT_BACKEND"]


def test_celery_workers_are_configured_as_the_launcher_expects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("dagster_celery", reason="the extra celery is not installed")
    from dagster_celery.make_app import make_app

    monkeypatch.syspath_prepend(str(DEPLOY / "celery"))
    conf = make_app().conf
    assert conf.broker_url == EXAMPLE["CELERY_BROKER_URL"]
    assert conf.result_backend == EXAMPLE["CELERY_RESULT_BACKEND"]
    assert conf.worker_disable_prefetch is True
    assert conf.task_default_queue == "dagster"
    assert "lerobot_pipelines.definitions" in conf.imports


def test_every_variable_that_the_files_need_is_explained(kind: str) -> None:
    names = set(environment_names(documents(f"{kind}/dagster.yaml")))
    if kind == "celery":
        assert names <= documented_variables()
    else:
        (literals,) = (
            generator["literals"]
            for generator in documents("kubernetes/kustomization.yaml")[0]["configMapGenerator"]
            if "literals" in generator
        )
        given = {literal.partition("=")[0] for literal in literals}
        assert names - given == {"DAGSTER_PG_PASSWORD"}  # that one comes from the Secret


@pytest.mark.parametrize("folder", ["systemd", "kubernetes", "celery"])
def test_the_code_location_has_its_one_name_everywhere(folder: str) -> None:
    (workspace,) = documents(f"{folder}/workspace.yaml")
    assert process_workspace_config(workspace).success
    (location,) = workspace["load_from"]
    assert location["grpc_server"]["location_name"] == LOCATION
