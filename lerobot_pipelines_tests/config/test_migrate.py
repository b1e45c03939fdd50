"""``migrate`` writes older files in today's keys; both give the same configuration."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.migrate import Migrated, migrate
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines_tests.config.test_legacy_rosbag import SCRIPT
from lerobot_pipelines_tests.migration.repository import PLACES, Repository, text

STAGES = (raw_hash, alignment_hash, video_hash, dataset_hash)
BUCKET = "file:///somewhere"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.put(*PLACES)
    monkeypatch.chdir(repository.root)
    return repository


def quietly(path: Path, **options: object) -> DatasetConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_config(path, **options)  # type: ignore[arg-type]


def written(folder: Path, one: Migrated) -> Path:
    path = folder / "robot.yaml"
    path.write_text(one.text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list(PLACES))
@pytest.mark.parametrize("strategy", [None, "window", "nearest", "chunking"])
def test_both_forms_give_equal_hashes(
    repository: Repository, name: str, strategy: str | None
) -> None:
    (one,) = migrate([repository.path(name)])
    asked = {} if strategy is None else {"alignment.strategy": strategy}
    direct = quietly(repository.path(name), overrides=asked, bucket=BUCKET)
    again = quietly(written(repository.root, one), overrides=asked, bucket=BUCKET)
    assert [stage(again) for stage in STAGES] == [stage(direct) for stage in STAGES]
    assert again.dataset.formats == direct.dataset.formats
    assert again.workers == direct.workers
    assert again.logging == direct.logging


def test_today_s_form_loads_without_a_word(repository: Repository) -> None:
    (one,) = migrate([repository.path("storage.yaml")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = load_config(written(repository.root, one))
    assert config.dataset.name == one.name == "airbot_play_dual_arm_chunking"
    assert set(yaml.safe_load(one.text)) <= set(DatasetConfig.model_fields) | {"robot"}


def test_comments_tell_what_each_key_became(repository: Repository) -> None:
    (one,) = migrate([repository.path("storage.yaml")])
    for line in (
        "url: s3://srgdata  # was bos.bucket, line 11",
        "interval_s: 120  # was bos.scanner.interval, line 16",
        "workers: 2  # was redis.max_workers, line 7",
        "name: airbot_play_dual_arm_chunking  # was output.dataset_name, chunking.yaml line 32",
        "window_ms: 20  # not given: as the earlier converter had it",
    ):
        assert line in one.text
    for key in ("incremental_key", "redis", "base_path", "video.fps"):
        assert key in one.text  # those without a place say so


def test_variables_stay_variables(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEROBOT_TEMP_DIR", "/hidden/place")
    monkeypatch.setenv("BUCKET_NAME", "hidden-recordings")
    path = repository.path("storage.yaml")
    path.write_text(path.read_text().replace('bucket: "srgdata"', 'bucket: "${BUCKET_NAME}"'))
    (one,) = migrate([path])
    assert "hidden" not in one.text
    assert "url: s3://${BUCKET_NAME}  # was bos.bucket" in one.text
    assert "cache_dir: ${LEROBOT_TEMP_DIR:-}" in one.text
    assert one.config.storage.cache_dir == "/hidden/place"


def test_a_service_and_three_strategies_are_three_files(repository: Repository) -> None:
    strategies = [
        repository.path("chunking.yaml"),
        repository.strategy_file("chunking.yaml", "window", {"window_ms": 30}),
        repository.strategy_file("chunking.yaml", "nearest", {}),
    ]
    found = migrate([repository.path("storage.yaml"), *strategies])
    assert [one.name for one in found] == [
        f"airbot_play_dual_arm_{strategy}" for strategy in ("chunking", "window", "nearest")
    ]
    assert len({alignment_hash(one.config) for one in found}) == 3


def test_bag_scripts_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "KuavoRosbag2Lerobot.yaml"
    path.write_text(yaml.safe_dump(SCRIPT, sort_keys=False))
    (one,) = migrate([path])
    assert [stage(quietly(written(tmp_path, one))) for stage in STAGES] == [
        stage(quietly(path)) for stage in STAGES
    ]
    assert "fps: 10  # was dataset.train_hz, line" in one.text


def test_faulty_files_are_refused_with_every_fault(repository: Repository) -> None:
    path = repository.path("chunking.yaml")
    path.write_text(path.read_text().replace("h264", "h999").replace("repeat", "again"))
    with pytest.raises(ConfigError) as caught:
        migrate([repository.path("storage.yaml")])
    assert len(caught.value.details["faults"]) == 2


NUMBERS = st.integers(1, 50)


@given(
    strategy=st.sampled_from(["nearest", "chunking", "window"]),
    given_keys=st.dictionaries(
        st.sampled_from(["chunk_size", "window_ms", "tolerance_ms"]), NUMBERS
    ),
    pattern=st.sampled_from(["./sets/{source}/{episode_id}_{strategy}", "{dataset_name}", "a/b"]),
    sources=st.sampled_from([["local", "bos"], ["r1"], ["r1", "r2"], []]),
    threads=st.dictionaries(st.sampled_from(["batch_size", "concurrent"]), NUMBERS),
    fps=NUMBERS,
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_older_file_is_the_same_in_today_s_keys(
    repository: Repository,
    strategy: str,
    given_keys: dict[str, int],
    pattern: str,
    sources: list[str],
    threads: dict[str, int],
    fps: int,
) -> None:
    content = text("chunking.yaml")
    content["alignment"] = {"strategy": strategy, **given_keys}
    content["output"]["pattern"] = pattern
    content["sources"] = sources
    content["video"]["fps"] = fps
    content["s3"] = {"bucket": "rec", "download": threads}
    path = repository.root / "any.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    (one,) = migrate([path])  # compares what both give
    assert quietly(written(repository.root, one)) == quietly(path)
