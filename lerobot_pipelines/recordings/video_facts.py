"""What a recorded video says of its pictures beside their times: size, key frames, and which way up
they are to be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lerobot_pipelines.config.schema import LimitsConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pictures.orientation import orientation_of_matrix

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


def require_size(stream: av.VideoStream, what: str, limits: LimitsConfig) -> None:
    """Raises ``Refused`` (too_large) for pictures above the limit."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise Refused(
            Reason.TOO_LARGE,
            f"{what} is {width}x{height} pixels large; limits.picture_megapixels allows "
            f"{limits.picture_megapixels:g} million; raise it and retry the episode if that is "
            "right",
        )


def first_key_frame(are_key: list[bool], what: str) -> int:
    """How many pictures come before the first that can be decoded by itself.

    Raises ``Refused`` (corrupt_picture) if there is none.
    """
    if True not in are_key:
        raise Refused(
            Reason.CORRUPT_PICTURE,
            f"{what}: none of its {len(are_key)} pictures is a key frame, without which none can "
            "be decoded; record with key frames repeated (the encoder's GOP length), or cut the "
            "video at a key frame",
        )
    return are_key.index(True)


def orientation_of(container: InputContainer, stream: av.VideoStream) -> int:
    """EXIF's 1 to 8 by the container's display matrix, which players obey; 1: as they are.

    Decodes the first picture, to which the matrix is attached; one that cannot be is upright.
    """
    import av

    try:
        container.seek(0, stream=stream)
        for frame in container.decode(stream):
            matrix = frame.side_data.get("DISPLAYMATRIX")
            return 1 if matrix is None else orientation_of_matrix(bytes(matrix))
    except av.FFmpegError:
        pass  # the decoder of pictures says it
    return 1
