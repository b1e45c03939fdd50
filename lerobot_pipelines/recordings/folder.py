"""Reader for joint parquet files and folders of encoded pictures.

Opening reads all numbers and looks at both ends of every picture; pictures themselves are read one
at a time, in the order of time over all cameras.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import (
    DEFAULT_LIMITS,
    CameraConfig,
    DatasetConfig,
    LayoutConfig,
    LimitsConfig,
    StreamConfig,
)
from lerobot_pipelines.errors import ConfigError, ContentChanged, Reason, Refused
from lerobot_pipelines.intake import Intake, IntakeCode, IntakeEntry
from lerobot_pipelines.model import (
    Clock,
    EpisodeSource,
    Fault,
    Picture,
    Stamps,
    Stream,
    StreamKind,
    Vectors,
)
from lerobot_pipelines.recordings.calibration import calibrated, shifted, shifted_steps
from lerobot_pipelines.recordings.camera_folder import read_camera_folder
from lerobot_pipelines.recordings.chronology_report import report_chronology
from lerobot_pipelines.recordings.column_roles import FoundStream, streams_of
from lerobot_pipelines.recordings.columns import Column
from lerobot_pipelines.recordings.folder_damage import (
    refuse_damaged_pictures,
    refuse_damaged_rows,
)
from lerobot_pipelines.recordings.folder_files import (
    FolderFiles,
    described,
    joints_path,
    sort_files,
    stream_name,
)
from lerobot_pipelines.recordings.folder_unused import Usage, unused
from lerobot_pipelines.recordings.joint_units import note_doubtful_angles
from lerobot_pipelines.recordings.layout import PICTURE_SUFFIXES
from lerobot_pipelines.recordings.parquet_file import ParquetFile, Samples
from lerobot_pipelines.recordings.picture_files import CameraFiles
from lerobot_pipelines.recordings.rows import AlignedRows
from lerobot_pipelines.recordings.sidecar import read_metadata
from lerobot_pipelines.recordings.table_file import open_table
from lerobot_pipelines.recordings.units import note_depth_unit
from lerobot_pipelines.recordings.video_file import packets

logger = logging.getLogger(__name__)


def open_folder(source: EpisodeSource, config: DatasetConfig | None = None) -> FolderRecording:
    """Open an episode of parquet and picture files; see ``open_recording``.

    Raises ``Refused``: missing_camera and missing_stream for what is required and not there,
    corrupt_picture and non_finite where more than ``filtering.max_corrupt_fraction`` of a stream is
    damaged, corrupt_container for an unreadable parquet file, bad_stamps, missing_field.
    """
    files = sort_files(source, config.layout if config is not None else LayoutConfig())
    limits = config.limits if config is not None else DEFAULT_LIMITS
    recording = FolderRecording(source, files, limits)
    if config is None:
        recording.add_everything()
    else:
        recording.add_configured(config)
    recording.report_unused(config)
    return recording


class FolderRecording(AlignedRows):
    """See ``model.Recording``."""

    def __init__(
        self, source: EpisodeSource, files: FolderFiles, limits: LimitsConfig = DEFAULT_LIMITS
    ) -> None:
        self.source = source
        self._limits = limits
        metadata, faults, told = read_metadata(source.root, files.metadata, limits)
        self.metadata: Mapping[str, Any] = metadata
        self._faults = [*files.faults, *faults]
        self.faults: Sequence[Fault] = self._faults
        self._intake = Intake(told)
        self._files = files
        self._usage = Usage()
        self._streams: dict[str, Stream] = {}
        self.streams: Mapping[str, Stream] = MappingProxyType(self._streams)
        self._stamps: dict[str, Stamps] = {}
        self._vectors: dict[str, Vectors] = {}
        self._cameras: dict[str, CameraFiles] = {}

    @property
    def intake(self) -> Sequence[IntakeEntry]:
        return self._intake.entries

    def timestamps(self, stream: str) -> Stamps:
        return self._stamps[stream]

    def vectors(self, stream: str) -> Vectors:
        return self._vectors[stream]

    def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
        """Pictures in the order of their stamps, all cameras together."""
        names = list(wanted)
        if not names:
            return
        ids = np.concatenate([wanted[name] for name in names])
        camera = np.repeat(np.arange(len(names)), [len(wanted[name]) for name in names])
        # A stream's own order goes before that of time, which a clock that is set back disturbs.
        stamps = np.concatenate(
            [np.maximum.accumulate(self._stamps[name])[wanted[name]] for name in names]
        )
        videos = {
            name: packets(self.source.root, video, self._cameras[name].packets)
            for name in names
            if (video := self._cameras[name].video) is not None
        }
        for at in np.lexsort((camera, stamps)).tolist():
            name, id = names[camera[at]], int(ids[at])
            if name in videos:
                data = next((data for k, data in videos[name] if k == id), b"")
                yield self._as_picture(name, id, data)
            else:
                yield self._picture(name, id)

    def close(self) -> None:
        """Nothing stays open between calls."""

    def add_everything(self) -> None:
        """Every stream there is, under its file's name; what cannot be read is a fault."""
        for path, origin in self._files.joints.items():
            with self._left_out(stream_name(path), origin):
                for found in streams_of(self._table_columns(path)) or [FoundStream("", ())]:
                    samples = self._samples(path, None, found.columns or None)
                    name = ".".join(filter(None, (stream_name(path), found.suffix)))
                    self._add_vectors(self._free_name(name, origin), samples, path, None)
        for folder, members in self._files.cameras.items():
            origin = members[0].path.rpartition("/")[0]
            name = self._free_name(folder, origin)
            with self._left_out(name, origin):
                self._add_camera(name, self._pictures(name, folder, None), origin, None)

    def add_configured(self, config: DatasetConfig) -> None:
        """The streams and cameras of a configuration. Faults of optional ones leave those out."""
        for stream in config.streams:
            path = joints_path(self._files, stream.file or stream.name)
            with nullcontext() if stream.required else self._left_out(stream.name, path):
                samples = self._samples(path, stream)
                refuse_damaged_rows(stream.name, path, samples, config)
                self._add_vectors(stream.name, samples, path, stream)
        for camera in config.cameras:
            folder = (camera.folder or camera.name).strip("/")
            required = camera.required and config.filtering.require_all_cameras
            required = required or camera == config.base_camera
            with nullcontext() if required else self._left_out(camera.name, folder):
                pictures = self._pictures(camera.name, folder, camera)
                refuse_damaged_pictures(camera.name, pictures, config)
                origin = pictures.members[0].path.rpartition("/")[0]
                self._add_camera(camera.name, pictures, origin, camera)

    def report_unused(self, config: DatasetConfig | None) -> None:
        """Say what the recording has and no stream or camera is made of."""
        self._intake.extend(unused(self._files, self._usage, config))

    def _free_name(self, name: str, origin: str) -> str:
        """An arm and a camera may be called the same."""
        return name if name not in self._streams else origin

    @contextmanager
    def _left_out(self, stream: str, where: str) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        except Refused as refusal:
            logger.warning("%s: %s is left out: %s", self.source.key, stream, refusal.message)
            self._faults.append(Fault(stream, where, str(refusal.reason)))
            self._intake.warn(IntakeCode.UNREAD, stream, f"{refusal.message}; left out")

    def _samples(
        self, path: str, stream: StreamConfig | None, columns: Sequence[str] | None = None
    ) -> Samples:
        file = self._opened(path)
        unit = stream.time_unit if stream is not None else "auto"
        try:
            samples = file.samples(stream, unit, columns)
        finally:
            file.close()
        explicit = stream is not None and bool(stream.columns or stream.joint_names)
        self._usage.use(path, samples.time_column, samples.columns, explicit=explicit)
        return samples

    def _table_columns(self, path: str) -> Sequence[Column]:
        file = self._opened(path)
        file.close()
        return file.columns

    def _opened(self, path: str) -> ParquetFile:
        if path not in self._files.joints:
            raise Refused(
                Reason.MISSING_STREAM,
                f"episode {self.source.key} has no joints file {path}; there are "
                f"{described([*self._files.joints, *self._files.unread.values()])}",
            )
        member_path = self._files.joints[path]
        file = open_table(self.source.root / member_path, member_path, self._limits)
        self._usage.open(path, member_path, file.columns)
        return file

    def _add_vectors(
        self, name: str, samples: Samples, path: str, config: StreamConfig | None
    ) -> None:
        origin = self._files.joints[path]
        stamps, values = samples.stamps, samples.values
        steps = samples.chronology.steps
        report_chronology(self._intake, name, samples.chronology, stamps)
        if config is not None:
            steps = shifted_steps(steps, config)
            stamps, values = shifted(stamps, config), calibrated(values, config)
        details = {
            "time_unit": samples.time_unit,
            "time_column": samples.time_column,
            "rows": samples.rows,
            "file": path,
            "columns": list(samples.columns),
            "backwards": samples.chronology.backwards,
        }
        self._faults += [
            Fault(name, origin, reason, count) for reason, count in samples.dropped.items()
        ]
        note_doubtful_angles(self._intake, name, values, samples.element_names, config, details)
        self._vectors[name] = values
        self._add(
            Stream(
                name=name,
                kind=StreamKind.VECTOR,
                count=len(stamps),
                start_ns=int(stamps[0]) if len(stamps) else 0,
                end_ns=int(stamps[-1]) if len(stamps) else 0,
                clock=Clock.FILE,
                origin=origin,
                dimension=values.shape[1],
                element_names=samples.element_names,
                details=details,
                steps=steps,
            ),
            stamps,
        )

    def _pictures(self, name: str, folder: str, camera: CameraConfig | None) -> CameraFiles:
        if not (members := self._files.cameras.get(folder)):
            raise Refused(
                Reason.MISSING_CAMERA,
                f"episode {self.source.key} has no pictures ({', '.join(PICTURE_SUFFIXES)}) of "
                f"camera {name} in the folder {folder}; there are {described(self._files.cameras)}",
            )
        self._usage.cameras.add(folder)
        streams = [s for s in self._streams.values() if s.kind is StreamKind.VECTOR]
        return read_camera_folder(self.source.root, name, members, camera, streams, self._limits)

    def _add_camera(
        self, name: str, pictures: CameraFiles, origin: str, camera: CameraConfig | None
    ) -> None:
        stamps, steps = pictures.stamps, pictures.chronology.steps
        report_chronology(self._intake, name, pictures.chronology, stamps)
        if camera is not None:
            stamps, steps = shifted(stamps, camera), shifted_steps(steps, camera)
        self._faults += pictures.faults
        self._intake.extend(pictures.intake)
        self._cameras[name] = pictures
        note_depth_unit(self._intake, name, camera, pictures.details)
        if (problem := pictures.details.get("problem")) and not pictures.members:
            told = f"no picture of {origin} can be read: {problem}"
            self._intake.warn(IntakeCode.UNREAD, name, told, count=pictures.found)
        self._add(
            Stream(
                name=name,
                kind=StreamKind.PICTURE,
                count=len(stamps),
                start_ns=int(stamps[0]) if len(stamps) else 0,
                end_ns=int(stamps[-1]) if len(stamps) else 0,
                clock=Clock.FILE,
                origin=origin,
                details=pictures.details,
                steps=steps,
            ),
            stamps,
        )

    def _add(self, stream: Stream, stamps: Stamps) -> None:
        self._streams[stream.name] = stream
        self._stamps[stream.name] = stamps

    def _as_picture(self, name: str, id: int, data: bytes) -> Picture:
        return Picture(
            stream=name,
            id=id,
            stamp_ns=int(self._stamps[name][id]),
            data=data,
            encoding=self._cameras[name].encodings[id],
            orientation=int(self._cameras[name].details.get("orientation", 1)),
        )

    def _picture(self, name: str, id: int) -> Picture:
        member = self._cameras[name].members[id]
        try:
            data = (self.source.root / member.path).read_bytes()
        except FileNotFoundError as error:
            raise ContentChanged(f"{member.path} disappeared while the episode was read") from error
        if len(data) != member.size:
            raise ContentChanged(f"{member.path} changed while the episode was read")
        return self._as_picture(name, id, data)
