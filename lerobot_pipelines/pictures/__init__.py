"""What the bytes of a picture say of themselves: its kind, whether it is whole, how large it is.

One judge for every container, so that a picture is accepted or left out by the same rule whether it
lies in a folder or in a bag. Nothing here decodes a picture, and no size that a picture claims is
believed before it is held against its bytes and a limit.
"""

from lerobot_pipelines.pictures.headers import (
    PictureHeader,
    UnreadablePicture,
    read_picture_header,
)
from lerobot_pipelines.pictures.judge import (
    ENCODINGS,
    HEAD_BYTES,
    PILLOW_ENCODINGS,
    TAIL_BYTES,
    Verdict,
    encoding_of,
    fault_of,
    kind_of,
)

__all__ = [
    "ENCODINGS",
    "HEAD_BYTES",
    "PILLOW_ENCODINGS",
    "TAIL_BYTES",
    "PictureHeader",
    "UnreadablePicture",
    "Verdict",
    "encoding_of",
    "fault_of",
    "kind_of",
    "read_picture_header",
]
