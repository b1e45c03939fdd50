"""The checks behind a verdict: rows and numbers, the index of every mp4, every picture."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.verify.view import Episode
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.loading.config import ValidationConfig
from lerobot_pipelines.loading.source import ROW_KEYS
from lerobot_pipelines.loading.verdict import Fault

if TYPE_CHECKING:
    from lerobot_pipelines.loading.converted import ConvertedSource
    from lerobot_pipelines.video import VideoProbe

logger = logging.getLogger(__name__)

TOLERANCE_S = 1e-4  # lerobot's
TELL_S = 10.0  # between two words on how far a long check is
_SMALL = (64, 48)  # pictures are compared at this size


def check(source: ConvertedSource, rules: ValidationConfig) -> Iterator[Fault]:
    """Every fault, by episode for rows and by file for videos."""
    for episode in range(len(source.lengths)):
        yield from _rows(source, episode)
    files: dict[tuple[str, str], list[Episode]] = {}
    for one in source.view.episodes:
        for camera, span in one.videos.items():
            files.setdefault((camera, span.path), []).append(one)
    # Decoding leaves Python to FFmpeg, so threads do run side by side.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(_video, source, camera, name, owners, rules)
            for (camera, name), owners in files.items()
        ]
        told = time.monotonic()
        for number, job in enumerate(jobs):
            yield from job.result()
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                # A warning, so that whoever waits sees it without setting up logging.
                logger.warning(
                    "%s is checked for the first time: %d of %d video files done; the verdict is "
                    "remembered",
                    source.name,
                    number + 1,
                    len(jobs),
                )


def _rows(source: ConvertedSource, episode: int) -> Iterator[Fault]:
    length = int(source.lengths[episode])
    rows = np.arange(length)
    where = f"{source.name}: episode {episode}"
    try:
        values = {
            key: source.values(key, episode, rows)
            for key, spec in source.features.items()
            if spec.dtype != "video"
        }
    except Refused as refusal:
        yield Fault(
            episode=episode,
            feature=None,
            reason="unreadable",
            first=0,
            end=length,
            message=refusal.message,
            whole=True,
        )
        return
    first = int(source.lengths[:episode].sum())
    expected = {"frame_index": rows, "index": rows + first, "episode_index": rows * 0 + episode}
    for key, wanted in expected.items():
        if (values[key].ravel() != wanted).any():
            yield Fault(
                episode=episode,
                feature=None,
                reason="bad_index",
                first=0,
                end=length,
                message=f"{where}: {key} does not count as it must",
                whole=True,
            )
    late = np.abs(values["timestamp"].ravel() - rows / source.fps) > TOLERANCE_S
    yield from _runs(late, episode, None, "bad_timestamp", f"{where}: timestamps are not k/fps")
    tasks = values["task_index"].ravel()
    unknown = (tasks < 0) | (tasks >= len(source.tasks))
    yield from _runs(unknown, episode, None, "unknown_task", f"{where}: task_index names no task")
    for key, found in values.items():
        if found.dtype.kind == "f" and key not in ROW_KEYS:
            bad = ~np.isfinite(found.reshape(length, -1)).all(axis=1)
            yield from _runs(
                bad, episode, key, "non_finite", f"{where}: {key} holds NaN or infinity"
            )


def _video(
    source: ConvertedSource,
    camera: str,
    name: str,
    owners: list[Episode],
    rules: ValidationConfig,
) -> list[Fault]:
    return list(_video_faults(source, camera, name, owners, rules))


def _video_faults(
    source: ConvertedSource,
    camera: str,
    name: str,
    owners: list[Episode],
    rules: ValidationConfig,
) -> Iterator[Fault]:
    from lerobot_pipelines.video import probe

    try:
        path = source.files.path(name)
    except Refused as refusal:
        yield from _whole(owners, camera, "unreadable", refusal.message)
        return
    try:
        facts = probe(path)
    except Refused as refusal:
        yield from _whole(owners, camera, "unreadable", f"{path}: {refusal.message}")
        return
    if facts.fps != source.fps or not facts.constant_rate or facts.first_pts != 0:
        yield from _whole(
            owners, camera, "not_constant_rate", f"{path}: frames are not at k / {source.fps} s"
        )
        return
    for owner in owners:
        begin = round(owner.videos[camera].from_timestamp * source.fps)
        have = max(facts.frames - begin, 0)
        if have < owner.length:
            yield Fault(
                episode=owner.index,
                feature=camera,
                reason="missing_frames",
                first=have,
                end=owner.length,
                message=f"{path}: {owner.length - have} frames of episode {owner.index} missing",
                whole=True,
            )
    if rules.level == "frames":
        yield from _pictures(source, camera, path, facts, owners, rules)


def _pictures(
    source: ConvertedSource,
    camera: str,
    path: Path,
    facts: VideoProbe,
    owners: list[Episode],
    rules: ValidationConfig,
) -> Iterator[Fault]:
    decoded, black, same, fault = _look(path, facts, rules.black_below)
    broken = ~decoded
    frozen = _long_runs(same, int(rules.frozen_s * source.fps))
    for owner in owners:
        begin = round(owner.videos[camera].from_timestamp * source.fps)
        part = slice(begin, begin + owner.length)
        where = f"{path}: episode {owner.index}"
        yield from _runs(
            broken[part], owner.index, camera, "corrupt_frame", f"{where}: {fault or 'damaged'}"
        )
        yield from _runs(
            (black & decoded)[part],
            owner.index,
            camera,
            "black",
            f"{where}: {camera} is black",
            excludes=not rules.keep_black,
        )
        yield from _runs(
            frozen[part],
            owner.index,
            camera,
            "frozen",
            f"{where}: {camera} shows the same picture for over {rules.frozen_s:g} s",
            excludes=not rules.keep_frozen,
        )


def _look(
    path: Path, facts: VideoProbe, black_below: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], str]:
    """Which frames decode, are black, are the same as the one before; and the decoder's fault."""
    import av

    decoded, black, same = (np.zeros(facts.frames, dtype=np.bool_) for _ in range(3))
    before: NDArray[Any] | None = None
    fault = ""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}
            step = 1 / (facts.fps * stream.time_base)
            for frame in container.decode(stream):
                number = round(frame.pts / step)
                if not 0 <= number < facts.frames or frame.is_corrupt:
                    continue
                small = frame.reformat(*_SMALL, format="gray").to_ndarray().astype(np.int16)
                decoded[number] = True
                black[number] = small.mean() < black_below and small.std() < black_below
                same[number] = before is not None and bool((small == before).all())
                before = small
    except av.FFmpegError as error:
        fault = str(error)
    return decoded, black, same, fault


def _long_runs(same: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Of the runs of repeated pictures, those longer than ``longest`` frames."""
    result = np.zeros_like(same)
    for first, end in _spans(same):
        if end - first >= longest:
            result[first:end] = True
    return result


def _runs(
    bad: NDArray[np.bool_],
    episode: int,
    feature: str | None,
    reason: str,
    message: str,
    *,
    excludes: bool = True,
) -> Iterator[Fault]:
    for first, end in _spans(bad):
        yield Fault(
            episode=episode,
            feature=feature,
            reason=reason,
            first=first,
            end=end,
            message=f"{message} (rows {first} to {end - 1})",
            excludes=excludes,
        )


def _spans(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    for first, end in edges.reshape(-1, 2):
        yield int(first), int(end)


def _whole(owners: Iterable[Episode], camera: str, reason: str, message: str) -> Iterator[Fault]:
    for owner in owners:
        yield Fault(
            episode=owner.index,
            feature=camera,
            reason=reason,
            first=0,
            end=owner.length,
            message=message,
            whole=True,
        )
