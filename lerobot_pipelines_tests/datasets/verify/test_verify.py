"""A sound dataset has no findings; each defect made on purpose is found under its own code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines_tests.conftest import Converted

Break = Callable[[Path], None]


def edit_info(**changes: object) -> Break:
    def change(root: Path) -> None:
        path = root / "meta/info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def edit_feature(key: str, **changes: object) -> Break:
    def change(root: Path) -> None:
        path = root / "meta/info.json"
        info = json.loads(path.read_text())
        info["features"][key] |= changes
        path.write_text(json.dumps(info))

    return change


def remove(pattern: str) -> Break:
    def change(root: Path) -> None:
        min(root.glob(pattern)).unlink()

    return change


def cut_in_half(pattern: str) -> Break:
    def change(root: Path) -> None:
        path = min(root.glob(pattern))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def edit_table(pattern: str, change_table: Callable[[pa.Table], pa.Table]) -> Break:
    def change(root: Path) -> None:
        path = min(root.glob(pattern))
        pq.write_table(change_table(pq.read_table(path)), path)

    return change


def with_column(name: str, change_values: Callable[[np.ndarray], np.ndarray]) -> Break:
    def change_table(table: pa.Table) -> pa.Table:
        position = table.column_names.index(name)
        values = change_values(table.column(name).to_numpy().copy())
        column = pa.array(values, table.schema.field(name).type)
        return table.set_column(position, table.schema.field(name), column)

    return edit_table("data/*/*.parquet", change_table)


def edit_lines(name: str, change_line: Callable[[dict[str, object]], dict[str, object]]) -> Break:
    def change(root: Path) -> None:
        path = root / name
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[0] = change_line(lines[0])
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return change


def swap_videos(root: Path) -> None:
    """The videos of two episodes of other lengths change places."""
    first, second, *_ = sorted(root.glob("videos/*/*/*.mp4"))
    keep = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(keep)


def zero_deviation(line: dict[str, object]) -> dict[str, object]:
    statistics = json.loads(json.dumps(line["stats"]))
    statistics["action"]["std"] = [0.0] * len(statistics["action"]["std"])
    return line | {"stats": statistics}


def not_a_number(table: pa.Table) -> pa.Table:
    values = np.array(table.column("action").to_pylist(), np.float32)
    values[3, 1] = np.nan
    column = pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
    return table.set_column(table.column_names.index("action"), "action", column)


def jump(values: np.ndarray) -> np.ndarray:
    values[5] += 1
    return values


def jitter(values: np.ndarray) -> np.ndarray:
    values[5] += np.float32(0.002)
    return values


V21: dict[str, tuple[Break, str]] = {
    "no info.json": (remove("meta/info.json"), "not_a_dataset"),
    "another version": (edit_info(codebase_version="v1.6"), "unknown_version"),
    "wrong total": (edit_info(total_frames=7), "bad_total"),
    "wrong number of videos": (edit_info(total_videos=1), "bad_total"),
    "split too long": (edit_info(splits={"train": "0:99"}), "bad_split"),
    "fps of text": (edit_info(fps="fast"), "bad_info"),
    "camera without names": (
        edit_feature("observation.images.cam_high", names=None),
        "camera_names",
    ),
    "camera of another size": (
        edit_feature("observation.images.cam_high", shape=[64, 64, 3]),
        "bad_size",
    ),
    "a vector of another length": (edit_feature("action", shape=[3], names=None), "bad_shape"),
    "data file lost": (remove("data/*/*.parquet"), "missing_file"),
    "data file cut": (cut_in_half("data/*/*.parquet"), "unreadable"),
    "video lost": (remove("videos/*/*/*.mp4"), "missing_file"),
    "video cut": (cut_in_half("videos/*/*/*.mp4"), "unreadable"),
    "videos of two episodes exchanged": (swap_videos, "frame_count"),
    "jittered timestamp": (with_column("timestamp", jitter), "bad_timestamp"),
    "index jumps": (with_column("index", jump), "bad_index"),
    "frame index jumps": (with_column("frame_index", jump), "bad_frame_index"),
    "episode index jumps": (with_column("episode_index", jump), "bad_episode_index"),
    "unknown task": (with_column("task_index", jump), "unknown_task"),
    "rows lost": (edit_table("data/*/*.parquet", lambda table: table.slice(0, 9)), "row_count"),
    "a column nobody declared": (
        edit_table(
            "data/*/*.parquet",
            lambda table: table.append_column("extra", pc.add(table.column("index"), 1)),
        ),
        "undeclared_column",
    ),
    "a column lost": (
        edit_table("data/*/*.parquet", lambda table: table.drop_columns(["action"])),
        "missing_column",
    ),
    "not a number": (edit_table("data/*/*.parquet", not_a_number), "non_finite"),
    "episode numbers with a hole": (
        edit_lines("meta/episodes.jsonl", lambda line: line | {"episode_index": 4}),
        "episode_order",
    ),
    "statistics lost": (
        edit_lines("meta/episodes_stats.jsonl", lambda line: line | {"episode_index": 9}),
        "missing_statistics",
    ),
    "zero deviation": (
        edit_lines("meta/episodes_stats.jsonl", zero_deviation),
        "bad_statistics",
    ),
}


def plain_tasks(root: Path) -> None:
    """Written without the pandas index, as most hand-made writers do."""
    table = pq.read_table(root / "meta/tasks.parquet")
    pq.write_table(table.replace_schema_metadata(None), root / "meta/tasks.parquet")


def stray_file(root: Path) -> None:
    path = max(root.glob("data/*/*.parquet"))
    shutil.copy(path, path.with_name("file-999.parquet"))


def shift_span(table: pa.Table) -> pa.Table:
    name = "videos/observation.images.cam_high/from_timestamp"
    return table.set_column(table.column_names.index(name), name, pc.add(table.column(name), 0.04))


def wrong_deviation(root: Path) -> None:
    path = root / "meta/stats.json"
    statistics = json.loads(path.read_text())
    statistics["observation.images.cam_high"]["std"] = [0.1, 0.1, 0.1]
    path.write_text(json.dumps(statistics))


V30: dict[str, tuple[Break, str]] = {
    "wrong total": (edit_info(total_episodes=7), "bad_total"),
    "tasks without an index": (plain_tasks, "task_index"),
    "tasks lost": (remove("meta/tasks.parquet"), "missing_file"),
    "episodes lost": (remove("meta/episodes/*/*.parquet"), "missing_file"),
    "statistics lost": (remove("meta/stats.json"), "missing_statistics"),
    "statistics of the wrong shape": (wrong_deviation, "bad_statistics"),
    "data file nobody refers to": (stray_file, "stray_file"),
    "video span shifted by one frame": (
        edit_table("meta/episodes/*/*.parquet", shift_span),
        "bad_span",
    ),
    "episodes out of order": (
        edit_table(
            "meta/episodes/*/*.parquet",
            lambda table: table.take(list(range(len(table)))[::-1]),
        ),
        "episode_order",
    ),
    "video cut": (cut_in_half("videos/*/*/*.mp4"), "unreadable"),
    "jittered timestamp": (with_column("timestamp", jitter), "bad_timestamp"),
}


@pytest.mark.parametrize("fmt", list(Format))
def test_a_converted_dataset_has_no_finding(converted: Converted, fmt: Format) -> None:
    report = verify_dataset(converted.dataset(fmt))
    assert report.findings == ()
    assert report.ok
    assert report.episodes == 3
    assert report.frames == sum(outcome.rows for outcome in converted.summary.episodes)


@pytest.mark.parametrize("what", V21)
def test_a_defect_of_v21_is_found(converted: Converted, tmp_path: Path, what: str) -> None:
    _assert_found(converted.dataset(Format.V21), tmp_path / "broken", *V21[what])


@pytest.mark.parametrize("what", V30)
def test_a_defect_of_v30_is_found(converted: Converted, tmp_path: Path, what: str) -> None:
    _assert_found(converted.dataset(Format.V30), tmp_path / "broken", *V30[what])


def _assert_found(sound: Path, broken: Path, change: Break, code: str) -> None:
    shutil.copytree(sound, broken)
    change(broken)
    report = verify_dataset(broken, decode=False)
    errors = {finding.code for finding in report.findings if finding.severity == "error"}
    assert code in errors, report.findings
    assert not report.ok


def test_line_separators_of_unicode_in_a_task_are_part_of_its_text(
    converted: Converted, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(converted.dataset(Format.V21), root)
    task = json.loads((root / "meta/tasks.jsonl").read_text().split("\n")[0])["task"]
    for name in ("meta/tasks.jsonl", "meta/episodes.jsonl"):
        path = root / name
        path.write_text(path.read_text().replace(task, "first\u2028then\x85last"))
    assert verify_dataset(root, decode=False).findings == ()


def test_a_damaged_picture_is_found_by_decoding(converted: Converted, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(converted.dataset(Format.V21), broken)
    path = min(broken.glob("videos/*/*/*.mp4"))
    data = bytearray(path.read_bytes())
    media = data.index(b"mdat")
    middle = (media + len(data)) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    codes = {finding.code for finding in verify_dataset(broken).findings}
    assert codes & {"corrupt_frame", "frame_count"}


def test_a_folder_that_is_no_dataset_is_said_to_be_none(tmp_path: Path) -> None:
    report = verify_dataset(tmp_path)
    assert report.format is None
    assert [finding.code for finding in report.findings] == ["not_a_dataset"]


def test_a_path_out_of_the_dataset_is_never_opened(converted: Converted, tmp_path: Path) -> None:
    broken = tmp_path / "inner" / "broken"
    shutil.copytree(converted.dataset(Format.V21), broken)
    secret = min(broken.glob("data/*/*.parquet"))
    shutil.copy(secret, tmp_path / "outside.parquet")
    edit_info(data_path="../../outside.parquet")(broken)
    codes = {finding.code for finding in verify_dataset(broken, decode=False).findings}
    assert "missing_file" in codes


def test_a_million_broken_rows_are_told_briefly(converted: Converted, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(converted.dataset(Format.V21), broken)
    for path in broken.glob("data/*/*.parquet"):
        path.unlink()
    for path in broken.glob("videos/*/*/*.mp4"):
        path.unlink()
    report = verify_dataset(broken, decode=False)
    assert len(report.findings) <= 40
    assert json.loads(json.dumps(report.to_json()))["ok"] is False
