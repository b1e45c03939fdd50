"""How much of a folder recording's stream or camera may be damaged."""

from __future__ import annotations

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings import lfs
from lerobot_pipelines.recordings.parquet_file import Samples
from lerobot_pipelines.recordings.picture_files import CORRUPT, CameraFiles

# Rows that are no measurements, as opposed to measurements that repeat a stamp.
_ROW_FAULTS = {
    "bad_stamp": Reason.BAD_STAMPS,
    "wrong_length": Reason.MISSING_FIELD,
    "non_finite": Reason.NON_FINITE,
}


def refuse_damaged_rows(name: str, path: str, samples: Samples, config: DatasetConfig) -> None:
    """Raises ``Refused`` (missing_stream, bad_stamps, missing_field, non_finite)."""
    limit = config.filtering.max_corrupt_fraction
    damaged = {reason: n for reason, n in samples.dropped.items() if reason in _ROW_FAULTS}
    if samples.rows == 0:
        raise Refused(Reason.MISSING_STREAM, f"stream {name}: {path} has no rows")
    if sum(damaged.values()) > limit * samples.rows:
        worst = max(damaged, key=lambda reason: damaged[reason])
        faults = ", ".join(f"{count} {reason}" for reason, count in damaged.items())
        raise Refused(
            _ROW_FAULTS[worst],
            f"stream {name}: {sum(damaged.values())} of {samples.rows} rows of {path} are no "
            f"measurements ({faults}); at most {limit:.0%} may be (filtering.max_corrupt_fraction)",
        )


def refuse_damaged_pictures(name: str, pictures: CameraFiles, config: DatasetConfig) -> None:
    """Raises ``Refused`` (corrupt_picture, bad_stamps)."""
    limit = config.filtering.max_corrupt_fraction
    damaged = [fault for fault in pictures.faults if fault.reason in CORRUPT]
    if damaged and pictures.corrupt > limit * pictures.found:
        faults = ", ".join(f"{fault.count} {fault.reason}" for fault in damaged)
        if any(fault.reason == "lfs_pointer" for fault in damaged):
            faults += f": git-lfs pointers, not pictures; {lfs.REMEDY}"
        raise Refused(
            Reason.CORRUPT_PICTURE,
            f"camera {name}: {pictures.corrupt} of {pictures.found} pictures are damaged ({faults};"
            f" the first is {damaged[0].where}); at most {limit:.0%} may be "
            "(filtering.max_corrupt_fraction)",
        )
    if not pictures.members:
        raise Refused(
            Reason.BAD_STAMPS,
            f"camera {name}: none of its {pictures.found} pictures has a time as its name "
            f"(the first is {pictures.faults[0].where}); name them like 1764167571671577.jpg",
        )
