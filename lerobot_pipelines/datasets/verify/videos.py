"""The mp4 files against the metadata: as many frames as rows, found at the right moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.rows import TOLERANCE_S
from lerobot_pipelines.datasets.verify.view import DatasetView, Episode

if TYPE_CHECKING:
    from lerobot_pipelines.video import VideoProbe

# Past it float32 no longer tells neighbouring frames from 1e-4 s apart (lerobot issue 3177).
LONGEST_FILE_S = 1024


def check_videos(
    view: DatasetView, findings: Findings, progress: Callable[[str], None], *, decode: bool
) -> None:
    """Every file is opened once, whoever of the episodes lies in it."""
    for camera in view.info.cameras:
        files: dict[str, list[Episode]] = {}
        for episode in view.episodes:
            files.setdefault(episode.videos[camera].path, []).append(episode)
        for name, episodes in files.items():
            progress(name)
            _check_file(view, camera, name, episodes, findings, decode=decode)


def _check_file(
    view: DatasetView,
    camera: str,
    name: str,
    episodes: list[Episode],
    findings: Findings,
    *,
    decode: bool,
) -> None:
    from lerobot_pipelines.video import probe

    try:
        path = view.path(name)
        video = probe(path)
    except FileNotFoundError as error:
        findings.error("missing_file", name, str(error))
        return
    except Exception as error:  # whatever a broken container makes a demuxer raise
        findings.error("unreadable", name, str(error))
        return
    _check_timing(view, video, name, findings)
    _check_appearance(view.info.features[camera].shape, video, name, findings)
    _check_description(view.info.features[camera].info, video, name, findings)
    _check_spans(view.info.fps, camera, episodes, video, name, findings)
    if decode:
        _check_decodes(path, video, name, findings)


def _check_timing(view: DatasetView, video: VideoProbe, name: str, findings: Findings) -> None:
    if video.fps != view.info.fps:
        findings.error(
            "bad_fps", name, f"{float(video.fps):g} frames/s, the dataset has {view.info.fps}"
        )
    if video.first_pts != 0:
        findings.error("bad_pts", name, f"the first frame is at pts {video.first_pts}, must be 0")
    if not video.constant_rate:
        findings.error("bad_pts", name, "frames are not evenly spaced; decoders pick wrong ones")
    if not video.closed_gops:
        findings.error("open_gop", name, "open GOPs: random access fails")
    if video.frames / view.info.fps > LONGEST_FILE_S:
        findings.warning(
            "too_long",
            name,
            f"longer than {LONGEST_FILE_S} s: late frames can fail lerobot's timestamp tolerance",
        )


def _check_appearance(
    shape: tuple[int, ...], video: VideoProbe, name: str, findings: Findings
) -> None:
    if len(shape) == 3 and (video.height, video.width) not in (shape[:2], shape[1:]):
        findings.error(
            "bad_size", name, f"{video.width}x{video.height}, the feature has {list(shape)}"
        )


def _check_description(
    stated: Mapping[str, Any] | None, video: VideoProbe, name: str, findings: Findings
) -> None:
    measured = {"video.codec": video.codec, "video.pix_fmt": video.pix_fmt}
    for key, value in measured.items():
        if stated and key in stated and stated[key] != value:
            findings.warning("video_info", name, f"{key} is {value}, info.json says {stated[key]}")


def _check_spans(
    fps: int,
    camera: str,
    episodes: list[Episode],
    video: VideoProbe,
    name: str,
    findings: Findings,
) -> None:
    expected = 0
    for episode in episodes:
        span = episode.videos[camera]
        where = f"{name}: episode {episode.index}"
        if abs(span.from_timestamp - expected / fps) > TOLERANCE_S:
            findings.error(
                "bad_span",
                where,
                f"starts at {span.from_timestamp:.6f} s, must be {expected / fps:.6f} s",
            )
        expected += episode.length
        if span.to_timestamp is not None and abs(span.to_timestamp - expected / fps) > TOLERANCE_S:
            findings.error(
                "bad_span",
                where,
                f"ends at {span.to_timestamp:.6f} s, must be {expected / fps:.6f} s",
            )
    if expected != video.frames:
        findings.error(
            "frame_count", name, f"{video.frames} frames for {expected} rows: pictures are shifted"
        )


def _check_decodes(path: Path, video: VideoProbe, name: str, findings: Findings) -> None:
    import av

    decoded = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                decoded += 1
                if frame.is_corrupt:
                    findings.error("corrupt_frame", f"{name}: frame {decoded - 1}", "damaged")
    except av.FFmpegError as error:
        findings.error("corrupt_frame", f"{name}: frame {decoded}", str(error))
        return
    if decoded != video.frames:
        findings.error("frame_count", name, f"{decoded} of {video.frames} frames decode")
