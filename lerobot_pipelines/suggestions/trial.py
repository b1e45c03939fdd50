"""A suggestion tried on the recording it was made from: checked, opened, aligned.

No video is written, and no picture is looked at: see ``sights`` for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import EpisodeSource
from lerobot_pipelines.recordings import open_recording


@dataclass(frozen=True, slots=True)
class Trial:
    """``refusal``: why it does not convert, None where it does.

    ``expected`` are the rows that could have been, ``dropped`` those left out, by reason.
    """

    refusal: Refused | None
    rows: int = 0
    expected: int = 0
    segments: int = 0
    fps: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    def told(self) -> str:
        """One line for the head of the file."""
        if self.refusal is not None:
            return f"It does not convert as it is: [{self.refusal.reason}] {self.refusal.message}"
        lost = ", ".join(f"{reason}: {count}" for reason, count in self.dropped.items())
        parts = f" in {self.segments} episodes" if self.segments > 1 else ""
        return (
            f"Tried on this recording: {self.rows} rows at {self.fps} fps{parts}"
            f"{f' ({lost} left out)' if lost else ''}."
        )


def try_text(text: str, source: EpisodeSource) -> Trial:
    """Raises nothing that a recording or a configuration can be refused for."""
    try:
        return _aligned(loaded(text), source)
    except Refused as refusal:
        return Trial(refusal)


def loaded(text: str) -> DatasetConfig:
    """The configuration that a file with this text is. Raises ``ConfigError``."""
    with TemporaryDirectory(prefix="suggestion_") as folder:
        path = Path(folder) / "suggested.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)


def _aligned(config: DatasetConfig, source: EpisodeSource) -> Trial:
    recording = open_recording(source, config)
    try:
        frames = align(recording, config)
    finally:
        recording.close()
    report = frames.report
    rows = len(frames.row_times_ns)
    return Trial(
        None,
        rows=rows,
        expected=report.rows_candidate,
        segments=int(frames.segments[-1]) + 1 if rows else 0,
        fps=config.dataset.fps,
        dropped=dict(report.dropped),
    )
