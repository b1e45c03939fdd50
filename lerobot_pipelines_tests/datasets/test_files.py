"""What the written files look like from outside: types, metadata, row groups, the card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.features import feature_records
from lerobot_pipelines.datasets.statistics import BASIC_KEYS
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.video import probe
from lerobot_pipelines_tests.datasets.episodes import CAMERA, STATE, Bucket, toy_config, toy_frames
from lerobot_pipelines_tests.datasets.reading import episodes_of, json_lines, rows_of


def test_rows_have_the_types_of_lerobots_recorder(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", 5, chunk=3)
    bucket.update(fmt)
    (path,) = bucket.root(fmt).glob("data/*/*.parquet")
    schema = pq.read_schema(path)
    assert schema.field(STATE).type == pa.list_(pa.float32(), 3)
    assert schema.field("gripper").type == pa.float32()
    assert schema.field("action_is_pad").type == pa.list_(pa.bool_(), 3)
    assert str(schema.field("action").type) == "list<element: list<element: float>>"
    assert [str(schema.field(name).type) for name in schema.names[-5:]] == [
        "float",
        *["int64"] * 4,
    ]
    assert CAMERA not in schema.names
    assert schema.field("action").metadata == {
        b"ARROW:extension:name": b"datasets.features.features.Array2DExtensionType",
        b"ARROW:extension:metadata": b'[[3, 2], "float32"]',
    }
    described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert described[STATE] == {
        "feature": {"dtype": "float32", "_type": "Value"},
        "length": 3,
        "_type": "Sequence" if fmt is Format.V21 else "List",
    }
    assert described["action"] == {"shape": [3, 2], "dtype": "float32", "_type": "Array2D"}


def test_rows_hold_the_values_of_the_aligned_frames(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", 5, chunk=3, seed=7)
    bucket.update(fmt)
    found = rows_of(bucket.root(fmt)).to_pydict()
    frames = toy_frames((5,), 7, 3, 10)
    for name, values in frames.features.items():
        np.testing.assert_array_equal(np.asarray(found[name]).reshape(values.shape), values)
    np.testing.assert_array_equal(
        np.asarray(found["timestamp"], np.float32), (np.arange(5) / 10).astype(np.float32)
    )


def test_v30_has_one_row_group_per_episode(bucket: Bucket) -> None:
    for key, length in (("a", 5), ("b", 3), ("c", 6)):
        bucket.put(key, length)
    bucket.update(Format.V30)
    (path,) = bucket.root(Format.V30).glob("data/*/*.parquet")
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [5, 3, 6]


def test_tasks_of_v30_are_the_index_of_a_pandas_frame(bucket: Bucket) -> None:
    bucket.put("a", task="pick")
    bucket.put("b", task="pläce")
    bucket.update(Format.V30)
    tasks = pd.read_parquet(bucket.root(Format.V30) / "meta/tasks.parquet")
    assert tasks.index.tolist() == ["pick", "pläce"]
    assert tasks.index.name is None
    assert tasks["task_index"].tolist() == [0, 1]
    assert tasks.loc["pläce"].task_index == 1


def test_episodes_of_v30_state_places_and_statistics(bucket: Bucket) -> None:
    bucket.put("a", 5, seed=1)
    bucket.put("b", 4, seed=2)
    bucket.update(Format.V30)
    (path,) = bucket.root(Format.V30).glob("meta/episodes/*/*.parquet")
    schema = pq.read_schema(path)
    assert schema.metadata is None
    assert schema.names[:11] == [
        "episode_index",
        "tasks",
        "length",
        "data/chunk_index",
        "data/file_index",
        "dataset_from_index",
        "dataset_to_index",
        *(
            f"videos/{CAMERA}/{one}"
            for one in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
        ),
    ]
    assert schema.names[-2:] == ["meta/episodes/chunk_index", "meta/episodes/file_index"]
    first, second = episodes_of(bucket.root(Format.V30))
    assert (second["dataset_from_index"], second["dataset_to_index"]) == (5, 9)
    assert second[f"videos/{CAMERA}/from_timestamp"] == 0.5
    assert second[f"videos/{CAMERA}/to_timestamp"] == 0.9
    state = toy_frames((5,), 1, 0, 10).features[STATE].astype(np.float64)
    np.testing.assert_allclose(first[f"stats/{STATE}/q90"], np.quantile(state, 0.9, axis=0))
    assert first[f"stats/{STATE}/count"] == [5]
    assert np.shape(first[f"stats/{CAMERA}/mean"]) == (3, 1, 1)
    assert second["stats/index/min"] == [5]


def test_statistics_of_v21_have_lerobots_five_keys(bucket: Bucket) -> None:
    bucket.put("a", 5)
    bucket.update(Format.V21)
    (line,) = json_lines(bucket.root(Format.V21) / "meta/episodes_stats.jsonl")
    assert {tuple(one) for one in line["stats"].values()} == {BASIC_KEYS}


def test_a_joined_video_is_of_constant_rate_from_zero(bucket: Bucket) -> None:
    for number in range(3):
        bucket.put(f"e{number}", 5 + number, seed=number)
    bucket.update(Format.V30)
    (path,) = bucket.root(Format.V30).glob("videos/*/*/*.mp4")
    found = probe(path)
    assert (found.frames, found.first_pts, found.constant_rate, found.closed_gops) == (
        18,
        0,
        True,
        True,
    )


def test_v30_starts_a_new_file_at_the_size_limit(tmp_path: Path) -> None:
    config = toy_config(tmp_path / "bucket", data_files_size_in_mb=1, video_files_size_in_mb=1)
    bucket = Bucket(config, tmp_path / "scratch")
    for number in range(3):
        record = bucket.put(f"e{number}", 5, seed=number)
        (segment,) = record.segments
        video = segment.videos[CAMERA].model_copy(update={"bytes": 600_000})
        segment = segment.model_copy(update={"videos": {CAMERA: video}})
        record = record.model_copy(update={"segments": (segment,)})
        bucket.storage.write(bucket.record_key(f"e{number}"), record.model_dump_json().encode())
    bucket.update(Format.V30)
    root = bucket.root(Format.V30)
    assert len(list(root.glob("videos/*/*/*.mp4"))) == 3
    assert len(list(root.glob("data/*/*.parquet"))) == 1


def test_chunks_hold_as_many_files_as_configured(tmp_path: Path, fmt: Format) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket", chunks_size=2), tmp_path / "scratch")
    for number in range(3):
        bucket.put(f"e{number}", 2, seed=number)
        bucket.update(fmt)
    names = [path.parent.name for path in sorted(bucket.root(fmt).glob("data/*/*.parquet"))]
    assert names == ["chunk-000", "chunk-000", "chunk-001"]


def test_the_card_has_a_header_and_tables(bucket: Bucket, fmt: Format) -> None:
    import yaml

    bucket.put("a", 5, task="pick | place")
    bucket.put("b", 4)
    bucket.update(fmt)
    text = (bucket.root(fmt) / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "license": "apache-2.0",
        "task_categories": ["robotics"],
        "tags": ["LeRobot"],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }
    assert "| Episodes | 2 |" in body
    assert "| `observation.state` | float32 | 3 | a, b, c |" in body
    assert "| pick \\| place | 1 | 5 |" in body


def test_a_feature_may_not_have_a_name_that_lerobot_reserves() -> None:
    frames = toy_frames((2,), 0, 0, 10)
    for name in ("index", "a/b", ""):
        broken = frames.features | {name: frames.features[STATE]}
        changed = type(frames)(
            **{
                field: broken if field == "features" else getattr(frames, field)
                for field in frames.__dataclass_fields__
            }
        )
        with pytest.raises(Refused, match="LeRobot"):
            feature_records(changed, {})
