"""A camera that was recorded as a video, with the moment of each of its pictures beside it.

``images/<camera>/`` then holds one video (.mp4, .mkv) and ``stamps.parquet``, whose time column has
a row per picture in the order of the video. The video's own times do not count: they are rounded,
or those of a player. Packets are handed on as they lie in the file and decoded where pictures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Fault, Member
from lerobot_pipelines.recordings.chronology import Chronology, put_in_order
from lerobot_pipelines.recordings.layout import STAMPS_NAME, VIDEO_SUFFIXES
from lerobot_pipelines.recordings.lfs import pointer_fault
from lerobot_pipelines.recordings.parquet_file import ParquetFile
from lerobot_pipelines.recordings.picture_files import CameraFiles

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

# Codec -> the filter that makes packets a decoder takes one by one; None: they are already.
_FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb", "mjpeg": None}
_ENCODINGS = {"h264": "h264", "hevc": "hevc", "mjpeg": "jpeg"}


def video_of(members: Sequence[Member]) -> Member | None:
    """The video among a camera's files, if it was recorded as one."""
    for member in members:
        if member.path.lower().endswith(VIDEO_SUFFIXES):
            return member
    return None


def read_video(
    root: Path, name: str, members: Sequence[Member], unit: str, what: str
) -> CameraFiles:
    """A camera's video and its stamps. Of one that was cut off, what both of them have is taken.

    Raises ``Refused``: unsupported for files beside the video that are none, a codec that no
    decoder here knows, or B-frames; bad_stamps for missing stamps or ones that do not grow;
    corrupt_container for a video that cannot be read.
    """
    video = video_of(members)
    stamps_path = [m.path for m in members if m.path.rpartition("/")[2] == STAMPS_NAME]
    assert video is not None
    if others := [m.path for m in members if m.path not in (video.path, *stamps_path)]:
        raise Refused(
            Reason.UNSUPPORTED,
            f"{what} has a video, {video.path}, and {len(others)} other files (the first is "
            f"{others[0]}); keep one of them",
        )
    if not stamps_path:
        raise Refused(
            Reason.BAD_STAMPS,
            f"{what}: {video.path} has no {STAMPS_NAME} beside it with the moment of each picture",
        )
    stamps, unit = ParquetFile(root / stamps_path[0], stamps_path[0]).stamps(unit)
    _refuse_disorder(put_in_order(stamps), f"{what}: the stamps in {stamps_path[0]}")
    details, count = _survey(root, video, what)
    usable = min(count, len(stamps))
    faults: tuple[Fault, ...] = ()
    if count != len(stamps):
        faults = (Fault(name, video.path, "truncated", abs(count - len(stamps))),)
    return CameraFiles(
        stamps=stamps[:usable],
        members=(video,) * usable,
        encodings=(details["encoding"],) * usable,
        found=max(count, len(stamps)),
        faults=faults,
        details={**details, "time_unit": unit, "bytes": video.size},
        chronology=put_in_order(stamps[:usable]),
        video=video,
    )


def _refuse_disorder(found: Chronology, what: str) -> None:
    """Raises ``Refused`` (bad_stamps): pictures of a video are read in its order alone."""
    if not (found.disordered or found.repeated or len(found.strays)):
        return
    faults = {
        f"{found.disordered} are earlier than the one before, by up to "
        f"{found.largest_disorder_ns / 1e6:.3f} ms": found.disordered,
        f"{found.repeated} repeat another": found.repeated,
        f"{len(found.strays)} fit nowhere": len(found.strays),
    }
    told = "; ".join(text for text, count in faults.items() if count)
    raise Refused(Reason.BAD_STAMPS, f"{what} do not grow: {told}")


def packets(root: Path, video: Member) -> Iterator[bytes]:
    """The pictures of a video in order, each as the packet that a decoder takes.

    Raises ``ContentChanged`` for a file that is no longer what ``video`` says.
    """
    from av.bitstream import BitStreamFilterContext

    with _opened(root, video) as (container, stream):
        name = _FILTERS[stream.codec_context.name]
        changed = None if name is None else BitStreamFilterContext(name, stream)
        for packet in container.demux(stream):
            found = [packet] if changed is None else changed.filter(packet if packet.size else None)
            for one in found:
                if one.size:
                    yield bytes(one)


def _survey(root: Path, video: Member, what: str) -> tuple[dict[str, Any], int]:
    """Facts about a video, and how many pictures it has; nothing is decoded."""
    with _opened(root, video) as (container, stream):
        codec = stream.codec_context.name
        if codec not in _FILTERS:
            raise Refused(
                Reason.UNSUPPORTED,
                f"{what}: {video.path} is {codec}; a recorded video must be {', '.join(_FILTERS)}",
            )
        times = [packet.pts for packet in container.demux(stream) if packet.size]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise Refused(
                Reason.UNSUPPORTED,
                f"{what}: {video.path} has B-frames, so its pictures are not in the order of time",
            )
        encoding = _ENCODINGS[codec]
        details: dict[str, Any] = {
            "encoding": encoding,
            "encodings": {encoding: len(times)},
            "width": stream.codec_context.width,
            "height": stream.codec_context.height,
        }
        return details, len(times)


@contextmanager
def _opened(root: Path, video: Member) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    import av

    path = root / video.path
    try:
        if path.stat().st_size != video.size:
            raise ContentChanged(f"{video.path} changed while the episode was read")
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Refused(Reason.CORRUPT_CONTAINER, f"{video.path} has no pictures")
            yield container, container.streams.video[0]
    except FileNotFoundError as error:
        raise ContentChanged(f"{video.path} disappeared while the episode was read") from error
    except av.FFmpegError as error:
        fault = pointer_fault(path) or f"cannot be read as a video ({error})"
        raise Refused(Reason.CORRUPT_CONTAINER, f"{video.path} {fault}") from error
