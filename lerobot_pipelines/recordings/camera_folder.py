"""A camera's folder: which of its files are pictures, and where their moments come from.

From a video's stamps, from the pictures' names, from a stamps file beside numbered pictures, or
from the rate that a configuration gives for these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, CameraConfig, LimitsConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import Intake, IntakeCode
from lerobot_pipelines.model import Member, Stamps, Stream
from lerobot_pipelines.recordings.columns import ColumnKind, is_counter
from lerobot_pipelines.recordings.name_forms import DECIMALS, NameStamps, stamps_of_names
from lerobot_pipelines.recordings.numbered_pictures import (
    REMEDY,
    Numbers,
    are_counted,
    numbers_of,
    stamps_by_name,
    stamps_by_number,
    stamps_by_rate,
    stamps_by_rows,
)
from lerobot_pipelines.recordings.picture_files import CameraFiles, read_camera
from lerobot_pipelines.recordings.table_file import open_table, stamps_file_of
from lerobot_pipelines.recordings.video_file import read_video, video_of

# In pictures: how far the joints' beginnings and lengths may be from the pictures'.
_MOST_APART = 2.0


def read_camera_folder(
    root: Path,
    name: str,
    members: Sequence[Member],
    camera: CameraConfig | None,
    streams: Sequence[Stream],
    limits: LimitsConfig = DEFAULT_LIMITS,
) -> CameraFiles:
    """The pictures of a camera with their moments. ``streams`` are the joints read before.

    Raises ``Refused`` as ``read_video`` and ``read_camera`` do; bad_stamps where no moments are
    known; count_mismatch where a stamps file does not fit the pictures.
    """
    unit = camera.time_unit if camera is not None else "auto"
    if video_of(members) is not None:
        return read_video(root, name, members, unit, f"camera {name}", limits)
    beside = stamps_file_of(members)
    pictures = [member for member in members if member is not beside]
    intake = Intake()
    moments = _Moments(root, name, pictures, beside, camera, intake, limits).found(streams)
    return read_camera(root, name, pictures, moments, intake.entries)


class _Moments:
    """Finds the moments of one camera's pictures."""

    def __init__(
        self,
        root: Path,
        name: str,
        pictures: Sequence[Member],
        beside: Member | None,
        camera: CameraConfig | None,
        intake: Intake,
        limits: LimitsConfig,
    ) -> None:
        self._limits = limits
        self._root = root
        self._name = name
        self._what = f"camera {name}"
        self._files = [PurePosixPath(member.path).name for member in pictures]
        self._stems = [PurePosixPath(file).stem for file in self._files]
        self._beside = beside
        self._unit = camera.time_unit if camera is not None else "auto"
        self._rate_hz = camera.rate_hz if camera is not None else None
        self._start_s = camera.start_s if camera is not None else None
        self._intake = intake

    def found(self, streams: Sequence[Stream]) -> NameStamps:
        named, refusal = self._by_names()
        numbers = numbers_of(self._stems)
        if named is not None and named.usable.any():
            self._say_unused()
            return named
        if self._beside is not None:
            return self._by_file(self._beside, numbers)
        if self._rate_hz is not None and numbers is not None:
            return self._by_rate(numbers, self._rate_hz, streams)
        if numbers is not None and are_counted(numbers):
            raise Refused(
                Reason.BAD_STAMPS,
                f"{self._what}: its pictures are numbered ({self._files[0]}), which is no moment; "
                f"{REMEDY}",
            )
        if refusal is not None:
            raise refusal
        assert named is not None
        return named

    def _by_names(self) -> tuple[NameStamps | None, Refused | None]:
        if self._unit != "auto" and self._rate_hz is not None:
            return None, None  # numbers, says the configuration
        try:
            found = stamps_of_names(self._stems, self._unit, self._what)
        except Refused as refusal:
            return None, refusal
        if found.form.digits is not None:
            say = self._intake.note if found.form.is_proven else self._intake.warn
            how = (
                "as all of them together prove"
                if found.form.is_proven
                else ("the only reading in which the pictures follow one another evenly")
            )
            say(
                IntakeCode.NAME_FORM,
                self._name,
                f"names such as {self._files[0]} were read as {found.form.described(found.unit)}, "
                f"{how}",
                count=len(self._files),
            )
        return found, None

    def _say_unused(self) -> None:
        if self._beside is not None:
            self._intake.note(
                IntakeCode.UNUSED,
                self._name,
                f"{self._beside.path} is not used: the names of the pictures are moments",
            )
        if self._rate_hz is not None:
            self._intake.note(
                IntakeCode.UNUSED,
                self._name,
                "rate_hz is not used: the names of the pictures are moments",
            )

    def _by_file(self, beside: Member, numbers: Numbers | None) -> NameStamps:
        file = open_table(self._root / beside.path, beside.path, self._limits)
        try:
            rows, unit = file.stamps(self._unit)
            stamps = None
            for column in file.columns:
                if column.kind is ColumnKind.OTHER and stamps is None:
                    listed = [v if isinstance(v, str) else None for v in file.values(column.name)]
                    stamps = stamps_by_name(self._files, listed, rows, self._what, beside.path)
                elif (
                    column.kind is ColumnKind.NUMBER and is_counter(column.name) and stamps is None
                ):
                    counted = np.array(file.values(column.name), np.float64)
                    whole = np.all(np.isfinite(counted)) and np.all(counted == np.rint(counted))
                    if numbers is not None and whole:
                        stamps = stamps_by_number(numbers, counted.astype(np.int64), rows)
        finally:
            file.close()
        if stamps is None and numbers is None:
            raise Refused(
                Reason.BAD_STAMPS,
                f"{self._what}: the names of its pictures (such as {self._files[0]}) are neither "
                f"moments nor numbers, and {beside.path} has no column that names them",
            )
        if stamps is None:
            assert numbers is not None
            stamps = stamps_by_rows(numbers, rows, self._what, beside.path)
        if numbers is not None and np.any(np.diff(stamps[numbers.order]) <= 0):
            raise Refused(
                Reason.BAD_STAMPS,
                f"{self._what}: the stamps in {beside.path} do not grow with the numbers of the "
                "pictures",
            )
        self._say_numbered(f"their moments are those in {beside.path}")
        return self._all_usable(stamps, unit)

    def _by_rate(self, numbers: Numbers, rate_hz: float, streams: Sequence[Stream]) -> NameStamps:
        if self._start_s is not None:
            start_ns = round(self._start_s * 1e9)
            self._say_numbered(
                f"their moments are {rate_hz:g} a second from {self._start_s:g} s on, as configured"
            )
        else:
            start_ns = self._start_of(numbers, rate_hz, streams)
        stamps = stamps_by_rate(numbers, rate_hz, start_ns, self._what)
        return self._all_usable(stamps, "rate_hz")

    def _start_of(self, numbers: Numbers, rate_hz: float, streams: Sequence[Stream]) -> int:
        """The first sample's moment, where the joints began and lasted as the pictures did."""
        there = [stream for stream in streams if stream.count > 1]
        period_ns = 1e9 / rate_hz
        starts = [stream.start_ns for stream in there]
        lasted_ns = (numbers.last - numbers.first) * period_ns
        if not there or max(starts) - min(starts) > period_ns:
            raise Refused(
                Reason.BAD_STAMPS,
                f"{self._what}: its pictures are numbered and the joints do not begin at one "
                "moment; give start_s, the moment of the first picture on the joints' clock",
            )
        apart = max(there, key=lambda s: abs(s.end_ns - s.start_ns - lasted_ns))
        joints_ns = apart.end_ns - apart.start_ns
        if abs(joints_ns - lasted_ns) > _MOST_APART * period_ns:
            raise Refused(
                Reason.COUNT_MISMATCH,
                f"{self._what}: {len(self._files)} pictures at {rate_hz:g} Hz last "
                f"{lasted_ns / 1e9:.3f} s, but stream {apart.name} lasts {joints_ns / 1e9:.3f} s, "
                "so they did not begin together or the rate is another; give the rate and "
                "start_s, the moment of the first picture on the joints' clock",
            )
        self._intake.warn(
            IntakeCode.NAME_FORM,
            self._name,
            f"the pictures are numbered; they are taken to be {rate_hz:g} a second, the first of "
            f"them with the first sample of {there[0].name}; if that is not certain, give start_s",
            count=len(self._files),
            start_ns=min(starts),
        )
        return min(starts)

    def _say_numbered(self, source: str) -> None:
        self._intake.note(
            IntakeCode.NAME_FORM,
            self._name,
            f"the pictures are numbered; {source}",
            count=len(self._files),
        )

    def _all_usable(self, stamps: Stamps, unit: str) -> NameStamps:
        return NameStamps(stamps, unit, np.ones(len(stamps), np.bool_), DECIMALS)
