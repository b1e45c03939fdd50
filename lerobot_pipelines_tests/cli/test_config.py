from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config import shipped_configs
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.migration.repository import Repository


def test_every_shipped_configuration_is_listed_and_sound() -> None:
    listed = call("config", "list", "--json").json()
    assert listed == {name: str(path) for name, path in shipped_configs().items()}
    outcome = call("config", "check", *listed)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.count(": OK\n") == len(listed) > 0


def test_check_names_every_fault_of_every_file(tmp_path: Path) -> None:
    text = shipped_configs()["demo"].read_text()
    (tmp_path / "one.yaml").write_text(text.replace("crf: 23", "crf: high") + "\nvido: {}\n")
    (tmp_path / "two.yaml").write_text(text + "\nalignmnt: 1\n")
    outcome = call("config", "check", tmp_path / "one.yaml", tmp_path / "two.yaml", "demo")
    assert outcome.code == 2
    assert outcome.stdout == "demo: OK\n"
    for word in ("one.yaml", "vido", "video", "crf", "two.yaml", "alignmnt", "alignment"):
        assert word in outcome.stderr
    as_json = call("config", "check", tmp_path / "one.yaml", "demo", "--json")
    assert as_json.code == 2
    assert as_json.json()["faults"]["demo"] is None


@pytest.mark.parametrize("name", ["missing.yaml", "folder"])
def test_check_of_a_missing_file_or_a_folder_without_yaml_is_no_success(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    assert call("config", "check", tmp_path / name).code == 2


def test_what_show_prints_is_a_configuration_that_shows_the_same(tmp_path: Path) -> None:
    shown = call(
        "config", "show", "demo", "--set", "video.crf=31", "--set", "dataset.task=stack it"
    )
    assert shown.code == 0, shown.stderr
    assert "crf: 31" in shown.stdout
    (tmp_path / "copy.yaml").write_text(shown.stdout)
    assert call("config", "show", tmp_path / "copy.yaml").stdout == shown.stdout


def test_show_as_json_holds_the_resolved_values() -> None:
    resolved = call("config", "show", "demo", "--set", "alignment.strategy=window", "--json").json()
    assert resolved["alignment"]["strategy"] == "window"
    assert resolved["video"]["pix_fmt"] == "yuv420p"


def test_the_reference_explains_every_section() -> None:
    outcome = call("config", "reference")
    assert outcome.code == 0
    for key in ("chunk_size", "quiet_period_s", "gap_policy", "preset"):
        assert key in outcome.stdout


@pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")
def test_older_files_are_written_in_todays_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tmp_path)
    repository.put("storage.yaml", "chunking.yaml")
    window = repository.strategy_file("chunking.yaml", "window", {"window_ms": 30})
    monkeypatch.chdir(tmp_path)
    pair = ("config/storage.yaml", "config/strategies/chunking.yaml")
    printed = call("config", "migrate", "config/storage.yaml")
    assert (printed.code, printed.stderr) == (0, "")
    both = call("config", "migrate", *pair)
    assert both.stdout == printed.stdout
    several = call("config", "migrate", *pair, window)
    assert several.code == 2
    assert "give -o FOLDER" in several.stderr
    assert call("config", "migrate", *pair, window, "-o", "configs").code == 0
    assert sorted(path.name for path in Path("configs").iterdir()) == [
        *("airbot_play_dual_arm_chunking.yaml", "airbot_play_dual_arm_window.yaml")
    ]
    assert call("config", "check", "configs").code == 0
    nothing = call("config", "migrate", "config/nothing.yaml")
    assert nothing.code == 2


def test_a_faulty_older_file_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "storage.yaml"
    file.write_text("bos: {bucket: rec}\nconversion: {config_template: nowhere.yaml}\n")
    done = call("config", "migrate", file, "-o", tmp_path / "robot.yaml")
    assert done.code == 2
    assert "nowhere.yaml" in done.stderr
    assert not (tmp_path / "robot.yaml").exists()
