"""The documented command lines of an earlier system, run word by word in its own repository."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.recorder.announce import announce_episode
from lerobot_pipelines_tests.cli.calling import Outcome, call
from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.s3_server import ACCESS_KEY_VARIABLE, SECRET_KEY_VARIABLE, S3Server

pytestmark = [
    pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning"),
    pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineNote"),
]

ROBOT = text("chunking.yaml")
BUCKET = text("storage.yaml")["bos"]["bucket"]
# The tests have no Baidu.
NOT_THEIRS = ("storage.region=us-east-1", "storage.addressing_style=path")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository, as working directory, with one recording where ``input.data_path`` says."""
    repository = Repository(tmp_path)
    repository.put("chunking.yaml", "storage.yaml")
    record(tmp_path / "real_datas/qurd_arm_task", "episode_0001", ROBOT, seed=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEROBOT_TEMP_DIR", str(tmp_path / "tmp"))
    monkeypatch.delenv("LEROBOT_PIPELINES_CONFIG", raising=False)
    return tmp_path


def line(words: str, *others: object) -> Outcome:
    return call(*shlex.split(words), *others)


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ("convert -c config/strategies/chunking.yaml", "lerobot_dataset_chunking"),
        ("convert -c config/strategies/chunking.yaml -e episode_0001 --output out", "out"),
        (
            "convert -c config/strategies/chunking.yaml -e episode_0001 --strategy window "
            "--chunk-size 15 --output out",
            "out",
        ),
    ],
)
def test_convert(root: Path, words: str, folder: str) -> None:
    done = line(words)
    assert done.code == 0, done.stdout + done.stderr
    (info,) = (root / folder).glob("**/meta/info.json")
    assert json.loads(info.read_text())["total_episodes"] == 1
    assert (info.parent.parent / "data/chunk-000/episode_000000.parquet").is_file()


@pytest.fixture
def bucket(root: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    """The bucket that ``storage.yaml`` names, with one episode; its keys are in the environment."""
    client = s3_server.client()
    monkeypatch.setenv("BOS_ACCESS_KEY", os.environ[ACCESS_KEY_VARIABLE])
    monkeypatch.setenv("BOS_SECRET_KEY", os.environ[SECRET_KEY_VARIABLE])
    client.create_bucket(Bucket=BUCKET)
    for file in (root / "real_datas/qurd_arm_task").rglob("*.*"):
        key = file.relative_to(root / "real_datas/qurd_arm_task").as_posix()
        client.upload_file(str(file), BUCKET, f"raw_datas/{key}")
    return load_config(root / "config/storage.yaml", dict(_at(s3_server)))


def _at(server: S3Server) -> list[tuple[str, str]]:
    pairs = [one.partition("=")[::2] for one in NOT_THEIRS]
    return [("storage.endpoint", server.endpoint), *pairs]


def test_scanner_monitor_and_publish(
    root: Path, bucket: DatasetConfig, s3_server: S3Server
) -> None:
    """The storage's address alone is another than in the file."""
    try:
        at = [word for key, value in _at(s3_server) for word in ("--set", f"{key}={value}")]
        name = bucket.dataset.name
        for words in (
            "scanner -c config/storage.yaml --interval 300 --once",
            "scanner --once --full-scan --set storage.scanner.quiet_period_s=0",
        ):
            looked = line(words, *at)
            assert (looked.code, looked.stdout) == (0, f"{name}: 1 new\n"), looked.stderr
        published = line(
            "publish -c config/storage.yaml -e episode_0001 -s local --strategy chunking", *at
        )
        assert published.code == 0, published.stderr
        assert "raw_datas/episode_0001: in the bucket" in published.stdout
        for words, queued in (
            ("monitor", 0),
            ("monitor -v", 0),
            ("monitor --retry-failed", 0),
            ("monitor --clear-failed", 0),
        ):
            shown = line(words, *at)
            assert shown.code == 0, shown.stderr
            assert f"{name}: 1 pending, 0 converted, {queued} refused" in shown.stdout
        _empty(s3_server)
        nowhere = line(
            "publish -c config/storage.yaml -e episode_0001 -s local --strategy chunking", *at
        )
        assert nowhere.code == 2
        commands = [one.strip() for one in nowhere.stderr.splitlines() if one.startswith("  ")]
        assert [one.split()[1] for one in commands] == ["publish", "convert"]
        for command in commands:
            done = line(command.removeprefix("lerobot-pipelines "), *at * ("publish" in command))
            assert done.code == 0, done.stderr
        assert list((root / "lerobot_dataset_chunking").glob("**/meta/info.json"))
        other = announce_episode(bucket, "episode_0001", strategy="window")
        assert other.changed
        workspace = open_workspace(bucket)
        settings = workspace.storage.read("raw_datas/episode_0001/overrides.json")
        assert json.loads(settings) == {"alignment": {"strategy": "window"}}
    finally:
        _remove(s3_server)


def _remove(server: S3Server) -> None:
    _empty(server)
    server.client().delete_bucket(Bucket=BUCKET)


def _empty(server: S3Server) -> None:
    client = server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for one in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=one["Key"])


def test_the_service_starts_with_the_words_of_scanner_and_worker(root: Path) -> None:
    """What they start is tested elsewhere (integration); here that each word is understood."""
    for words in (
        "worker -c config/storage.yaml -s robot_1 --max-workers 4",
        "scanner -c config/storage.yaml --interval 300 --full-scan",
        "monitor --refresh 10 -v",
    ):
        assert line(words, "--help").code == 0


def test_a_file_without_paths_takes_them_from_the_command_line(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.put("dual_arm_chunking.yaml", "redis_config.yaml")
    robot = text("dual_arm_chunking.yaml")
    for seed, name in enumerate(("robot_1/episode_0001", "robot_2/episode_0001")):
        record(tmp_path / "data" / name.split("/")[0], "episode_0001", robot, seed=seed)
    places = ("--input", tmp_path / "data", "--output", tmp_path / "out")
    settled = ("--set", "storage.scanner.quiet_period_s=0")
    for file, counted in (("dual_arm_chunking.yaml", 2), ("redis_config.yaml", 2)):
        words = ("scanner", "--once", "--full-scan", "-c", repository.path(file), *places)
        looked = call(*words, *settled)
        assert (looked.code, looked.stdout.endswith(f": {counted} new\n")) == (0, True), looked
        only = call(*words, *settled, "-s", "robot_1")
        assert only.stdout.endswith(": 1 new\n"), only
    wrong = call("scanner", "--once", "-c", repository.path("redis_config.yaml"), "-s", "robot_9")
    assert (wrong.code, "--input" in wrong.stderr) == (2, True)
