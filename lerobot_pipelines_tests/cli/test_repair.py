"""``repair`` and ``remove`` as a person meets them, and the removals that ``convert`` lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.conftest import EPISODES, Converted


@pytest.fixture
def roots(converted: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Recordings in a folder, and datasets made of them in another."""
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    shutil.copytree(converted.bucket / "raw", tmp_path / "raw")
    found: list[object] = ["--input", tmp_path / "raw", "--output", tmp_path / "out"]
    assert call("convert", "demo", *found).code == 0
    return found


def test_repair_lists_mends_and_then_finds_nothing(roots: list[object], tmp_path: Path) -> None:
    assert call("repair", "demo", *roots).code == 0
    row = next((tmp_path / "out/demo/v3.0/data").rglob("*.parquet"))
    row.unlink()
    (tmp_path / "out/.work/demo/records/block~episode_0001.json").unlink()
    assert "not_as_committed" in call("verify", tmp_path / "out/demo/v3.0").stdout
    look = call("repair", "demo", *roots, "--dry-run")
    assert look.code == 1
    assert "block/episode_0001: its record is missing" in look.stdout
    assert f"v3.0/data/{row.parent.name}/{row.name}: it is missing" in look.stdout
    assert not row.exists()
    done = call("repair", "demo", *roots, "--json")
    assert done.code == 0, done.stdout
    assert [one["is_mended"] for one in done.json()["repairs"]] == [True, True]
    assert row.exists()
    assert call("verify", tmp_path / "out/demo/v3.0").code == 0
    assert call("repair", "demo", *roots, "--json").json()["repairs"] == []


def test_the_intermediate_results_may_be_deleted(roots: list[object], tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in (tmp_path / "out/demo").rglob("*.parquet")}
    shutil.rmtree(tmp_path / "out/.work")
    again = call("convert", "demo", *roots)
    assert again.code == 0, again.stderr
    assert {p: p.read_bytes() for p in before} == before
    assert call("verify", tmp_path / "out/demo/v2.1").code == 0


def test_remove_takes_out_by_name_and_says_so(roots: list[object]) -> None:
    unknown = call("remove", "demo", "block/nobody", *roots)
    assert (unknown.code, "block/nobody" in unknown.stderr) == (2, True)
    look = call("remove", "demo", EPISODES[1], *roots, "--dry-run", "--json")
    assert look.json() == {"dataset": "demo", "dry_run": True, "removed": [EPISODES[1]]}
    done = call("remove", "demo", EPISODES[1], *roots)
    assert done.code == 0
    assert f"{EPISODES[1]}: [removed] taken out on purpose" in done.stderr
    assert "dataset v3.0: 2 episodes" in done.stdout
    kept = call("convert", "demo", *roots)
    assert (kept.code, "dataset v3.0: 2 episodes" in kept.stdout) == (0, True)


def test_a_configuration_that_refuses_all_asks_for_the_word(roots: list[object]) -> None:
    strict = [*roots, "--set", "filtering.min_duration_sec=60"]
    refused = call("convert", "demo", *strict)
    assert refused.code == 1
    assert "3 episodes should leave and stay as they were (--allow-removal" in refused.stderr
    assert "dataset v3.0: 3 episodes" in refused.stdout
    gone = call("convert", "demo", *strict, "--allow-removal")
    assert "3 episodes left the dataset" in gone.stderr
    assert "dataset v3.0: none" in gone.stdout


def test_another_strategy_for_one_episode_is_wrong_usage(roots: list[object]) -> None:
    mixed = call("convert", "demo", *roots, "--episode", EPISODES[0], "--strategy", "hold")
    assert mixed.code == 2
    assert "made with strategy nearest" in mixed.stderr and "Nothing was done" in mixed.stderr
