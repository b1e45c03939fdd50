"""Numbers of the files of a v3.0 dataset.

lerobot reads rows and episodes in the order of their paths and everything that lies there, so a
file is never replaced under its name: one that changes, and all behind it, get numbers that no file
ever had. What a late writer still sends then lands where nobody looks, or is refused.

Refused it is where something lies in the place. Such contested places are never empty again: they
are the first that new files get, so that those without rows (`datasets` reads them at the end of a
folder, and fails on one with files behind it) lie behind all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from lerobot_pipelines.datasets.ledger import Packing, VideoFile
from lerobot_pipelines.datasets.options import Options
from lerobot_pipelines.errors import Reason, Refused

DATA = "data"
EPISODES = "meta/episodes"

MAX_CHUNKS = 1000  # three digits in a folder's name, by whose order loaders go


def folder_of(camera: str) -> str:
    return f"videos/{camera}"


def next_number(packing: Packing, folder: str, old: Options, new: Options) -> int:
    """The lowest number that no commit has given to a file of the folder."""
    files = packing.videos.get(folder.removeprefix("videos/"), ())
    used = {
        DATA: packing.data_numbers,
        EPISODES: packing.episodes_numbers,
    }.get(folder, tuple(file.number for file in files))
    number = max(packing.next_numbers.get(folder, 0), max(used, default=-1) + 1)
    if old.files_per_chunk == new.files_per_chunk or not number:
        return number
    # The same number is another place now: begin behind the last chunk in use.
    return ((number - 1) // old.files_per_chunk + 1) * new.files_per_chunk


def ordered_numbers(
    counts: Sequence[int],
    old: Sequence[tuple[int, int]],
    is_kept: Callable[[int, int], bool],
    first: int,
    contested: Sequence[int] = (),
) -> tuple[int, ...]:
    """Of files that are read in the order of their numbers.

    ``old`` are numbers and counts as they were; ``is_kept(position, number)`` says whether that
    file may stay as it is. The first that may not, and all behind it, get the ``contested`` numbers
    (ascending) that are left, then new ones from ``first``.
    """
    kept = []
    for position, (count, (number, old_count)) in enumerate(zip(counts, old, strict=False)):
        if count != old_count or not is_kept(position, number):
            break
        kept.append(number)
    last = max(kept, default=-1)
    fresh = itertools.chain((one for one in contested if one > last), itertools.count(first))
    return (*kept, *itertools.islice(fresh, len(counts) - len(kept)))


def video_numbers(
    identities: Sequence[str],
    counts: Sequence[int],
    kept: Sequence[VideoFile],
    known: dict[str, list[int]],
    first: int,
    is_allowed: Callable[[int, str], bool],
) -> tuple[VideoFile, ...]:
    """Of one camera's files, those behind ``kept``: they are found by number, in any order.

    ``known`` are the numbers of old files by identity. ``is_allowed(number, identity)``: whether
    nothing else may come to that place.
    """
    numbered = list(kept)
    fresh = itertools.count(first)
    for identity, count in zip(identities, counts, strict=True):
        numbers = known.get(identity)
        number = numbers.pop(0) if numbers else next(fresh)
        while not is_allowed(number, identity):
            number = next(fresh)
        numbered.append(VideoFile(number=number, episodes=count))
    return tuple(numbered)


def refuse_other_chunks(fences: Sequence[str], old: Options, new: Options) -> None:
    """Contested places keep their names, and in chunks of another size their order is lost."""
    if fences and old.files_per_chunk != new.files_per_chunk:
        raise Refused(
            Reason.UNSUPPORTED,
            "dataset.chunks_size cannot be changed: an interrupted update has left files whose "
            f"names depend on it; put it back to {old.chunks_size}, or build the dataset anew "
            "under another dataset.pattern",
        )


def refuse_too_many(numbers: Sequence[int], options: Options) -> None:
    if max(numbers, default=0) >= MAX_CHUNKS * options.files_per_chunk:
        raise Refused(
            Reason.UNSUPPORTED,
            f"the dataset's files are numbered up to {max(numbers)}, and lerobot reads them in "
            "order only up to chunk-999; build it anew under another dataset.pattern",
        )
