from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lerobot_pipelines.config import load_config, override
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.loading import (
    KeyConfig,
    LoadingConfig,
    make_chunk_dataset,
    make_lazy_dataset,
    make_loader,
)
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.recordings.synth import SynthSpec, write_recording
from lerobot_pipelines_tests.datasets.episodes import CAMERA
from lerobot_pipelines_tests.pipeline.test_bag_conversion import config_for, write_bag

YAML = """
dataset: {name: raw, fps: 25, formats: [v3.0]}
storage: {url: bucket}
robot:
  arms:
    - {name: left_slave, file: left_slave.parquet, role: slave}
    - {name: left_master, file: left_master.parquet, role: master}
cameras:
  - {name: cam_high, role: base, target_fps: 25}
"""


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    for number in (1, 2):
        key = f"block/episode_{number}"
        spec = SynthSpec(seconds=1.2, seed=number)
        write_recording(tmp_path / "bucket/raw", key, spec)
    (tmp_path / "raw.yaml").write_text(YAML)
    return load_config(tmp_path / "raw.yaml")


VIEW = "observation.images.cam_high"
ITEMS = LoadingConfig(
    keys={VIEW: KeyConfig(history=1), "action": KeyConfig(horizon=5)}, max_open_files=1
)


@pytest.mark.parametrize("workers", [0, 2])
def test_recordings_give_the_rows_that_their_conversion_gives(
    config: DatasetConfig, tmp_path: Path, workers: int
) -> None:
    lazy = make_lazy_dataset(tmp_path / "raw.yaml", ITEMS)
    first = lazy.readings[0].source
    convert_dataset(config)
    converted = make_chunk_dataset(tmp_path / "bucket/converted/raw/v3.0", ITEMS)
    assert len(lazy) == len(converted)
    seen = []
    for batch in make_loader(lazy, 8, num_workers=workers):
        for position, index in enumerate(batch["index"].tolist()):
            wanted = converted[index]
            for key in ("action", "action_is_pad", "timestamp", "episode_index", "frame_index"):
                assert torch.equal(batch[key][position], wanted[key]), key
            # Not pixel for pixel: the dataset's pictures went through an encoder.
            assert (batch[VIEW][position] - wanted[VIEW]).abs().mean() < 0.02
            assert lazy.tasks[int(batch["task_index"][position])] == wanted["task"]
            seen.append(index)
    assert sorted(seen) == list(range(len(converted)))
    assert first.open_recordings <= 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bag_gives_the_rows_that_its_conversion_gives(tmp_path: Path, workers: int) -> None:
    config = config_for(tmp_path / "bucket")
    write_bag(tmp_path / "bucket/raw/task/episode_0.bag")
    view = "observation.images.cam_0"
    depth = "observation.depth.depth"
    keys = {view: KeyConfig(), depth: KeyConfig(), "action": KeyConfig(horizon=3)}
    items = LoadingConfig(keys=keys)
    lazy = make_lazy_dataset(config, items)
    convert_dataset(config)
    converted = make_chunk_dataset(tmp_path / "bucket/converted/bags/v3.0", items)
    seen = []
    for batch in make_loader(lazy, 8, num_workers=workers):
        for position, index in enumerate(batch["index"].tolist()):
            wanted = converted[index]
            for key in ("action", "action_is_pad", "episode_index", "frame_index", depth):
                assert torch.equal(batch[key][position], wanted[key]), key
            assert (batch[view][position] - wanted[view]).abs().mean() < 0.04
            seen.append(index)
    assert sorted(seen) == list(range(len(converted)))
    assert len(lazy.readings[0].source.lengths) == 2  # the bag has a hole: two segments


def test_a_recording_that_is_refused_is_left_out_and_told(
    config: DatasetConfig, tmp_path: Path
) -> None:
    (tmp_path / "bucket/raw/joints/block/episode_2/left_slave.parquet").write_bytes(b"rubbish")
    source = make_lazy_dataset(config, ITEMS).readings[0].source
    assert list(source.refused) == ["block/episode_2"]  # type: ignore[attr-defined]
    assert len(source.lengths) == 1


def test_recordings_are_aligned_once(
    config: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot_pipelines.loading import raw_index

    before = len(make_lazy_dataset(config, ITEMS))
    monkeypatch.setattr(raw_index, "_look", None)
    assert len(make_lazy_dataset(config, ITEMS)) == before
    changed = override(config, {"alignment.strategy": "window"})
    with pytest.raises(TypeError):  # other rows: they are looked at again
        make_lazy_dataset(changed, ITEMS)


def test_a_topic_names_its_feature_and_elements(config: DatasetConfig, tmp_path: Path) -> None:
    convert_dataset(config)
    keys = {
        "measured": KeyConfig(source="left_slave"),
        "view": KeyConfig(source="cam_high"),
        "lead": KeyConfig(source="left_master.parquet", elements="0:2"),
    }
    items = make_chunk_dataset(
        tmp_path / "bucket/converted/raw/v3.0",
        LoadingConfig(keys=keys, topics=tmp_path / "raw.yaml"),
    )
    plain = make_chunk_dataset(tmp_path / "bucket/converted/raw/v3.0")
    assert torch.equal(items[3]["measured"], plain[3]["observation.state.slave"])
    assert torch.equal(items[3]["lead"], plain[3]["action"][:2])
    assert torch.equal(items[3]["view"], plain[3][VIEW])


def test_a_lazy_dataset_holds_a_bounded_number_of_rows(root: Path) -> None:
    bounds = LoadingConfig(row_cache_mb=0.0005, frame_cache_mb=0.05, max_open_files=1)
    lazy = make_lazy_dataset(root, bounds)
    batches = [batch["index"].tolist() for batch in make_loader(lazy, 6)]
    assert sorted(one for batch in batches for one in batch) == list(range(34))
    source = lazy.readings[0].source
    assert source._rows.bytes < 2000  # type: ignore[attr-defined]
    assert source._videos.kept_bytes <= 50_000  # type: ignore[attr-defined]
    assert CAMERA in source.features
