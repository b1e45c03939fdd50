"""Which picture each camera shows on each row.

The nearest one, of two equally near the earlier; causal: the last at or before the row. Pictures
are never interpolated. The base camera of a base timeline is its own row. A camera whose role is
``downsample`` is first thinned by time to its ``target_fps`` (else the dataset's fps), and only the
pictures left may serve.

One picture may serve several rows, as it must where a camera is slower than the rows or lost a
picture; it only has to lie within the tolerance of each. ``utilisation`` in the report then shows
how many different pictures were used, and the ages how far they lie from their rows.

The tolerance is the camera's, else ``picture_tolerance_ms``, else half a row period plus
``tolerance_ms`` (a whole period if causal); a camera's ``max_age_ms`` limits it further. A row for
which some camera has no picture is dropped and counted as ``tolerance:<camera>``: an mp4 has one
frame for each row.
"""

from __future__ import annotations

from lerobot_pipelines.alignment.nearest import select_within
from lerobot_pipelines.alignment.sampling import Selection
from lerobot_pipelines.alignment.sources import PictureSource
from lerobot_pipelines.model import Stamps


def select_pictures(source: PictureSource, rows: Stamps, *, causal: bool) -> Selection:
    """The picture of each row, as a position among ``source.stamps``."""
    return select_within(
        source.stamps, rows, older_ns=source.older_ns, newer_ns=source.newer_ns, causal=causal
    )
