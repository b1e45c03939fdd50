"""Whether a dataset is fit to train on: checked once, remembered beside it by fingerprint."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.loading.config import ValidationConfig
from lerobot_pipelines.loading.source import Source
from lerobot_pipelines.pipeline.workspace import default_cache_dir

logger = logging.getLogger(__name__)

RULES = 1  # of the checks; a new number makes old verdicts void


class Fault(BaseModel):
    """Something wrong with rows ``first`` to ``end`` (exclusive) of an episode.

    ``feature`` None: with the rows themselves, whatever is read of them. ``whole``: a fault of a
    file, which takes out the episode under every rule.
    """

    model_config = ConfigDict(frozen=True)

    episode: int
    feature: str | None
    reason: str  # unreadable, bad_timestamp, non_finite, bad_index, unknown_task, missing_frames,
    # not_constant_rate, corrupt_frame, black, frozen
    first: int
    end: int
    message: str
    whole: bool = False
    excludes: bool = True


class Verdict(BaseModel):
    """What was found. ``fingerprint`` is that of the content and the rules together."""

    model_config = ConfigDict(frozen=True)

    source: str
    level: str
    fingerprint: str
    episodes: int
    rows: int
    faults: tuple[Fault, ...] = ()

    def report(self) -> dict[str, Any]:
        """Counts and every fault, JSON-able; for people and scripts."""
        return {
            "source": self.source,
            "level": self.level,
            "episodes": self.episodes,
            "rows": self.rows,
            "faults": len(self.faults),
            "by_reason": dict(Counter(fault.reason for fault in self.faults)),
            "list": [fault.model_dump() for fault in self.faults],
        }


def judge(source: Source, rules: ValidationConfig) -> Verdict:
    """The verdict on a source: the remembered one, or a check that is then remembered.

    Only one process of a machine checks; the others wait for its verdict. Raises ``Refused``
    (corrupt_artifact) for a faulty dataset under ``exclude: error``.
    """
    from lerobot_pipelines.loading.converted import ConvertedSource

    if rules.level == "off" or not isinstance(source, ConvertedSource):
        return Verdict(
            source=source.name,
            level="off",
            fingerprint="",
            episodes=len(source.lengths),
            rows=int(source.lengths.sum()),
        )
    verdict = _remembered(source, rules)
    if rules.exclude == "error" and any(fault.excludes for fault in verdict.faults):
        told = "; ".join(fault.message for fault in verdict.faults[:5] if fault.excludes)
        raise Refused(Reason.CORRUPT_ARTIFACT, f"{source.name}: {told}")
    if verdict.faults:
        logger.warning(
            "%s has faults: %s", source.name, dict(Counter(f.reason for f in verdict.faults))
        )
    return verdict


def _remembered(source: Any, rules: ValidationConfig) -> Verdict:
    from lerobot_pipelines.loading.checking import check

    told = f"{RULES}\n{source.files.fingerprint()}\n{rules.model_dump_json(exclude={'exclude'})}"
    fingerprint = hashlib.sha256(told.encode()).hexdigest()
    places = _places(source, fingerprint)
    with _alone(fingerprint):
        for place in places:
            if (known := _read(place, fingerprint)) is not None:
                return known
        logger.info("checking %s (%s)", source.name, rules.level)
        verdict = Verdict(
            source=source.name,
            level=rules.level,
            fingerprint=fingerprint,
            episodes=len(source.lengths),
            rows=int(source.lengths.sum()),
            faults=tuple(check(source, rules)),
        )
        for place in places:
            if _write(place, verdict):
                break
    return verdict


def _places(source: Any, fingerprint: str) -> list[Path]:
    """Beside the dataset, or where that is not on this machine or read-only, in the cache."""
    root: Path | None = getattr(source.files, "root", None)
    cache = default_cache_dir() / "verdicts" / f"{fingerprint}.json"
    if root is None:
        return [cache]
    return [root.resolve().parent / f".{root.resolve().name}.verdict.json", cache]


def _read(place: Path, fingerprint: str) -> Verdict | None:
    try:
        verdict = Verdict.model_validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None
    return verdict if verdict.fingerprint == fingerprint else None


def _write(place: Path, verdict: Verdict) -> bool:
    part = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(verdict.model_dump_json(indent=1))
        part.replace(place)
    except OSError:
        return False
    return True


@contextmanager
def _alone(fingerprint: str) -> Iterator[None]:
    folder = default_cache_dir() / "verdicts"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / f"{fingerprint}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
