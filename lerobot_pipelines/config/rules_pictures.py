"""Rules on cameras, the rows' rate and the encoders."""

from __future__ import annotations

from collections.abc import Iterator

from lerobot_pipelines.config.codec_limits import HIGHEST_CRF, HIGHEST_SVT_PRESET, PRESETS
from lerobot_pipelines.config.faults import KeyPath, nearest
from lerobot_pipelines.config.rules_features import feature_key_fault
from lerobot_pipelines.config.rules_names import path_fault
from lerobot_pipelines.config.schema import CameraRole, DatasetConfig, Format, TimelineKind

# The year 2100, where seconds since 1970 are meant.
MAX_START_S = 4_102_444_800.0

Finding = tuple[KeyPath, str]


def timeline(config: DatasetConfig) -> Iterator[Finding]:
    bases = [i for i, camera in enumerate(config.cameras) if camera.role is CameraRole.BASE]
    for index in bases[1:]:
        first = config.cameras[bases[0]].name
        yield (
            ("cameras", index, "role"),
            f'is base, but the camera "{first}" is base already; make all but one sync or '
            "downsample",
        )
    if config.alignment.timeline is not TimelineKind.BASE:
        return
    base = config.base_camera
    if base is None:
        yield (
            ("cameras",),
            "there is no camera whose pictures could make the rows; add one, or set "
            "alignment.timeline: uniform",
        )
        return
    index = config.cameras.index(base)
    if base.role is CameraRole.DOWNSAMPLE:
        yield (
            ("cameras", index, "role"),
            "no camera is base, and the first, which would be it, is downsample; give one camera "
            "role: base",
        )
    if not base.required:
        yield (
            ("cameras", index, "required"),
            "must be true: this camera's pictures make the rows",
        )


def rates(config: DatasetConfig) -> Iterator[Finding]:
    fps, tolerance = config.dataset.fps, config.alignment.rate_tolerance
    uniform = config.alignment.timeline is TimelineKind.UNIFORM
    base = None if uniform else config.base_camera
    for index, camera in enumerate(config.cameras):
        path = ("cameras", index, "target_fps")
        rate = camera.target_fps
        if camera.role is CameraRole.DOWNSAMPLE:
            if rate is None:
                yield (
                    ("cameras", index),
                    f'"{camera.name}" is downsample and needs target_fps, the rate it is thinned '
                    f"to, e.g. target_fps: {fps}",
                )
            elif rate < fps * (1 - tolerance):
                yield (
                    path,
                    f"{rate:g} is less than dataset.fps {fps}: there would be rows without a "
                    f"picture; set it to {fps} or more",
                )
        elif camera is base and rate is not None and abs(rate - fps) > fps * tolerance:
            yield (
                path,
                f"{rate:g} is not dataset.fps {fps}, but each of its pictures is a row; make "
                "them equal, or set alignment.timeline: uniform",
            )


def cameras(config: DatasetConfig) -> Iterator[Finding]:
    features: dict[str, str] = {}
    for index, camera in enumerate(config.cameras):
        path = ("cameras", index)
        if fault := feature_key_fault(camera.feature):
            where = "name" if camera.feature.endswith(camera.name) else "feature"
            yield (*path, where), f"(feature {camera.feature}) {fault}"
        elif camera.feature in features:
            yield (
                (*path, "feature"),
                f'"{camera.feature}" is the feature of the camera "{features[camera.feature]}" '
                "as well; each needs its own",
            )
        features.setdefault(camera.feature, camera.name)
        if camera.folder is not None and (fault := path_fault(camera.folder)):
            yield (*path, "folder"), f"{fault}; give a folder below the images folder"
        elif camera.folder is None and camera.topic is None and (fault := path_fault(camera.name)):
            yield (*path, "name"), f"{fault}; it is the camera's folder, or give folder or topic"
        if camera.start_s is not None and camera.rate_hz is None:
            yield (*path, "start_s"), "is of no use without rate_hz, the rate of the pictures"
        if camera.start_s is not None and abs(camera.start_s) > MAX_START_S:
            yield (*path, "start_s"), f"{camera.start_s:g} is no moment; it counts seconds"
        nearest, farthest = camera.depth_range_m
        if not 0 <= nearest < farthest:
            yield (
                (*path, "depth_range_m"),
                f"{nearest:g} to {farthest:g} is no range; give [nearest, farthest] in metres",
            )
        if camera.depth_unit is not None and not camera.depth:
            yield (*path, "depth_unit"), "is of no use without depth: true"
        if camera.depth and "image" in camera.feature and Format.V21 in config.dataset.formats:
            yield (
                (*path, "feature"),
                f'"{camera.feature}" is depth, but lerobot takes a v2.1 feature with "image" in '
                f"its name for colours and refuses the dataset; call it observation.depth."
                f"{camera.name}",
            )


def video(config: DatasetConfig) -> Iterator[Finding]:
    settings = config.video
    codec = settings.codec
    if codec == "copy":
        if settings.size is not None:
            yield ("video", "size"), "cannot be had with codec copy, which keeps pictures as are"
        if settings.size_change == "scale":
            yield ("video", "size_change"), "must be refuse with codec copy, which scales nothing"
        return
    if settings.crf > HIGHEST_CRF[codec]:
        yield ("video", "crf"), f"is {settings.crf}; {codec} knows 0 to {HIGHEST_CRF[codec]}"
    if settings.preset not in PRESETS and not (codec == "av1" and _svt_preset(settings.preset)):
        numbers = f" or 0 to {HIGHEST_SVT_PRESET}" if codec == "av1" else ""
        near = nearest(settings.preset, PRESETS)
        yield (
            ("video", "preset"),
            f'"{settings.preset}" is not known to {codec}{near}; known are '
            f"{', '.join(PRESETS)}{numbers}",
        )
    if codec == "av1" and settings.pix_fmt != "yuv420p":
        yield ("video", "pix_fmt"), f"{settings.pix_fmt} is not known to av1; use yuv420p"
    yield from _size(config)


def _size(config: DatasetConfig) -> Iterator[Finding]:
    size, pix_fmt = config.video.size, config.video.pix_fmt
    if size is None:
        return
    width, height = size
    odd_width = width % 2 and pix_fmt != "yuv444p"
    odd_height = height % 2 and pix_fmt == "yuv420p"
    if width < 1 or height < 1:
        yield ("video", "size"), f"{width} x {height} is no size; give [width, height] in pixels"
    elif odd_width or odd_height:
        yield ("video", "size"), f"{width} x {height} is odd, which {pix_fmt} cannot be"


def _svt_preset(preset: str) -> bool:
    return preset.isdecimal() and int(preset) <= HIGHEST_SVT_PRESET


RULES = (timeline, rates, cameras, video)
