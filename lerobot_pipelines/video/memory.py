"""How much memory encoding takes, and which cameras to encode together so that it fits a limit.

Fewer cameras at once means more passes over the recording and the same bytes: what an encoder makes
must not depend on the memory of the machine, so its threads and look-ahead are left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from lerobot_pipelines.config.schema import LimitsConfig
from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.model import Recording
from lerobot_pipelines.video.codecs import EncoderSettings
from lerobot_pipelines.video.pictures import PictureDecoder
from lerobot_pipelines.video.plan import Track, wanted_pictures

# A process that has loaded this project and its libraries, with the numbers of one recording and
# the queues; measured: 215 to 270 MB, of which libraries in memory are 80.
PROCESS_MB = 270

# One camera's decoder, look-ahead, reference frames and statistics: MB at any size, and MB per
# million pixels. Measured with one and two cameras of 128x96 to 1280x720, presets to medium,
# default threads, and rounded up; slower presets look further ahead.
_CAMERA_MB = {
    "copy": (15, 120),
    "libx264": (20, 150),
    "libx265": (50, 300),
    "libsvtav1": (50, 500),
}
_PATIENT_PRESETS = {"slow": 1.3, "slower": 1.6, "veryslow": 1.8, "placebo": 2.0}
_PER_THREAD = 0.1  # frame threads beyond four hold a frame each


def camera_mb(settings: EncoderSettings, width: int, height: int) -> int:
    """What encoding one camera of that size takes at most, in MB."""
    fixed, per_megapixel = _CAMERA_MB[settings.encoder]
    patience = _PATIENT_PRESETS.get(settings.options.get("preset", ""), 1.0)
    threads = 1 + _PER_THREAD * max(0, settings.threads - 4)
    return round(fixed + per_megapixel * width * height / 1e6 * patience * threads)


def require_process(limit_mb: int, processes: int) -> int:
    """Each process's share of the limit; ``ConfigError`` if it holds not even the program."""
    # The process that hands out the work holds no recording.
    share = limit_mb if processes == 1 else (limit_mb - PROCESS_MB // 2) // processes
    if share < PROCESS_MB:
        needed = PROCESS_MB if processes == 1 else PROCESS_MB // 2 + processes * PROCESS_MB
        raise ConfigError(
            f"limit_memory_mb is {limit_mb}; {processes} process{'es' * (processes > 1)} of this "
            f"program need {needed} MB before the first picture: raise it to {needed} plus the "
            "cameras, or take fewer workers"
        )
    return share


def camera_groups(
    recording: Recording,
    tracks: Sequence[Track],
    settings: Sequence[EncoderSettings],
    limit_mb: int,
    limits: LimitsConfig,
) -> list[list[int]]:
    """Positions of the tracks to encode together, so that the process stays below the limit.

    Reads one picture per camera, for its size. Raises ``Refused`` (bad_config) with the figure
    needed if one camera alone does not fit beside what the process already holds.
    """
    needs = [
        camera_mb(one, *_size(recording, track, limits))
        for track, one in zip(tracks, settings, strict=True)
    ]
    held = resident_mb()  # now that decoders and the bag's chunks are there too
    groups: list[list[int]] = []
    used = 0
    for position, need in enumerate(needs):
        if held + need > limit_mb:
            raise Refused(
                Reason.BAD_CONFIG,
                f"limit_memory_mb leaves {limit_mb} MB to this process, of which {held} are in "
                f"use; encoding {tracks[position].feature} takes {need} more: allow "
                f"{held + need} MB per process, or make the pictures smaller",
            )
        if not groups or held + used + need > limit_mb:
            groups.append([])
            used = 0
        groups[-1].append(position)
        used += need
    return groups


def release() -> None:
    """Give back to the system what alignment, or an encoder that has ended, held; some 100 MB of it
    otherwise stay in the allocators' pools, one per thread, and the next encoder's come on top."""
    import ctypes

    if (pyarrow := sys.modules.get("pyarrow")) is not None:
        pyarrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError, TypeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


def resident_mb() -> int:
    """What this process holds now; where the system does not say, what it held at most."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 1_000_000
    import resource

    return pages * resource.getpagesize() // 1_000_000


def _size(recording: Recording, track: Track, limits: LimitsConfig) -> tuple[int, int]:
    """Width and height of the track's first picture, which is decoded."""
    decoder = PictureDecoder(limits.max_pixels)
    for frame in _frames(recording, track, decoder):
        return frame
    return 0, 0


def _frames(
    recording: Recording, track: Track, decoder: PictureDecoder
) -> Iterator[tuple[int, int]]:
    wanted = wanted_pictures(recording, [track])
    first = {name: np.asarray(ids[:1]) for name, ids in wanted.items()}
    for picture in recording.pictures(first):
        for decoded in (*decoder.decode(picture), *decoder.flush()):
            yield decoded.frame.width, decoded.frame.height
