"""``recover`` and ``record-demo``."""

from __future__ import annotations

import json
from pathlib import Path

from lerobot_pipelines.recorder import EpisodeRecorder
from lerobot_pipelines.recorder.journal import SUFFIX
from lerobot_pipelines.recorder.spool import Spool, spool_folder
from lerobot_pipelines.recorder.undo import DatasetUndo
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.recorder import takes


def test_recover_saves_submitted_takes_and_salvages_interrupted_ones(tmp_path: Path) -> None:
    recorder = EpisodeRecorder(tmp_path)
    takes.record(recorder, 1, 5)
    recorder.close()
    (interrupted,) = recorder.interrupted
    outcome = call("recover", tmp_path, "--json")
    assert outcome.code == 0
    assert outcome.json()["interrupted"] == [interrupted.name]
    outcome = call("recover", tmp_path, "--interrupted", "salvage")
    assert outcome.code == 0
    assert "1 take salvaged: pick_up_the_block/episode_0001" in outcome.stdout
    assert (tmp_path / "pick_up_the_block/episode_0001/metadata.json").exists()
    assert call("recover", tmp_path).stdout.endswith(": in order\n")


def test_recover_reports_a_take_that_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / ".spool" / "interrupted"
    folder.mkdir(parents=True)
    (folder / f"a{SUFFIX}").write_bytes(b"nothing of the kind")
    outcome = call("recover", tmp_path, "--interrupted", "salvage")
    assert outcome.code == 1
    assert "a.take failed: DamagedTake" in outcome.stdout


def test_recover_refuses_while_a_recorder_runs_and_where_there_was_none(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path / "raw"):
        outcome = call("recover", tmp_path / "raw")
        assert outcome.code == 2
        assert "another process" in outcome.stderr
    assert call("recover", tmp_path / "elsewhere").code == 3


def test_recover_undoes_a_half_save_into_a_dataset(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    (root / "meta").mkdir(parents=True)
    info = root / "meta" / "info.json"
    info.write_text(json.dumps({"total_episodes": 3}))
    spool = Spool(spool_folder(root))
    spool.open()
    spool.put(3, 3, {"size": 1}, [])
    DatasetUndo(root, spool.folder / "undo").begin()
    info.write_text('{"total_epi')
    spool.close()
    outcome = call("recover", root, "--json")
    assert outcome.code == 0
    report = outcome.json()
    assert (report["undone"], report["episodes"], report["waiting"]) == (True, 3, 1)
    assert json.loads(info.read_text()) == {"total_episodes": 3}


def test_the_demo_records_what_inspect_reads_and_draws_the_plot(tmp_path: Path) -> None:
    outcome = call(
        *("record-demo", tmp_path, "--takes", "2", "--seconds", "0.4", "--size", "64x48", "--json")
    )
    assert outcome.code == 0
    summaries = outcome.json()
    assert list(summaries) == ["idle", "in place", "in the background"]
    assert {summary["ticks"] - summary["missed"] for summary in summaries.values()} == {24}
    assert (tmp_path / "recording_jitter.png").read_bytes().startswith(b"\x89PNG")
    recordings = sorted((tmp_path / "raw" / "pick_up_the_block").iterdir())
    assert len(recordings) == 2
    assert call("inspect", recordings[0]).code == 0
    assert call("record-demo", tmp_path, "--size", "large").code == 2
