"""``suggest``: drafts a configuration, tries it, and changes it until it converts or cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lerobot_pipelines.errors import Reason
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.model import EpisodeSource, Recording
from lerobot_pipelines.recordings import report_intake
from lerobot_pipelines.suggestions.candidates import Candidate, Kind, candidates_of
from lerobot_pipelines.suggestions.document import document
from lerobot_pipelines.suggestions.draft import (
    Chosen,
    Draft,
    draft_of,
    with_receive_clock,
)
from lerobot_pipelines.suggestions.losses import losses_of
from lerobot_pipelines.suggestions.platforms import platform_suggestion
from lerobot_pipelines.suggestions.subject import Subject, subject_of
from lerobot_pipelines.suggestions.trial import Trial, try_text

MAX_TRIALS = 6
# A few rows without a near sample are what jitter makes; more ask for a wider tolerance.
_TOO_MANY_DROPPED = 0.02
MAX_TOLERANCE_MS = 200.0

_HOLES = {Reason.GAP: "There is a hole", Reason.CLOCK_STEP: "A clock was set while recording"}

# What a person should know of the recording before reading on, beside what is left out.
_REMARKED = frozenset({IntakeCode.UNUSED, IntakeCode.UNREAD})


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``text``: a YAML file, "" where nothing can be suggested. ``problem``: why it does not
    convert the recording as it is and what a person has to decide; None if it does."""

    text: str
    problem: str | None = None


def suggest(recording: Recording) -> Suggestion:
    """For a recording that was opened without a configuration."""
    subject = subject_of(recording)
    if (known := platform_suggestion(recording, subject)) is not None:
        return Suggestion(known[0])
    candidates = candidates_of(recording)
    intake = report_intake(recording)
    losses = losses_of(recording, candidates, intake)
    usable = losses.usable(candidates)
    has_camera = any(one.kind in (Kind.CAMERA, Kind.DEPTH) for one in usable)
    if losses.cameras and not has_camera:
        return Suggestion("", f"no camera can be read: {_joined(losses.cameras)}")
    draft = draft_of(usable)
    if draft is None:
        return Suggestion("", _joined(losses.joints) or _nothing(candidates))
    draft = replace(draft, left_out=(*losses.told(), *draft.left_out))
    remarks = list(_remarks(intake, losses.names | {one.name for one in draft.left_out}))
    found = _tried(draft, subject, recording.source, remarks)
    if losses.joints and not draft.streams and found.problem is None:
        lost = f"its joints cannot be read, and pictures alone are left: {_joined(losses.joints)}"
        return replace(found, problem=lost)
    return found


def _tried(
    draft: Draft, subject: Subject, source: EpisodeSource, remarks: Sequence[str]
) -> Suggestion:
    text, trial = "", Trial(None)
    for _ in range(MAX_TRIALS):
        text = _written(draft, subject, source, remarks, None)
        trial = try_text(text, source)
        changed = _changed(draft, trial)
        if changed is None:
            break
        draft = changed
    text = _written(draft, subject, source, remarks, trial)
    return Suggestion(text, None if trial.refusal is None else trial.told())


def _written(
    draft: Draft,
    subject: Subject,
    source: EpisodeSource,
    remarks: Sequence[str],
    trial: Trial | None,
) -> str:
    head = [
        f"Suggested from {source.key}",
        "Read it through: names and roles are guessed. Check it with: config check FILE",
        *([] if trial is None else [trial.told()]),
    ]
    return document(draft, subject, head=head, remarks=remarks)


def _changed(draft: Draft, trial: Trial) -> Draft | None:
    """The draft with the one change that the trial asks for; None if it is as good as it gets."""
    refusal = trial.refusal
    if refusal is None:
        return _widened(draft, trial)
    if refusal.reason is Reason.RATE_MISMATCH and draft.timeline == "base":
        told = "The base camera's frames come too unevenly for a row each: rows are resampled."
        return replace(draft, timeline="uniform", notes=(*draft.notes, told))
    if refusal.reason in _HOLES and draft.gap_policy == "fail":
        told = (
            f"{_HOLES[refusal.reason]}: {refusal.message.partition(';')[0]}. Each side becomes an "
            "episode of its own (filtering.gap_policy)."
        )
        return replace(draft, gap_policy="split", notes=(*draft.notes, told))
    if refusal.reason is Reason.NO_OVERLAP:
        received = with_receive_clock(draft)
        told = "Header stamps of the streams never meet: the recorder's are taken for all."
        return None if received == draft else replace(received, notes=(*draft.notes, told))
    return None


def _widened(draft: Draft, trial: Trial) -> Draft | None:
    """With a wider tolerance for the streams that cost rows, where that may still help."""
    costly = {
        reason.partition(":")[2]
        for reason, rows in trial.dropped.items()
        if reason.startswith("tolerance:") and rows > _TOO_MANY_DROPPED * trial.expected
    }

    def wider(found: tuple[Chosen, ...]) -> tuple[Chosen, ...]:
        return tuple(
            replace(one, tolerance_ms=min(MAX_TOLERANCE_MS, 2 * (one.tolerance_ms or 20.0)))
            if one.name in costly
            else one
            for one in found
        )

    changed = replace(
        draft,
        cameras=wider(draft.cameras),
        states=wider(draft.states),
        commands=wider(draft.commands),
    )
    return None if changed == draft else changed


def _remarks(intake: Iterable[IntakeEntry], known: set[str]) -> Iterator[str]:
    """What the readers had to say: warnings, and what nothing was made of."""
    first = True
    for entry in intake:
        if entry.stream in known:
            continue
        if entry.severity is Severity.NOTE and entry.code not in _REMARKED:
            continue
        if first:
            yield "The recording's own report:"
            first = False
        times = f" ({entry.count} times)" if entry.count > 1 else ""
        yield f"  {entry.stream or '(recording)'}: {entry.message}{times}"


def _nothing(candidates: Sequence[Candidate]) -> str:
    told = [
        f"{one.name}: {one.why or f'{one.report.count} samples, not sampled all the time'}"
        for one in candidates
    ]
    return (
        "nothing in it can become rows: there is neither a camera with a rate nor a stream of "
        f"numbers that runs all the time ({_listed(told) or 'it is empty'})"
    )


def _joined(reasons: Mapping[str, str]) -> str:
    return _listed([f"{name}: {why}" for name, why in reasons.items()])


def _listed(told: Sequence[str], most: int = 5) -> str:
    more = f"; and {len(told) - most} more" if len(told) > most else ""
    return "; ".join(told[:most]) + more
