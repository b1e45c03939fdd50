"""Every older file, in its documented folders, through the real convert: the rows it gave."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lerobot_pipelines_tests.cli.calling import Outcome, call
from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows
from lerobot_pipelines_tests.s3_server import (
    ACCESS_KEY_VARIABLE,
    SECRET_KEY_VARIABLE,
    S3Server,
)

# Every older file has something to say; what, is held in the tests of the configuration.
pytestmark = pytest.mark.filterwarnings("always")

LOCAL, SERVICE = text("chunking.yaml"), text("dual_arm_chunking.yaml")
DATA = "real_datas/qurd_arm_task"
STRATEGIES = ("chunking", "window", "nearest")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The owner's repository: files where they are kept, recordings where the files say."""
    repository = Repository(tmp_path_factory.mktemp("owner") / "repository")
    repository.put("chunking.yaml", "storage.yaml", "dual_arm_chunking.yaml", "redis_config.yaml")
    record(repository.root / DATA, "episode_0001", LOCAL, seed=1)
    record(repository.root / DATA, "episode_0002", LOCAL, seed=2)
    for robot in ("robot_1", "robot_2", "robot_3"):
        record(repository.root / "robots" / robot, "episode_0001", SERVICE, seed=int(robot[-1]))
    return repository


@pytest.fixture
def repository(recorded: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A copy to work in, which is the working directory."""
    root = tmp_path / "repository"
    shutil.copytree(recorded.root, root)
    monkeypatch.chdir(root)
    return Repository(root)


def convert(*arguments: object) -> Outcome:
    # The files ask for two processes, which take longer to start than such episodes to convert.
    done = call("convert", "--max-workers", 1, *arguments)
    assert done.code == 0, done.stdout + done.stderr
    return done


def test_a_strategy_file_alone_from_the_root(repository: Repository) -> None:
    done = convert("-c", "config/strategies/chunking.yaml", "-e", "episode_0001")
    root = repository.root
    dataset = root / "lerobot_dataset_chunking/airbot_play_dual_arm/v2.1"
    assert_rows(dataset, root / DATA / "episode_0001", LOCAL, "chunking")
    assert sum("gives LeRobot v2.1" in line for line in done.stderr.splitlines()) == 1
    assert not any((root / "config").rglob("*.parquet"))


def test_options_of_the_command_line_replace_those_of_the_file(repository: Repository) -> None:
    options = ("-e", "episode_0001", "--output", "elsewhere")
    convert("-c", "config/strategies/chunking.yaml", *options, "--chunk-size", 15)
    dataset, recording = Path("elsewhere/airbot_play_dual_arm/v2.1"), Path(DATA) / "episode_0001"
    assert_rows(dataset, recording, LOCAL, "chunking", chunk_size=15)
    other = (*options[:3], "windows", "--strategy", "window")
    convert("-c", "config/strategies/chunking.yaml", *other)
    dataset = Path("windows/airbot_play_dual_arm/v2.1")
    assert_rows(dataset, recording, LOCAL, "window", window_ms=20)


def test_no_recording_anywhere_names_every_place(repository: Repository) -> None:
    shutil.rmtree("real_datas")
    done = call("convert", "-c", "config/strategies/chunking.yaml")
    assert done.code == 3
    for place in (f"{DATA} (from the working directory)", f"config/strategies/{DATA}"):
        assert str(repository.root / place) in done.stderr
    assert not Path("lerobot_dataset_chunking").exists()


def test_a_strategy_file_from_elsewhere_writes_nothing_beside_itself(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = sorted(repository.root.rglob("*"))
    convert("-c", repository.path("chunking.yaml"), "-e", "episode_0002")
    dataset = tmp_path / "elsewhere/lerobot_dataset_chunking/airbot_play_dual_arm/v2.1"
    assert_rows(dataset, repository.root / DATA / "episode_0002", LOCAL, "chunking")
    assert sorted(repository.root.rglob("*")) == before


def test_the_pair_gives_a_dataset_per_episode_and_strategy_side_by_side(
    repository: Repository,
) -> None:
    places = ("--input", DATA, "--output", "lerobot_datasets")
    for strategy in STRATEGIES:
        convert("config/storage.yaml", *places, "--strategy", strategy)
    for strategy in STRATEGIES:
        for episode in ("episode_0001", "episode_0002"):
            dataset = Path("lerobot_datasets/local") / f"{episode}_{strategy}/v2.1"
            # Where the strategy's file has no window_ms it was 20.
            settings = {"window_ms": 20} if strategy == "window" else {}
            assert_rows(dataset, Path(DATA) / episode, LOCAL, strategy, **settings)
    assert len(list(Path("lerobot_datasets/local").iterdir())) == 6
    again = convert("config/storage.yaml", *places)
    assert "2 unchanged" in again.stdout


def test_three_strategy_files_against_one_service_file(repository: Repository) -> None:
    window = repository.strategy_file("chunking.yaml", "window", {"window_ms": 30})
    places = ("--input", DATA, "--output", "sets", "-e", "episode_0001")
    convert("config/storage.yaml", *places)
    convert("config/storage.yaml", f"conversion.config_template={window}", *places)
    recording = Path(DATA) / "episode_0001"
    assert_rows(Path("sets/local/episode_0001_chunking/v2.1"), recording, LOCAL, "chunking")
    assert_rows(
        Path("sets/local/episode_0001_window/v2.1"), recording, LOCAL, "window", window_ms=30
    )


def test_several_robots_have_folders_of_their_own(repository: Repository) -> None:
    convert("config/redis_config.yaml", "--input", "robots")
    for robot in ("robot_1", "robot_2", "robot_3"):
        dataset = Path("lerobot_datasets") / robot / "episode_0001_chunking/v2.1"
        assert_rows(dataset, Path("robots") / robot / "episode_0001", SERVICE, "chunking")


def test_a_strategy_file_without_places_needs_input_and_output_alone(
    repository: Repository,
) -> None:
    convert(
        "config/dual_arm_chunking.yaml",
        *("--input", "robots/robot_1", "--output", "out", "--chunk-size", 15),
    )
    dataset = Path("out/dual_arm_chunking/v2.1")
    recording = Path("robots/robot_1/episode_0001")
    assert_rows(dataset, recording, SERVICE, "chunking", chunk_size=15)
    none = call("convert", "config/dual_arm_chunking.yaml", "--input", "robots/robot_1")
    assert none.code == 2
    assert "give --output as well" in none.stderr


def test_both_formats_beside_one_another_where_asked(repository: Repository) -> None:
    convert(
        *("config/dual_arm_chunking.yaml", "--input", "robots/robot_1", "--output", "out"),
        *("--format", "v2.1", "--format", "v3.0"),
    )
    rows = {
        version: sum(
            pq.read_metadata(file).num_rows
            for file in Path(f"out/dual_arm_chunking/{version}/data").rglob("*.parquet")
        )
        for version in ("v2.1", "v3.0")
    }
    assert rows["v2.1"] == rows["v3.0"] > 20


def test_a_file_of_today_needs_no_storage_either(repository: Repository) -> None:
    lines = call("config", "migrate", "config/dual_arm_chunking.yaml")
    assert lines.code == 0, lines.stderr
    Path("robot.yaml").write_text(lines.stdout)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert("robot.yaml", "--input", "robots/robot_1", "--output", "out")
    assert_rows(
        Path("out/dual_arm_chunking/v2.1"), Path("robots/robot_1/episode_0001"), SERVICE, "chunking"
    )
    none = call("convert", "robot.yaml")
    assert none.code == 2
    assert "give convert --input and --output" in " ".join(none.stderr.split())


def test_a_service_s_file_and_its_migrated_form_go_on_with_one_another(
    repository: Repository,
) -> None:
    convert("config/redis_config.yaml", "--input", "robots")
    assert call("config", "migrate", "config/redis_config.yaml", "-o", "robot.yaml").code == 0
    assert "3 unchanged" in convert("robot.yaml", "--input", "robots").stdout
    there = call("config", "migrate", "config/redis_config.yaml", "-o", "robot.yaml")
    assert there.code == 1
    assert "is there already" in there.stderr


def test_the_service_s_file_reads_and_writes_its_bucket(
    repository: Repository, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, client = s3_server.new_bucket(), s3_server.client()
    source = repository.root / DATA / "episode_0001"
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name = file.relative_to(source.parent).as_posix()
        client.upload_file(str(file), bucket, f"raw_datas/{name}")
    monkeypatch.setenv("BOS_ACCESS_KEY", os.environ[ACCESS_KEY_VARIABLE])
    monkeypatch.setenv("BOS_SECRET_KEY", os.environ[SECRET_KEY_VARIABLE])
    monkeypatch.setenv("LEROBOT_TEMP_DIR", str(repository.root / "tmp"))
    here = {
        "storage.url": f"s3://{bucket}",
        "storage.endpoint": s3_server.endpoint,
        "storage.region": "us-east-1",
        "storage.addressing_style": "path",
    }
    # CONFIG is known by its place, as it was.
    convert(*(f"{key}={value}" for key, value in here.items()))
    prefix = "converted_datas/bos/episode_0001_chunking/"
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    for key in (item["Key"] for item in found):
        place = repository.root / "fetched" / key.removeprefix(prefix)
        place.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(place))
    assert_rows(repository.root / "fetched/v2.1", source, LOCAL, "chunking")
    assert (repository.root / "tmp").is_dir()  # temp_dir, where recordings were fetched to


def test_an_episode_s_own_strategy_has_a_dataset_beside_the_others(
    repository: Repository,
) -> None:
    path = repository.path("redis_config.yaml")
    path.write_text(path.read_text() + "storage: {url: ../bucket}\n")
    text_of = repository.path("dual_arm_chunking.yaml")
    text_of.write_text(text_of.read_text().replace("  window_ms: 20\n", ""))
    for episode, strategy in (("one", None), ("two", "window")):
        asked = () if strategy is None else ("--strategy", strategy)
        source = ("--source", "robot_1", "--episode", episode)
        recording = "robots/robot_1/episode_0001"
        done = call("publish", "config/redis_config.yaml", recording, *source, *asked)
        assert done.code == 0, done.stderr
    convert("config/redis_config.yaml")
    datasets = repository.root / "bucket/lerobot_datasets/robot_1"
    recording = Path("robots/robot_1/episode_0001")
    robot = SERVICE | {"alignment": {**SERVICE["alignment"], "window_ms": 20}}
    assert_rows(datasets / "one_chunking/v2.1", recording, robot, "chunking")
    assert_rows(datasets / "two_window/v2.1", recording, robot, "window")
