"""A limit on memory changes which cameras are encoded together, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.video import encode_cameras, memory
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture

CAMERAS = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "resident_mb", lambda: 200)


def recording() -> MemoryRecording:
    return MemoryRecording(
        {name: [jpeg(texture(k, seed=n)) for k in range(5)] for n, name in enumerate(CAMERAS)}
    )


def encoded(folder: Path, limit_mb: int | None) -> tuple[list[str], int]:
    """The videos' digests, and how many passes read more than one picture per camera."""
    source = recording()
    settings = config().model_copy(update={"limit_memory_mb": limit_mb})
    frames = rows({name: range(5) for name in CAMERAS})
    seen: list[int] = []
    videos = encode_cameras(source, frames, settings, folder, progress=seen.append)
    assert sum(seen) == 15
    passes = [asked for asked in source.asked if any(len(ids) > 1 for ids in asked.values())]
    return [video.sha256 for video in videos], len(passes)


def test_cameras_that_do_not_fit_together_are_encoded_in_turns_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    free, passes = encoded(tmp_path / "free", None)
    assert passes == 1
    assert encoded(tmp_path / "roomy", 1000) == (free, 1)
    assert encoded(tmp_path / "two", 245) == (free, 2)  # 20 MB each
    assert encoded(tmp_path / "tight", 225) == (free, 3)


def test_a_limit_that_one_camera_exceeds_is_refused_with_the_figure_needed(
    tmp_path: Path,
) -> None:
    with pytest.raises(Refused, match="allow 220 MB per process") as caught:
        encoded(tmp_path, 210)
    assert caught.value.reason is Reason.BAD_CONFIG
    assert not list(tmp_path.rglob("*.mp4"))


def test_processes_share_the_limit() -> None:
    assert memory.require_process(400, 1) == 400
    assert memory.require_process(1335, 4) == 300
    with pytest.raises(ConfigError, match="need 270 MB before the first picture"):
        memory.require_process(150, 1)
    with pytest.raises(ConfigError, match="4 processes of this program need 1215 MB"):
        memory.require_process(800, 4)
