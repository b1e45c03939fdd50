"""How much of a depth camera's pictures is measured: what lies beyond the range that is kept, and
what has no distance at all.

Read from the counts of codes that every video record holds, so nothing is decoded again. A camera
whose distances all lie at one end is read in another unit than it was recorded in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig
from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity

# A scene has something nearer than the far end; a sensor looking at the sky or at a wall too near
# still has a border, a shadow, a reflection.
MAX_SHARE_AT_ONE_END = 0.99
# Beyond it a person should look whether range and unit are as meant.
SHARE_WORTH_A_WARNING = 0.5


@dataclass(frozen=True, slots=True)
class DepthShares:
    """Of the sampled pixels of one camera. Where the nearest distance kept is 0, ``nearest`` are
    the pixels without a distance; else both are one."""

    pixels: int
    nearest: float  # at the near end, nearer, or without a distance
    farthest: float  # at the far end or beyond
    measured_farthest: float  # the same, of the pixels that are not at the near end


def depth_shares(segments: Sequence[Mapping[str, VideoRecord]]) -> dict[str, DepthShares]:
    """By feature, over all segments; depth cameras only."""
    counts: dict[str, tuple[int, int, int]] = {}
    for segment in segments:
        for feature, video in segment.items():
            if video.depth is not None and video.histogram:
                (codes,) = video.histogram
                near, far, total = counts.get(feature, (0, 0, 0))
                counts[feature] = (near + codes[0], far + codes[-1], total + sum(codes))
    return {
        feature: DepthShares(total, near / total, far / total, far / max(total - near, 1))
        for feature, (near, far, total) in counts.items()
        if total
    }


def impossible_ranges(
    segments: Sequence[Mapping[str, VideoRecord]], config: DatasetConfig
) -> list[str]:
    """A sentence per depth camera whose distances cannot be what they are read as."""
    cameras = {camera.feature: camera for camera in config.cameras}
    return [
        sentence
        for feature, shares in depth_shares(segments).items()
        if feature in cameras and (sentence := _impossible(shares, cameras[feature])) is not None
    ]


def _impossible(shares: DepthShares, camera: CameraConfig) -> str | None:
    nearest, farthest = camera.depth_range_m
    if shares.nearest < 1.0 and shares.measured_farthest >= MAX_SHARE_AT_ONE_END:
        share, end = shares.measured_farthest, f"{farthest:g} m, the farthest distance kept,"
    elif nearest > 0 and shares.nearest >= MAX_SHARE_AT_ONE_END:
        share, end = shares.nearest, f"{nearest:g} m, the nearest distance kept,"
    else:
        return None
    return (
        f"{share:.0%} of the distances of {camera.feature} lie at {end} or outside: its values are "
        f"read in {_unit(camera)}; set cameras[].depth_unit to the camera's unit (m, cm, mm, "
        "0.1mm, um or metres per value), or widen depth_range_m"
    )


def range_entries(
    segments: Sequence[Mapping[str, VideoRecord]], config: DatasetConfig
) -> Iterator[IntakeEntry]:
    """What a person has to know of each depth camera's range."""
    cameras = {camera.feature: camera for camera in config.cameras}
    for feature, shares in depth_shares(segments).items():
        camera = cameras.get(feature)
        if camera is None or not (shares.nearest or shares.farthest):
            continue
        nearest, farthest = camera.depth_range_m
        none = "have no distance" if nearest == 0 else f"are nearer than {nearest:g} m or have none"
        is_much = max(shares.nearest, shares.farthest) > SHARE_WORTH_A_WARNING
        yield IntakeEntry(
            IntakeCode.RANGE,
            Severity.WARNING if is_much else Severity.NOTE,
            camera.name,
            f"{shares.nearest:.1%} of the pixels {none}, {shares.farthest:.1%} are at or beyond "
            f"{farthest:g} m (read in {_unit(camera)}; cameras[].depth_unit, depth_range_m)",
            details={
                "pixels": shares.pixels,
                "nearest": round(shares.nearest, 6),
                "farthest": round(shares.farthest, 6),
            },
        )


def _unit(camera: CameraConfig) -> str:
    if camera.depth_unit is None:
        return "the unit of their encoding (16 bits: mm, 32 bits: m)"
    if isinstance(camera.depth_unit, str):
        return camera.depth_unit
    return f"{camera.depth_unit:g} m"
