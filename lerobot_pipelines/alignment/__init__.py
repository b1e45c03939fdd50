"""Alignment: one list of rows from streams that each keep their own time.

``align`` decides the rows (``timeline``), what of every stream serves each row (``nearest``,
``chunking``, ``window``, ``linear``, ``hold``; ``pictures``), which rows and segments stay
(``gaps``, ``filters``, ``rate``), and puts the features together (``features``). The order of these
steps is in ``plan``. Everything is int64 nanoseconds and sorted search; only stamps and numbers are
read, so the result depends on the recording and the configuration alone.
"""

from lerobot_pipelines.alignment.files import read_frames, write_frames
from lerobot_pipelines.alignment.plan import align

__all__ = ["align", "read_frames", "write_frames"]
