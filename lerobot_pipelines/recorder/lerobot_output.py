"""Recording straight into a LeRobot dataset: each take is converted on this machine as it is saved.

The recorder's own process runs the pipeline's steps (rows at the dataset's rate, the sample of each
topic that is nearest in time) and the pipeline's own writer; no lerobot, no daemon, no bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lerobot_pipelines.recorder.delivery import Deliver

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig

RAW, CONVERTED = "raw", "converted"


@dataclass(frozen=True, slots=True)
class LerobotOutput:
    """What becomes of the topics of ``EpisodeRecorder(folder, output=...)``.

    ``cameras`` are features ``observation.images.<topic>``; the vectors of ``state`` and ``action``
    are put together, in that order, as ``observation.state`` and ``action``. Rows are ``1 / fps``
    apart over the time that all topics were recorded; a row without a sample within
    ``tolerance_ms`` of it in every topic (default: half a row, at least 20) is left out. ``format``
    is "v2.1" or "v3.0". ``settings`` are further sections of a ``DatasetConfig``, e.g.
    ``{"video": {"codec": "av1"}}``. The takes themselves go away unless ``keep_raw`` is set.
    """

    fps: int
    cameras: Sequence[str]
    state: Sequence[str]
    action: Sequence[str]
    format: Literal["v2.1", "v3.0"] = "v3.0"
    name: str = "recorded"
    robot_type: str = "robot"
    tolerance_ms: float | None = None
    keep_raw: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def folder(self, root: Path) -> Path:
        """Where the dataset lies: the ``root`` of a ``LeRobotDataset``."""
        return root / CONVERTED / self.name / self.format

    def config(self, root: Path) -> DatasetConfig:
        """The dataset's configuration. Raises ``pydantic.ValidationError`` for unusable values."""
        from lerobot_pipelines.config.schema import DatasetConfig

        tolerance_ms = self.tolerance_ms or max(20.0, 500.0 / self.fps)
        sections: dict[str, dict[str, Any]] = {
            "dataset": {
                "name": self.name,
                "fps": self.fps,
                "formats": [self.format],
                "robot_type": self.robot_type,
            },
            "storage": {
                "url": root.absolute().as_uri(),
                "raw_prefix": RAW,
                "converted_prefix": CONVERTED,
            },
            "alignment": {
                "strategy": "nearest",
                "timeline": "uniform",
                "tolerance_ms": tolerance_ms,
            },
            "features": {
                "observation.state": {"parts": [{"stream": topic} for topic in self.state]},
                "action": {"parts": [{"stream": topic} for topic in self.action], "chunk": True},
            },
        }
        for section, values in self.settings.items():
            sections[section] = {**sections.get(section, {}), **values}
        topics = dict.fromkeys((*self.state, *self.action))
        cameras = [
            {"name": name, "role": "sync" if k else "base", "feature": f"observation.images.{name}"}
            for k, name in enumerate(self.cameras)
        ]
        streams = [{"name": topic, "file": f"{topic}.parquet"} for topic in topics]
        return DatasetConfig.model_validate({"streams": streams, "cameras": cameras, **sections})


def refuse_other_settings(config: DatasetConfig) -> None:
    """Raises ``ValueError`` if the dataset that is there was recorded with other settings.

    Its episodes would be left out of it, and their recordings are gone.
    """
    from lerobot_pipelines.config.hashing import dataset_hash
    from lerobot_pipelines.pipeline.dataset import BucketRecords
    from lerobot_pipelines.pipeline.workspace import open_workspace

    records = BucketRecords(open_workspace(config))
    for key in list(records.versions())[:1]:
        if records.read(key).config_hash != dataset_hash(config):
            raise ValueError(
                f"the dataset {config.dataset.name} was recorded with other settings (rate, "
                "cameras, topics, video); choose another name for the output"
            )


@dataclass(frozen=True, slots=True)
class ToDataset:
    """See ``to_dataset``; an object, so that it can be handed to another process."""

    config: DatasetConfig

    def __call__(self, key: str, path: Path) -> object:
        from lerobot_pipelines.errors import Reason, Refused, Transient
        from lerobot_pipelines.pipeline.convert import convert_dataset

        summary = convert_dataset(self.config, episodes=[key])
        (outcome,) = summary.episodes
        if outcome.status == "refused":
            reasons = {str(reason): reason for reason in Reason}
            raise Refused(reasons.get(outcome.reason or "", Reason.UNSUPPORTED), outcome.message)
        if outcome.status == "failed":
            raise Transient(f"{outcome.reason}: {outcome.message}")
        for update in summary.datasets:
            # Converted, but unlike the others: the recording is all there is of it.
            if (reason := update.skipped.get(key)) is not None:
                raise Refused(Reason.UNSUPPORTED, f"it is not in the dataset: {reason}")
        return summary


def to_dataset(config: Any) -> Deliver:
    """Convert each episode into the dataset of ``config`` (a file or a ``DatasetConfig``).

    Its ``storage`` must be a folder whose raw prefix is the recorder's ``root``.
    """
    from lerobot_pipelines.config import load_config
    from lerobot_pipelines.config.schema import DatasetConfig

    return ToDataset(config if isinstance(config, DatasetConfig) else load_config(Path(config)))
