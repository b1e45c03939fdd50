"""Which pictures may stand in an mp4 as the camera wrote them."""

from __future__ import annotations

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Picture
from lerobot_pipelines.pictures.jpeg import JpegHeader, NotAJpeg, read_header
from lerobot_pipelines.video.pictures import corrupt


class CopyCheck:
    """Looks at the headers of one camera's pictures: whole baseline JPEGs, all of one kind."""

    def __init__(self, feature: str) -> None:
        self.first: JpegHeader | None = None
        self._feature = feature

    @property
    def details(self) -> dict[str, object]:
        if self.first is None:
            return {}
        return {"source_size": [self.first.width, self.first.height], "scaled_pictures": 0}

    def accept(self, picture: Picture) -> JpegHeader:
        """The header of a picture that may be copied; ``Refused`` with the remedy otherwise."""
        if picture.encoding != "jpeg":
            raise self._refused(picture, f"is {picture.encoding}")
        try:
            header = read_header(picture.data)
        except NotAJpeg as fault:
            raise corrupt(picture, str(fault)) from fault
        if not header.baseline:
            raise self._refused(picture, "is no baseline JPEG")
        if (header.orientation, picture.orientation) != (1, 1):
            raise self._refused(picture, "is turned by an EXIF orientation or its video's matrix")
        first = self.first = self.first or header
        if (header.width, header.height) != (first.width, first.height):
            raise Refused(
                Reason.PICTURE_SIZE_CHANGED,
                f"picture {picture.id} of {self._feature} is {header.width}x{header.height} "
                f"pixels large, the first {first.width}x{first.height}; codec copy cannot scale: "
                "set video.codec: h264 and video.size_change: scale",
            )
        if header.sampling != first.sampling:
            raise self._refused(picture, "has another chroma sampling than the first")
        return header

    def _refused(self, picture: Picture, fault: str) -> Refused:
        return Refused(
            Reason.UNSUPPORTED,
            f"picture {picture.id} of {self._feature} {fault}, so codec copy cannot put it into a "
            "video unchanged; set video.codec: h264",
        )
