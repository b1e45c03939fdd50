"""Raw pictures in planes, as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lerobot_pipelines.model import Picture
from lerobot_pipelines.pictures.planar import planes_of

if TYPE_CHECKING:
    import av

# YV12 is I420 with its two colours the other way round.
_FORMATS = {"yv12": "yuv420p", "nv61": "nv16"}
_SWAPPED = frozenset({"yv12", "nv61"})


def planar_frame(picture: Picture) -> av.VideoFrame:
    """A frame of a picture in one of ``pictures.planar.PLANAR`` that is there as a whole."""
    import av

    width, height = picture.width or 0, picture.height or 0
    layout = _FORMATS.get(picture.encoding, picture.encoding)
    frame = av.VideoFrame(width, height, layout)
    data = np.frombuffer(picture.data, np.uint8)
    extents = list(planes_of(picture.encoding, width, height, picture.step or width))
    for number, extent in enumerate(extents):
        source = np.lib.stride_tricks.as_strided(
            data[extent.start :], (extent.rows, extent.row_bytes), (extent.step, 1), writeable=False
        )
        if picture.encoding in _SWAPPED and number:
            if len(extents) == 3:
                number = 3 - number
            else:  # pairs, in the other order
                source = source.reshape(extent.rows, -1, 2)[..., ::-1].reshape(extent.rows, -1)
        plane = frame.planes[number]
        target = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        target[: extent.rows, : extent.row_bytes] = source
    frame.color_range = 1  # cameras of these layouts give limited-range YUV
    return frame
