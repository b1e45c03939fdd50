"""A camera that was recorded as a video, with the moment of each of its pictures beside it.

``images/<camera>/`` then holds one video (.mp4, .mkv) and ``stamps.parquet`` or ``stamps.csv``,
whose time column has a row per picture in the order of the video. The video's own times do not
count: they are rounded, or those of a player; they only tell which picture is missing where there
are fewer or more than stamps. Packets are handed on as they lie in the file and decoded where
pictures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig
from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.intake import Intake, IntakeCode, IntakeEntry
from lerobot_pipelines.model import Fault, Member, Stamps
from lerobot_pipelines.recordings.chronology import Chronology, put_in_order
from lerobot_pipelines.recordings.layout import STAMPS_NAMES, VIDEO_SUFFIXES
from lerobot_pipelines.recordings.lfs import pointer_fault
from lerobot_pipelines.recordings.pairing import Pairing, doubt, pair
from lerobot_pipelines.recordings.picture_files import CameraFiles
from lerobot_pipelines.recordings.table_file import open_table, stamps_file_of
from lerobot_pipelines.recordings.video_facts import (
    first_key_frame,
    orientation_of,
    require_size,
)

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
    root: Path,
    name: str,
    members: Sequence[Member],
    unit: str,
    what: str,
    limits: LimitsConfig = DEFAULT_LIMITS,
) -> CameraFiles:
    """A camera's video and its stamps, paired one by one.

    Raises ``Refused``: unsupported for files beside the video that are none, a codec that no
    decoder here knows, or B-frames; bad_stamps for missing stamps or ones that do not grow;
    count_mismatch for other counts, where the video's times do not tell which is missing;
    corrupt_container for a video that cannot be read; corrupt_picture for one without a key frame;
    too_large.
    """
    video = video_of(members)
    beside = stamps_file_of(members)
    assert video is not None
    if others := [m.path for m in members if m not in (video, beside)]:
        raise Refused(
            Reason.UNSUPPORTED,
            f"{what} has a video, {video.path}, and {len(others)} other files (the first is "
            f"{others[0]}); keep one of them",
        )
    if beside is None:
        raise Refused(
            Reason.BAD_STAMPS,
            f"{what}: {video.path} has no {STAMPS_NAMES[0]} or {STAMPS_NAMES[1]} beside it with "
            "the moment of each picture",
        )
    stamps, unit = open_table(root / beside.path, beside.path, limits).stamps(unit)
    _refuse_disorder(put_in_order(stamps), f"{what}: the stamps in {beside.path}")
    survey = _survey(root, video, what, limits)
    pairing = _paired(survey, stamps, what, video.path, beside.path)
    told = _told(survey, stamps, pairing, name, video.path, beside.path)
    faults: tuple[Fault, ...] = ()
    if survey.before_key_frame:
        shown = pairing.pictures >= survey.before_key_frame
        pairing = Pairing(pairing.pictures[shown], pairing.rows[shown])
        faults = (Fault(name, video.path, "before_key_frame", survey.before_key_frame),)
    usable = len(pairing.rows)
    return CameraFiles(
        stamps=stamps[pairing.rows],
        members=(video,) * usable,
        encodings=(survey.details["encoding"],) * usable,
        found=max(survey.count, len(stamps)),
        faults=faults,
        details={**survey.details, "time_unit": unit, "bytes": video.size},
        chronology=put_in_order(stamps[pairing.rows]),
        video=video,
        packets=pairing.pictures,
        intake=told,
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


def _paired(survey: _Survey, stamps: Stamps, what: str, video: str, beside: str) -> Pairing:
    both = f"{what}: {video} has {survey.count} pictures and {beside} {len(stamps)} stamps"
    remedy = "write one stamp for each picture that is in the video, in its order"
    if survey.count == len(stamps) and survey.times_ns is not None:
        found = doubt(survey.times_ns, stamps)
        if found is not None and found.is_contradiction:
            raise Refused(
                Reason.COUNT_MISMATCH,
                f"{both}, but behind picture {found.picture} the video has a hole that the stamps "
                f"have elsewhere, so each lacks another picture; {remedy}",
            )
    pairing = pair(survey.times(), stamps)
    if pairing is None:
        raise Refused(
            Reason.COUNT_MISMATCH,
            f"{both}, and the video's own times do not tell which belong together; {remedy}",
        )
    if len(pairing.pictures) < survey.count and not survey.is_intra:
        raise Refused(
            Reason.COUNT_MISMATCH,
            f"{both}; pictures without a stamp cannot be left out of a video whose pictures need "
            f"one another; {remedy}",
        )
    return pairing


def _told(
    survey: _Survey, stamps: Stamps, pairing: Pairing, name: str, video: str, beside: str
) -> tuple[IntakeEntry, ...]:
    intake = Intake()
    lost_rows = np.setdiff1d(np.arange(len(stamps)), pairing.rows)
    lost_pictures = survey.count - len(pairing.pictures)
    if len(lost_rows):
        intake.warn(
            IntakeCode.COUNT_MISMATCH,
            name,
            f"{video} has {survey.count} pictures and {beside} {len(stamps)} stamps; by the "
            "video's own times these stamps have no picture, and are left out",
            count=len(lost_rows),
            start_ns=int(stamps[lost_rows[0]]),
            end_ns=int(stamps[lost_rows[-1]]),
            details={"rows": lost_rows[:100].tolist()},
        )
    if lost_pictures:
        intake.warn(
            IntakeCode.COUNT_MISMATCH,
            name,
            f"{video} has {survey.count} pictures and {beside} {len(stamps)} stamps; by the "
            "video's own times these pictures have no stamp, and are left out",
            count=lost_pictures,
        )
    if survey.count == len(stamps) and survey.times_ns is not None:
        found = doubt(survey.times_ns, stamps)
        if found is not None:
            intake.warn(
                IntakeCode.COUNT_MISMATCH,
                name,
                f"{video} has a hole behind picture {found.picture} that the stamps in {beside} do "
                "not have; if a picture was lost there, all later ones are paired wrong",
                start_ns=int(stamps[found.picture]),
            )
    return intake.entries


def packets(
    root: Path, video: Member, pictures: NDArray[np.int64] | None
) -> Iterator[tuple[int, bytes]]:
    """The pictures of a video in order, each with its id and as the packet that a decoder takes.

    ``pictures`` says which of the video's have an id, and in this order; None: all. Raises
    ``ContentChanged`` for a file that is no longer what ``video`` says.
    """
    from av.bitstream import BitStreamFilterContext

    with _opened(root, video) as (container, stream):
        name = _FILTERS[stream.codec_context.name]
        changed = None if name is None else BitStreamFilterContext(name, stream)
        ids = None if pictures is None else {at: id for id, at in enumerate(pictures.tolist())}
        at = 0
        for packet in container.demux(stream):
            found = [packet] if changed is None else changed.filter(packet if packet.size else None)
            for one in found:
                if one.size:
                    if (id := at if ids is None else ids.get(at)) is not None:
                        yield id, bytes(one)
                    at += 1


@dataclass(frozen=True, slots=True)
class _Survey:
    """Facts about a video; ``times_ns`` (count,) are its own, None where it has none."""

    details: dict[str, Any]
    count: int
    times_ns: Stamps | None
    is_intra: bool  # every picture can be shown without the others
    before_key_frame: int  # pictures that cannot be shown, for what they need is missing

    def times(self) -> Stamps:
        """Numbers where there are no times, which tell nothing."""
        return np.arange(self.count) if self.times_ns is None else self.times_ns


def _survey(root: Path, video: Member, what: str, limits: LimitsConfig) -> _Survey:
    """Goes through the packets of a video; only the first is decoded."""
    with _opened(root, video) as (container, stream):
        codec = stream.codec_context.name
        if codec not in _FILTERS:
            raise Refused(
                Reason.UNSUPPORTED,
                f"{what}: {video.path} is {codec}; a recorded video must be {', '.join(_FILTERS)}",
            )
        require_size(stream, f"{what}: {video.path}", limits)
        shown = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size]
        times = [pts for pts, _ in shown if pts is not None]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise Refused(
                Reason.UNSUPPORTED,
                f"{what}: {video.path} has B-frames, so its pictures are not in the order of time",
            )
        before_key_frame = 0
        if codec != "mjpeg" and shown:
            are_key = [is_key for _, is_key in shown]
            before_key_frame = first_key_frame(are_key, f"{what}: {video.path}")
        encoding = _ENCODINGS[codec]
        details: dict[str, Any] = {
            "encoding": encoding,
            "encodings": {encoding: len(shown)},
            "width": stream.codec_context.width,
            "height": stream.codec_context.height,
        }
        if (orientation := orientation_of(container, stream)) != 1:
            details["orientation"] = orientation
        timed = len(times) == len(shown) and stream.time_base is not None
        tick_ns = Fraction(stream.time_base or 1) * 1_000_000_000
        return _Survey(
            details,
            len(shown),
            np.array([round(pts * tick_ns) for pts in times], np.int64) if timed else None,
            codec == "mjpeg" or all(is_key for _, is_key in shown),
            before_key_frame,
        )


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
