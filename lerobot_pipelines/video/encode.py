"""Encoding all cameras of one recording in a single pass over its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import AlignedFrames, EncodedVideo, Picture, Recording
from lerobot_pipelines.video.camera import CameraEncoder
from lerobot_pipelines.video.codecs import depth_settings, encoder_settings
from lerobot_pipelines.video.memory import camera_groups, release
from lerobot_pipelines.video.plan import plan_tracks, wanted_pictures

# Pictures waiting per camera. A few keep the encoders busy while the reader seeks; more only
# hold memory.
_QUEUE = 4


def encode_cameras(
    recording: Recording,
    frames: AlignedFrames,
    config: DatasetConfig,
    folder: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[EncodedVideo]:
    """One mp4 per camera feature and segment below ``folder``; row k of a segment is frame k.

    The pictures are asked of the recording once, or, where ``config.limit_memory_mb`` leaves room
    for some cameras only, once for each group of them. Each camera decodes and encodes in its own
    thread behind a short queue, so the slowest camera holds the reader back and memory does not
    grow with the recording. The bytes depend neither on ``config.chunk_frames`` nor on the
    machine. Returns the videos sorted by segment, then in the order of ``frames.pictures``.

    ``progress`` is called in the caller's thread with the number of frames encoded since its last
    call. Raises ``Refused`` for pictures that cannot be shown (corrupt_picture), whose size
    changes (picture_size_changed) or that the codec cannot take (unsupported), and ``ConfigError``
    for settings the codec does not know; no file is left behind then.
    """
    colour = encoder_settings(config.video)
    depth = {camera.feature: camera for camera in config.cameras if camera.depth}
    tracks = plan_tracks(frames)
    settings = [
        depth_settings(config.video) if track.feature in depth else colour for track in tracks
    ]
    cameras = [
        CameraEncoder(
            track,
            config.video,
            one,
            fps=frames.fps,
            folder=folder,
            queue_length=min(config.chunk_frames, _QUEUE),
            depth=depth.get(track.feature),
            max_pixels=config.limits.max_pixels,
        )
        for track, one in zip(tracks, settings, strict=True)
    ]
    groups = [list(range(len(tracks)))]
    if config.limit_memory_mb is not None:
        groups = camera_groups(recording, tracks, settings, config.limit_memory_mb, config.limits)
    report = _Progress(progress)
    videos: list[EncodedVideo] = []
    release()
    try:
        for group in groups:
            wanted = wanted_pictures(recording, [tracks[position] for position in group])
            together = [cameras[position] for position in group]
            videos += _encode(recording.pictures(wanted), together, report.of(cameras))
            release()
    except BaseException:
        for camera in cameras:
            camera.stop()
        raise
    return sorted(videos, key=lambda video: video.segment)


def _encode(
    pictures: Iterator[Picture], cameras: Sequence[CameraEncoder], report: Callable[[], None]
) -> list[EncodedVideo]:
    """The videos of cameras that are encoded side by side, in one pass over their pictures."""
    by_stream: dict[str, list[CameraEncoder]] = {}
    for camera in cameras:
        by_stream.setdefault(camera.stream, []).append(camera)
    for camera in cameras:
        camera.start()
    for picture in pictures:
        for camera in by_stream[picture.stream]:
            camera.put(picture, report)
    for camera in cameras:
        camera.put(None, report)
    videos = [video for camera in cameras for video in camera.join(report)]
    report()
    return videos


class _Progress:
    """Reports the difference since the last report."""

    def __init__(self, callback: Callable[[int], None] | None) -> None:
        self._callback = callback
        self._reported = 0

    def of(self, cameras: Sequence[CameraEncoder]) -> Callable[[], None]:
        def report() -> None:
            encoded = sum(camera.encoded for camera in cameras)
            if self._callback is not None and encoded > self._reported:
                self._callback(encoded - self._reported)
                self._reported = encoded

        return report
