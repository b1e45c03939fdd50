"""Recordings that exist only as streams with stamps, for what a suggestion decides from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import (
    Clock,
    EpisodeSource,
    Fault,
    Member,
    Stamps,
    Stream,
    StreamKind,
)
from lerobot_pipelines.suggestions.candidates import Candidate, candidates_of
from lerobot_pipelines.suggestions.document import document
from lerobot_pipelines.suggestions.draft import Draft, draft_of
from lerobot_pipelines.suggestions.subject import Subject
from lerobot_pipelines.suggestions.trial import loaded

START_NS = 1_764_167_571 * 10**9
SUBJECT = Subject("block", "raw", "stack", "the folder's name", "unknown", "")


class MadeUp:
    """A ``model.Recording`` of a bag without pictures or numbers."""

    def __init__(self, *streams: tuple[Stream, Stamps], root: Path = Path("/nowhere/raw")) -> None:
        self.source = EpisodeSource("task/e.bag", root, (Member("task/e.bag", 1, "x"),), "file:x")
        self.streams = {stream.name: stream for stream, _ in streams}
        self._stamps = {stream.name: stamps for stream, stamps in streams}
        self.faults: tuple[Fault, ...] = ()
        self.intake = ()
        self.metadata: dict[str, Any] = {}

    def timestamps(self, stream: str) -> Stamps:
        return self._stamps[stream]


def stream(
    name: str,
    rate_hz: float = 30.0,
    seconds: float = 10.0,
    *,
    start_s: float = 0.0,
    dimension: int = 7,
    names: tuple[str, ...] | None = None,
    keep: Any = None,
    topic: str | None = None,
    **details: Any,
) -> tuple[Stream, Stamps]:
    """A topic sampled at ``rate_hz``; ``keep`` chooses the seconds that were recorded."""
    count = max(1, round(rate_hz * seconds))
    seconds_at = start_s + np.arange(count) / rate_hz
    if keep is not None:
        seconds_at = seconds_at[keep(seconds_at)]
    stamps = START_NS + np.round(seconds_at * 1e9).astype(np.int64)
    kind = StreamKind.PICTURE if "image" in name else StreamKind.VECTOR
    made = Stream(
        name=name,
        kind=kind,
        count=len(stamps),
        start_ns=int(stamps[0]),
        end_ns=int(stamps[-1]),
        clock=Clock.RECEIVE,
        origin=topic or name,
        dimension=None if kind is StreamKind.PICTURE else dimension,
        element_names=names,
        details={"type": "std_msgs/Float64MultiArray", **details},
    )
    return made, stamps


def candidates(*streams: tuple[Stream, Stamps]) -> list[Candidate]:
    recording: Any = MadeUp(*streams)
    return candidates_of(recording)


def drafted(*streams: tuple[Stream, Stamps]) -> Draft:
    draft = draft_of(candidates(*streams))
    assert draft is not None
    return draft


def suggested(*streams: tuple[Stream, Stamps]) -> tuple[str, DatasetConfig]:
    """The text, and what it says: a sound configuration whatever the names."""
    text = document(drafted(*streams), SUBJECT, head=["made up"], remarks=[])
    return text, loaded(text)
