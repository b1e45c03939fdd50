"""Failed episodes are set aside and tried again: what monitor counts, and what the sensor does."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from lerobot_pipelines.config import dump_config, load_config
from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.defs.bucket_sensor import evaluate
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines.defs.rescan import evaluate as rescan
from lerobot_pipelines.pipeline.lost import LostRun, write_lost
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

COUNTED = ("pending", "converted", "refused", "cleared")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One good episode, two that are refused, and one more to come."""
    raw = tmp_path / "bucket/raw"
    record(raw, "block/good")
    for name in ("bad", "worse"):
        record(raw, f"block/{name}", seconds=0.4)
        without_most_pictures(raw, name)
    path = tmp_path / "robot.yaml"
    scanner = {"quiet_period_s": 0.0}
    storage = StorageConfig.model_validate(
        {"url": (tmp_path / "bucket").as_uri(), "scanner": scanner}
    )
    path.write_text(dump_config(fleet_config(storage)))
    assert call("convert", path, "--json").code == 1
    return path


def without_most_pictures(raw: Path, name: str) -> None:
    for picture in sorted((raw / f"images/block/{name}/cam").iterdir())[1:]:
        picture.unlink()


def counts(config: Path) -> dict[str, int]:
    status = call("monitor", config, "--json").json()
    return {name: status[name] for name in COUNTED}


def workspace(config: Path) -> Workspace:
    return workspace_of(load_config(config), config.parent)


def requested(config: Path) -> set[str]:
    """What the sensor asks for that never saw the bucket before, and what the rescan does."""
    with dg.DagsterInstance.ephemeral() as instance:
        tick = evaluate(workspace(config), instance, BucketCursor())
        scanned = rescan(workspace(config), instance, [], seed="x")
    return {str(one.partition_key) for one in (*tick.requests, *scanned)}


def test_cleared_episodes_leave_the_list_and_are_not_requested(config: Path) -> None:
    assert counts(config) == {"pending": 0, "converted": 1, "refused": 2, "cleared": 0}
    cleared = call("monitor", config, "--clear-failed", "--json")
    assert cleared.code == 0
    assert "2 failed episodes cleared" in cleared.stderr
    assert cleared.json()["refused"] == 0 and cleared.json()["refusals"] == []
    assert counts(config) == {"pending": 0, "converted": 1, "refused": 0, "cleared": 2}
    shown = call("monitor", config).stdout
    assert "2 cleared" in shown and "not tried again until the content changes" in shown
    assert requested(config) == set()
    states = {one["key"]: one["state"] for one in call("scan", config, "--json").json()["episodes"]}
    assert states == {"block/good": "converted", "block/bad": "cleared", "block/worse": "cleared"}


def test_cleared_ones_hold_for_another_configuration_and_for_convert(config: Path) -> None:
    assert call("retry", config, "--clear").code == 0
    config.write_text(config.read_text().replace("tolerance_ms: 20.0", "tolerance_ms: 25.0", 1))
    assert requested(config) == set()
    again = call("convert", config, "--json")
    assert (again.code, again.json()["left_out"]) == (0, [])
    assert {one["reason"] for one in again.json()["episodes"]} == {None, "cleared"}
    assert counts(config)["cleared"] == 2


def test_new_content_of_a_cleared_episode_is_converted(config: Path) -> None:
    assert call("retry", config, "--clear", "bad").stdout == "block/bad\n"
    assert counts(config) == {"pending": 0, "converted": 1, "refused": 1, "cleared": 1}
    record(config.parent / "bucket/raw", "block/bad", seed=3)
    assert requested(config) == {"block~bad"}
    assert call("convert", config, "--json").code == 1  # the other one
    assert counts(config) == {"pending": 0, "converted": 2, "refused": 1, "cleared": 0}


def test_a_cleared_episode_is_retried_by_name_and_the_failed_ones_all(config: Path) -> None:
    assert call("retry", config, "--clear", "--reason", "gap").code == 3
    assert call("retry", config, "--clear", "block/bad").code == 0
    assert call("monitor", config, "--retry-failed").stderr.endswith("1 failed episode queued\n")
    assert counts(config) == {"pending": 1, "converted": 1, "refused": 0, "cleared": 1}
    assert requested(config) == {"block~worse"}
    assert call("retry", config, "bad").stdout == "block/bad\n"
    assert counts(config) == {"pending": 2, "converted": 1, "refused": 0, "cleared": 0}
    assert requested(config) == {"block~bad", "block~worse"}


def test_a_lost_run_is_cleared_too(config: Path) -> None:
    record(config.parent / "bucket/raw", "block/killer")
    write_lost(workspace(config), [LostRun("block/killer", 0.0)])
    assert counts(config)["pending"] == 1
    assert "block/killer" in call("retry", config, "--clear").stdout
    assert counts(config) == {"pending": 0, "converted": 1, "refused": 0, "cleared": 3}
    assert requested(config) == set()


def test_what_is_converted_or_taken_out_is_left_alone(config: Path) -> None:
    assert call("remove", config, "bad").code == 0
    cleared = call("retry", config, "--clear", "good", "bad")
    assert cleared.code == 3
    assert cleared.stderr.count("did not fail; left alone") == 2
    assert counts(config) == {"pending": 0, "converted": 1, "refused": 2, "cleared": 0}
    # "--failed" is about failures; who was taken out comes back by name.
    assert call("retry", config, "--failed").stdout == "block/worse\n"


def test_retry_and_clear_exclude_one_another(config: Path) -> None:
    wrong = call("monitor", config, "--retry-failed", "--clear-failed")
    assert (wrong.code, "exclude each other" in wrong.stderr) == (2, True)


def test_verbose_names_every_episode_that_is_not_converted(config: Path) -> None:
    record(config.parent / "bucket/raw", "block/late")
    call("retry", config, "--clear", "bad")
    lines = call("monitor", config, "-v").stdout.splitlines()
    words = [line.split()[:2] for line in lines]
    assert ["block/late", "pending"] in words
    assert ["block/bad", "cleared"] in words
    assert ["block/worse", "refused"] in words
