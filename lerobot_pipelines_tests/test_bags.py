"""Bag scripts of one's own: callbacks get the rows of a conversion, chunk by chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.bags import CONFIG_VARIABLE, RosbagReader, process_rosbag_chunked
from lerobot_pipelines.config import load_config
from lerobot_pipelines.errors import ConfigError, Refused
from lerobot_pipelines.pipeline.chunks import aligned_chunks
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines_tests.pipeline.test_bag_conversion import CONFIG, write_bag


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_bag(tmp_path / "raw" / "pick" / "a.bag")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "robot.yaml"
    path.write_text(CONFIG.replace("BUCKET", str(tmp_path / "bucket")))
    return path


def test_callbacks_get_every_row_of_the_conversion_and_each_chunk_ends_with_a_save(
    bag: Path, config: Path
) -> None:
    seen: list[tuple[int, Any]] = []
    saved: list[int] = []
    frames = RosbagReader(config).process_rosbag_chunked(
        bag, lambda frame, index: seen.append((index, frame)), 7, lambda: saved.append(len(seen))
    )
    resolved = load_config(config)
    recording = open_recording(source_from_path(bag), resolved)
    chunks = list(aligned_chunks(recording, resolved, 7))
    recording.close()
    assert frames == len(seen) == sum(len(chunk) for chunk in chunks) == 20
    assert [index for index, _ in seen] == list(range(frames))
    assert saved == np.cumsum([len(chunk) for chunk in chunks]).tolist()
    expected = [(chunk, row) for chunk in chunks for row in range(len(chunk))]
    for (_, frame), (chunk, row) in zip(seen, expected, strict=True):
        for name, values in chunk.frame(row).items():
            assert np.array_equal(frame[name]["data"], values), name
            assert frame[name]["timestamp"] == chunk.row_times_ns[row] / 1e9
    assert {"observation.state", "action", "observation.images.cam_0"} <= set(seen[0][1])


def test_the_configuration_may_come_from_the_environment_or_from_the_bag(
    bag: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[set[str]] = []
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    assert process_rosbag_chunked(bag, lambda frame, _: keys.append(set(frame))) == len(keys)
    monkeypatch.delenv(CONFIG_VARIABLE)
    suggested: list[Any] = []
    assert process_rosbag_chunked(bag, lambda frame, _: suggested.append(frame)) > 0
    assert suggested[0]["observation.state"]["data"].shape == (3,)


def test_a_bag_that_cannot_be_used_and_sizes_that_make_no_sense_are_refused(
    bag: Path, config: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        process_rosbag_chunked(bag, lambda *_: None, 0, config=config)
    rotten = tmp_path / "rotten.bag"
    rotten.write_bytes(b"#ROSBAG V2.0\n" + bytes(400))
    with pytest.raises(Refused):
        process_rosbag_chunked(rotten, lambda *_: None, config=config)
    pictures_only = tmp_path / "nothing.yaml"
    with pytest.raises((ConfigError, OSError)):
        RosbagReader(pictures_only)
