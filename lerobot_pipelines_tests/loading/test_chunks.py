from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading import KeyConfig, LoadingConfig, make_chunk_dataset
from lerobot_pipelines_tests.datasets.episodes import CAMERA, HEIGHT, STATE, WIDTH, brightness
from lerobot_pipelines_tests.loading.conftest import toy_dataset


@pytest.mark.parametrize("fmt", list(Format), ids=lambda fmt: fmt.value)
def test_every_picture_is_that_of_its_row(tmp_path: Path, fmt: Format) -> None:
    dataset = make_chunk_dataset(toy_dataset(tmp_path, fmt))
    assert len(dataset) == 34
    for index in np.random.default_rng(0).permutation(34):
        item = dataset[int(index)]
        wanted = brightness(int(item["episode_index"]), int(item["frame_index"]))
        assert item[CAMERA].shape == (3, HEIGHT, WIDTH)
        assert abs(float(item[CAMERA].mean()) * 255 - wanted) < 3
        assert int(item["index"]) == index
        assert item["task"] == ("place" if item["episode_index"] == 1 else "pick")


def test_windows_stop_at_the_episode_and_say_so(root: Path) -> None:
    config = LoadingConfig(keys={STATE: KeyConfig(history=2), "action": KeyConfig(horizon=4)})
    dataset = make_chunk_dataset(root, config)
    first, last = dataset[9], dataset[22]  # of the second episode
    assert first[f"{STATE}_is_pad"].tolist() == [True, True, False]
    assert torch.equal(first[STATE][0], first[STATE][2])
    assert last["action_is_pad"].tolist() == [False, True, True, True]
    assert torch.equal(last["action"][0], last["action"][3])
    assert torch.equal(dataset[20]["action"][2], last["action"][0])


def test_a_batch_is_its_items_in_the_order_asked(root: Path) -> None:
    dataset = make_chunk_dataset(root)
    items = dataset.__getitems__([30, 2, 2, 17])
    assert [int(item["index"]) for item in items] == [30, 2, 2, 17]
    assert torch.equal(items[3][CAMERA], dataset[17][CAMERA])


def test_deltas_that_are_no_rows_are_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"0\.15 s is no whole number of rows at 10 fps"):
        make_chunk_dataset(root, delta_timestamps={"action": [0.0, 0.15]})


def test_keys_name_their_form(root: Path) -> None:
    config = LoadingConfig(
        keys={
            "image": KeyConfig(source=CAMERA, crop=(40, 60), resize=(20, 30), dtype="uint8"),
            "state": KeyConfig(source=STATE, elements="1:3", normalize="mean_std"),
            "action": KeyConfig(horizon=2, normalize="min_max", dtype="float64", dimension=5),
        }
    )
    dataset = make_chunk_dataset(root, config)
    items = [dataset[index] for index in range(len(dataset))]
    assert items[0]["image"].shape == (3, 20, 30)
    assert items[0]["image"].dtype == torch.uint8
    states = torch.stack([item["state"] for item in items])
    assert states.shape == (34, 2)
    torch.testing.assert_close(states.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(states.std(0, unbiased=False), torch.ones(2))
    actions = torch.stack([item["action"][0] for item in items])
    assert (actions.dtype, actions.shape) == (torch.float64, (34, 5))
    torch.testing.assert_close(actions[:, :2].amin(0), torch.full((2,), -1.0, dtype=torch.float64))
    assert (actions[:, 2:] == 0).all()
    assert set(items[0]) >= {"timestamp", "frame_index", "episode_index", "index", "task_index"}


def test_a_topic_is_found_by_its_cameras_name_and_an_unknown_one_named(root: Path) -> None:
    config = LoadingConfig(keys={"view": KeyConfig(source="cam")})
    assert make_chunk_dataset(root, config)[0]["view"].shape == (3, HEIGHT, WIDTH)
    with pytest.raises(ConfigError, match="no feature, camera or topic for gripperr"):
        make_chunk_dataset(root, LoadingConfig(keys={"gripperr": KeyConfig()}))


def test_decoders_and_pictures_kept_are_bounded(root: Path) -> None:
    config = LoadingConfig(max_open_files=1, frame_cache_mb=0.02)
    dataset = make_chunk_dataset(root, config, delta_timestamps={CAMERA: [-0.2, 0.0]})
    for index in [*range(34), *range(33, -1, -3)]:
        dataset[index]
    videos = dataset.source._videos  # type: ignore[attr-defined]
    assert videos.open_files <= 1
    assert videos.kept_bytes <= 20_000


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"crop": (-5, 10)}, "greater than 0"),
        ({"resize": (0, 0)}, "greater than 0"),
        ({"normalize": "mean_std", "dtype": "int64"}, "int64 cannot hold normalised values"),
        ({"delta_timestamps": ()}, "delta_timestamps is empty"),
    ],
)
def test_forms_that_make_no_sense_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        KeyConfig.model_validate(settings)


def test_an_empty_list_of_deltas_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="action is empty"):
        make_chunk_dataset(root, delta_timestamps={"action": []})


def test_statistics_that_would_make_nan_are_refused(root: Path) -> None:
    path = root / "meta" / "stats.json"
    statistics = json.loads(path.read_text())
    statistics[STATE]["mean"][0] = float("nan")
    path.write_text(json.dumps(statistics))
    asked = LoadingConfig(keys={STATE: KeyConfig(normalize="mean_std")})
    with pytest.raises(ConfigError, match="mean and std hold NaN"):
        make_chunk_dataset(root, asked)
    # What does not use them is unharmed.
    others = LoadingConfig(keys={STATE: KeyConfig(normalize="min_max")})
    assert torch.isfinite(make_chunk_dataset(root, others)[0][STATE]).all()
