"""How far the conversion of a dataset is, as the bucket has it: counts, refusals, speed.

Listings of folders, verdicts and refusals, and the dataset's ledger; no episode's files are listed.
So content that was changed under a verdict still counts as converted here, until the sensor or
``scan --full`` has looked at it. All else is as ``episode_state`` decides for everybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lerobot_pipelines.pipeline.dataset import dataset_sizes, dataset_snapshots, is_up_to_date
from lerobot_pipelines.pipeline.discovery import list_names, source_of
from lerobot_pipelines.pipeline.episode_state import HOLDS_ROWS, State, bad_name
from lerobot_pipelines.pipeline.lost import LostRun, read_lost
from lerobot_pipelines.pipeline.verdicts import Outcome, Refusal, VerdictReader, refusal_of
from lerobot_pipelines.pipeline.workspace import Workspace

# The speed is that of the last hour, so that a night's pause does not count.
SPEED_WINDOW_S = 3600.0
SHORTEST_SPAN_S = 60.0
SECOND_NS = 1_000_000_000
# All others are pending.
ENDED = (State.CONVERTED, State.STALE, State.DAMAGED, State.REFUSED, State.CLEARED)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """``source`` is "" for a dataset without sources. ``last_update_s``: since 1970, or None.

    ``cleared`` ones failed, and a person has set them aside until their content changes.
    ``stale`` and ``damaged`` episodes were converted and are not as they should be: with another
    configuration or program, or with a verdict that cannot be read. ``pending`` ones have no
    verdict, or one that the present configuration does away with.
    """

    source: str
    pending: int
    converted: int
    stale: int
    damaged: int
    refused: int
    cleared: int
    last_update_s: float | None


@dataclass(frozen=True, slots=True)
class DatasetSize:
    format: str
    episodes: int
    frames: int


@dataclass(frozen=True, slots=True)
class Status:
    """``sources`` sum up to the totals; ``seconds_left`` is None where nothing moves."""

    dataset: str
    taken_s: float
    pending: int
    converted: int
    stale: int
    damaged: int
    refused: int
    cleared: int
    sources: tuple[SourceStatus, ...]
    refusals: tuple[Refusal, ...]
    per_minute: float
    seconds_left: float | None
    datasets: tuple[DatasetSize, ...]
    is_up_to_date: bool
    warnings: Mapping[str, int] = field(default_factory=dict)  # code -> converted episodes
    lost: tuple[LostRun, ...] = ()  # pending ones whose runs ended without a verdict
    cleared_ones: tuple[Refusal, ...] = ()  # what they failed for, before they were set aside
    pending_keys: tuple[str, ...] = ()

    @property
    def reasons(self) -> Counter[str]:
        return Counter(refusal.reason for refusal in self.refusals)

    @property
    def episodes(self) -> int:
        ended = self.converted + self.stale + self.damaged + self.refused + self.cleared
        return self.pending + ended


class StatusReader:
    """Reads a dataset's status again and again, and each verdict once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._verdicts = VerdictReader(workspace)

    def read(self, now_ns: int) -> Status:
        workspace, config = self._workspace, self._workspace.config
        snapshots = dataset_snapshots(workspace)
        outcomes = self._verdicts.read(snapshots.values())
        names = list_names(workspace.storage, config, known=outcomes.keys())
        there = {key: outcomes[key] for key in names.keys if key in outcomes}
        there |= {key: Outcome(0, bad_name(fault)) for key, fault in names.bad}
        sources = _by_source(workspace, [*names.keys, *(key for key, _ in names.bad)], there)
        pending = sum(source.pending for source in sources)
        per_minute = _per_minute([one.modified_ns for one in there.values()], now_ns)
        return Status(
            dataset=workspace.dataset,
            taken_s=now_ns / SECOND_NS,
            pending=pending,
            converted=sum(source.converted for source in sources),
            stale=sum(source.stale for source in sources),
            damaged=sum(source.damaged for source in sources),
            refused=sum(source.refused for source in sources),
            cleared=sum(source.cleared for source in sources),
            sources=sources,
            refusals=_refusals(there, State.REFUSED),
            per_minute=per_minute,
            seconds_left=pending / per_minute * 60 if pending and per_minute else None,
            datasets=tuple(
                DatasetSize(str(fmt), episodes, frames)
                for fmt, (episodes, frames) in dataset_sizes(workspace, snapshots).items()
            ),
            is_up_to_date=is_up_to_date(workspace),
            warnings=_warnings(there.values()),
            lost=_lost(workspace, frozenset(names.keys) - there.keys()),
            cleared_ones=_refusals(there, State.CLEARED),
            pending_keys=tuple(key for key in names.keys if _is_pending(there.get(key))),
        )


def _refusals(outcomes: Mapping[str, Outcome], state: State) -> tuple[Refusal, ...]:
    return tuple(
        refusal_of(key, one.state) for key, one in outcomes.items() if one.state.state is state
    )


def _is_pending(outcome: Outcome | None) -> bool:
    return outcome is None or outcome.state.state not in ENDED


def _lost(workspace: Workspace, pending: Collection[str]) -> tuple[LostRun, ...]:
    return tuple(one for one in read_lost(workspace) if one.key in pending)


def _warnings(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """By code: the converted episodes that have a warning of it."""
    held = (one.state.verdict for one in outcomes if one.state.state in HOLDS_ROWS)
    counts = Counter(code for verdict in held if verdict is not None for code in verdict.warnings)
    return dict(sorted(counts.items()))


def _by_source(
    workspace: Workspace, keys: Sequence[str], outcomes: Mapping[str, Outcome]
) -> tuple[SourceStatus, ...]:
    config = workspace.config
    by_source: dict[str, list[str]] = {one.strip("/"): [] for one in config.storage.sources}
    for key in keys:
        by_source.setdefault(source_of(config, key) or "", []).append(key)
    return tuple(_source(name, by_source[name], outcomes) for name in sorted(by_source))


def _source(name: str, keys: Sequence[str], outcomes: Mapping[str, Outcome]) -> SourceStatus:
    ended = [outcomes[key] for key in keys if key in outcomes]
    states = Counter(one.state.state for one in ended)
    newest_ns = max((one.modified_ns for one in ended), default=0)
    return SourceStatus(
        source=name,
        pending=len(keys) - sum(states[state] for state in ENDED),
        converted=states[State.CONVERTED],
        stale=states[State.STALE],
        damaged=states[State.DAMAGED],
        refused=states[State.REFUSED],
        cleared=states[State.CLEARED],
        last_update_s=newest_ns / SECOND_NS if newest_ns else None,
    )


def _per_minute(times_ns: Sequence[int], now_ns: int) -> float:
    ages_s = [(now_ns - time_ns) / SECOND_NS for time_ns in times_ns]
    recent = [age_s for age_s in ages_s if age_s <= SPEED_WINDOW_S]
    return len(recent) / max(max(recent), SHORTEST_SPAN_S) * 60 if recent else 0.0
