from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lerobot_pipelines.config.schema import (
    CameraConfig,
    DatasetConfig,
    DatasetSection,
    Format,
    StorageConfig,
)
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading import (
    KeyConfig,
    LoadingConfig,
    make_interleave_dataset,
    make_loader,
)
from lerobot_pipelines_tests.datasets.episodes import CAMERA, STATE, Bucket

SECOND = f"{CAMERA}2"
ROBOTS = {"slow": (10, 1, (64, 48)), "fast": (20, 2, (64, 48)), "large": (10, 1, (96, 64))}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Three datasets: other rates, numbers of cameras and picture sizes."""
    return {
        name: robot(tmp_path / name, name, *form, seed=10 * number)
        for number, (name, form) in enumerate(ROBOTS.items())
    }


def robot(
    folder: Path, name: str, fps: int, cameras: int, size: tuple[int, int], seed: int
) -> Path:
    config = DatasetConfig(
        dataset=DatasetSection(name=name, fps=fps),
        storage=StorageConfig(url=(folder / "bucket").as_uri()),
        cameras=(CameraConfig(name="cam", feature=CAMERA),),
    )
    bucket = Bucket(config, folder / "scratch")
    bucket.put("e", 12, seed=seed, fps=fps, cameras=cameras, size=size, task=f"task of {name}")
    bucket.update(Format.V30)
    return bucket.root(Format.V30)


def batch_of(places: dict[str, Path], config: LoadingConfig) -> dict[str, torch.Tensor]:
    dataset = make_interleave_dataset(places, config)
    (batch,) = make_loader(dataset, 36)
    assert sorted(batch["dataset_index"].tolist()) == [0] * 12 + [1] * 12 + [2] * 12
    assert [dataset.tasks[int(one)] for one in batch["task_index"]] == [
        f"task of {list(places)[int(one)]}" for one in batch["dataset_index"]
    ]
    return batch


def test_datasets_of_three_robots_become_one_batch(places: dict[str, Path]) -> None:
    config = LoadingConfig(
        keys={
            CAMERA: KeyConfig(resize=(24, 32)),
            SECOND: KeyConfig(resize=(24, 32)),
            STATE: KeyConfig(history=1, rate_hz=10),
            "action": KeyConfig(horizon=3, rate_hz=5, normalize="mean_std"),
        },
        missing="pad",
    )
    batch = batch_of(places, config)
    assert batch[CAMERA].shape == (36, 3, 24, 32)
    fast = batch["dataset_index"] == 1
    assert batch[f"{SECOND}_is_missing"].tolist() == (~fast).tolist()
    assert (batch[SECOND][~fast] == 0).all()
    assert (batch[SECOND][fast].mean((1, 2, 3)) > 0.1).all()
    # 0.4 s of three steps at 5 Hz is 4 rows at 10 fps and 8 at 20.
    padded = batch["action_is_pad"].sum(1)
    assert [int(padded[batch["dataset_index"] == n].sum()) for n in range(3)] == [6, 12, 6]


def test_a_key_that_one_lacks_is_refused_or_left_out(places: dict[str, Path]) -> None:
    keys = {STATE: KeyConfig(), SECOND: KeyConfig()}
    with pytest.raises(ConfigError, match=f"slow, large has no {SECOND}; say missing"):
        make_interleave_dataset(places, LoadingConfig(keys=keys))
    batch = batch_of(places, LoadingConfig(keys=keys, missing="select"))
    assert SECOND not in batch


def test_other_picture_sizes_need_a_resize(places: dict[str, Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"pictures of different sizes .*large: \(64, 96\).*resize"
    ):
        make_interleave_dataset(places, LoadingConfig(keys={CAMERA: KeyConfig()}))


def test_steps_at_other_rates_need_a_rate(places: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"fast: 20.*say rate_hz"):
        make_interleave_dataset(places, LoadingConfig(keys={"action": KeyConfig(horizon=4)}))
    off = {"action": KeyConfig(horizon=4, rate_hz=20)}
    with pytest.raises(ConfigError, match=r"slow: action: 0\.05.*no whole number of rows"):
        make_interleave_dataset(places, LoadingConfig(keys=off))
    batch = batch_of(places, LoadingConfig(keys=off, off_rate="nearest"))
    assert batch["action"].shape == (36, 4, 2)


def test_vectors_of_other_lengths_are_refused_cut_or_filled_up(places: dict[str, Path]) -> None:
    narrow(places["fast"], 2)
    keys = {"vector": KeyConfig(source=STATE, normalize="mean_std")}
    with pytest.raises(ConfigError, match=r"vector has 2, 3 elements; say dimensions: pad"):
        make_interleave_dataset(places, LoadingConfig(keys=keys))

    cut = {"vector": KeyConfig(source=STATE, normalize="mean_std", elements="0:2")}
    first = batch_of(places, LoadingConfig(keys=cut))
    assert first["vector"].shape == (36, 2)
    assert "vector_is_missing" not in first

    batch = batch_of(places, LoadingConfig(keys=keys, dimensions="pad"))
    fast = batch["dataset_index"] == 1
    assert batch["vector"].shape == (36, 3)
    assert (batch["vector"][fast][:, 2] == 0).all()
    assert (batch["vector"][~fast][:, 2] != 0).all()
    assert batch["vector_is_missing"][fast].unique(dim=0).tolist() == [[False, False, True]]
    assert not batch["vector_is_missing"][~fast].any()
    torch.testing.assert_close(batch["vector"][:, :2], first["vector"])

    wide = {"vector": KeyConfig(source=STATE, dimension=8)}  # of a policy for many robots
    padded = batch_of(places, LoadingConfig(keys=wide, dimensions="pad"))
    assert padded["vector"].shape == padded["vector_is_missing"].shape == (36, 8)


def narrow(root: Path, elements: int) -> None:
    """Take the last elements of every state away."""
    info_path, statistics_path = root / "meta/info.json", root / "meta/stats.json"
    info = json.loads(info_path.read_text())
    info["features"][STATE] |= {"shape": [elements], "names": ["a", "b"]}
    info_path.write_text(json.dumps(info))
    statistics = json.loads(statistics_path.read_text())
    for measure, values in statistics[STATE].items():
        statistics[STATE][measure] = values[:elements]
    statistics_path.write_text(json.dumps(statistics))
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        values = np.asarray(table[STATE].to_pylist(), dtype=np.float32)[:, :elements]
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), elements)
        at = table.schema.get_field_index(STATE)
        pq.write_table(table.set_column(at, STATE, column), path)


def test_two_datasets_of_one_name_are_refused(places: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="same name"):
        make_interleave_dataset([places["slow"], places["slow"]])
