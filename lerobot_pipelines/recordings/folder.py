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

from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig, LayoutConfig, StreamConfig
from lerobot_pipelines.errors import ConfigError, ContentChanged, Reason, Refused
from lerobot_pipelines.intake import Intake, IntakeEntry
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
from lerobot_pipelines.recordings.chronology_report import report_chronology
from lerobot_pipelines.recordings.folder_files import (
    FolderFiles,
    described,
    parquet_path,
    sort_files,
)
from lerobot_pipelines.recordings.layout import PARQUET_SUFFIX
from lerobot_pipelines.recordings.parquet_file import ParquetFile, Samples
from lerobot_pipelines.recordings.picture_files import CORRUPT, CameraFiles, read_camera
from lerobot_pipelines.recordings.rows import AlignedRows
from lerobot_pipelines.recordings.sidecar import read_metadata
from lerobot_pipelines.recordings.video_file import packets, read_video, video_of

logger = logging.getLogger(__name__)

# Rows that are no measurements, as opposed to measurements that repeat a stamp.
_ROW_FAULTS = {
    "bad_stamp": Reason.BAD_STAMPS,
    "wrong_length": Reason.MISSING_FIELD,
    "non_finite": Reason.NON_FINITE,
}


def open_folder(source: EpisodeSource, config: DatasetConfig | None = None) -> FolderRecording:
    """Open an episode of parquet and picture files; see ``open_recording``.

    Raises ``Refused``: missing_camera and missing_stream for what is required and not there,
    corrupt_picture and non_finite where more than ``filtering.max_corrupt_fraction`` of a stream is
    damaged, corrupt_container for an unreadable parquet file, bad_stamps, missing_field.
    """
    files = sort_files(source, config.layout if config is not None else LayoutConfig())
    recording = FolderRecording(source, files)
    if config is None:
        recording.add_everything()
    else:
        recording.add_configured(config)
    return recording


class FolderRecording(AlignedRows):
    """See ``model.Recording``."""

    def __init__(self, source: EpisodeSource, files: FolderFiles) -> None:
        self.source = source
        metadata, faults, told = read_metadata(source.root, files.metadata)
        self.metadata: Mapping[str, Any] = metadata
        self._faults = [*files.faults, *faults]
        self.faults: Sequence[Fault] = self._faults
        self._intake = Intake(told)
        self._files = files
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
            name: enumerate(packets(self.source.root, video))
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
            name = self._free_name(path[: -len(PARQUET_SUFFIX)], origin)
            with self._left_out(name, origin):
                self._add_vectors(name, self._samples(path, None), origin, None)
        for folder, members in self._files.cameras.items():
            origin = members[0].path.rpartition("/")[0]
            name = self._free_name(folder, origin)
            with self._left_out(name, origin):
                self._add_camera(name, self._pictures(name, folder, None), origin, None)

    def add_configured(self, config: DatasetConfig) -> None:
        """The streams and cameras of a configuration. Faults of optional ones leave those out."""
        for stream in config.streams:
            path = parquet_path(self._files, stream.file or stream.name)
            with nullcontext() if stream.required else self._left_out(stream.name, path):
                samples = self._samples(path, stream)
                _refuse_damaged_rows(stream.name, path, samples, config)
                self._add_vectors(stream.name, samples, self._files.joints[path], stream)
        for camera in config.cameras:
            folder = (camera.folder or camera.name).strip("/")
            required = camera.required and config.filtering.require_all_cameras
            required = required or camera == config.base_camera
            with nullcontext() if required else self._left_out(camera.name, folder):
                pictures = self._pictures(camera.name, folder, camera)
                _refuse_damaged_pictures(camera.name, pictures, config)
                origin = pictures.members[0].path.rpartition("/")[0]
                self._add_camera(camera.name, pictures, origin, camera)

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

    def _samples(self, path: str, stream: StreamConfig | None) -> Samples:
        if path not in self._files.joints:
            raise Refused(
                Reason.MISSING_STREAM,
                f"episode {self.source.key} has no joints file {path}; there are "
                f"{described(self._files.joints)}",
            )
        member_path = self._files.joints[path]
        file = ParquetFile(self.source.root / member_path, member_path)
        try:
            return file.samples(stream, stream.time_unit if stream is not None else "auto")
        finally:
            file.close()

    def _add_vectors(
        self, name: str, samples: Samples, origin: str, config: StreamConfig | None
    ) -> None:
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
            "backwards": samples.chronology.backwards,
        }
        self._faults += [
            Fault(name, origin, reason, count) for reason, count in samples.dropped.items()
        ]
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
                f"episode {self.source.key} has no pictures (.jpg, .jpeg, .png) of camera {name} "
                f"in the folder {folder}; there are {described(self._files.cameras)}",
            )
        unit = camera.time_unit if camera is not None else "auto"
        if video_of(members) is not None:
            return read_video(self.source.root, name, members, unit, f"camera {name}")
        return read_camera(self.source.root, name, members, unit, f"camera {name}")

    def _add_camera(
        self, name: str, pictures: CameraFiles, origin: str, camera: CameraConfig | None
    ) -> None:
        stamps, steps = pictures.stamps, pictures.chronology.steps
        report_chronology(self._intake, name, pictures.chronology, stamps)
        if camera is not None:
            stamps, steps = shifted(stamps, camera), shifted_steps(steps, camera)
        self._faults += pictures.faults
        self._cameras[name] = pictures
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


def _refuse_damaged_rows(name: str, path: str, samples: Samples, config: DatasetConfig) -> None:
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


def _refuse_damaged_pictures(name: str, pictures: CameraFiles, config: DatasetConfig) -> None:
    limit = config.filtering.max_corrupt_fraction
    damaged = [fault for fault in pictures.faults if fault.reason in CORRUPT]
    if damaged and pictures.corrupt > limit * pictures.found:
        faults = ", ".join(f"{fault.count} {fault.reason}" for fault in damaged)
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
