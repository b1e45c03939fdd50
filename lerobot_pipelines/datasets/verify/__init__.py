"""Find every defect of a LeRobot dataset that would break loading or training.

Works on any v2.1 or v3.0 dataset, whoever wrote it, and never changes one. ``v21`` and ``v30``
read the metadata of their format into one view; ``rows``, ``videos`` and ``statistics`` hold the
data against it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lerobot_pipelines.datasets.verify.committed import check_committed
from lerobot_pipelines.datasets.verify.info import read_info
from lerobot_pipelines.datasets.verify.provenance import read_conversion
from lerobot_pipelines.datasets.verify.report import Finding, Findings, VerifyReport
from lerobot_pipelines.datasets.verify.rows import check_rows
from lerobot_pipelines.datasets.verify.statistics import check_statistics
from lerobot_pipelines.datasets.verify.v21 import read_v21
from lerobot_pipelines.datasets.verify.v30 import read_v30
from lerobot_pipelines.datasets.verify.videos import check_videos
from lerobot_pipelines.datasets.verify.view import DatasetView, Info

__all__ = ["Finding", "VerifyReport", "verify_dataset"]

READERS: dict[str, Callable[[Path, Info, Findings], DatasetView]] = {
    "v2.1": read_v21,
    "v3.0": read_v30,
}


def verify_dataset(
    root: Path,
    *,
    decode: bool = True,
    progress: Callable[[str], None] = lambda what: None,
) -> VerifyReport:
    """Hold the dataset in folder ``root`` against the rules of its format.

    ``decode`` also decodes every frame of every video; without it only packets are counted.
    ``progress`` is told each file about to be read. Nothing is raised for a broken dataset: what
    is wrong is in the report.
    """
    findings = Findings()
    check_committed(root, findings)
    info = read_info(root, findings)
    if info is None:
        return VerifyReport(root, None, 0, 0, tuple(findings.found))
    reader = READERS.get(info.codebase_version)
    if reader is None:
        findings.error(
            "unknown_version",
            "meta/info.json",
            f"codebase_version is {info.codebase_version!r}; known are {', '.join(READERS)}",
        )
        return VerifyReport(root, info.codebase_version, 0, 0, tuple(findings.found))
    view = reader(root, info, findings)
    measured = check_rows(view, findings, progress)
    check_statistics(view, measured, findings)
    check_videos(view, findings, progress, decode=decode)
    conversion = read_conversion(view, findings)
    frames = sum(episode.length for episode in view.episodes)
    return VerifyReport(
        root, info.codebase_version, len(view.episodes), frames, tuple(findings.found), conversion
    )
