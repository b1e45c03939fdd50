"""What a bag holds and no stream takes: topics, fields of messages, joints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.recordings.ros.joint_sets import shortened
from lerobot_pipelines.recordings.ros.plan import StreamPlan, Topic

_MAX_TOPICS_KEPT = 200

# Of a field: which of more numbers are taken is not told.
_MAX_NUMBERS = 1000


@dataclass(frozen=True, slots=True)
class TopicUse:
    """What one stream takes of its topic's messages.

    ``sizes`` are the most numbers that a message has in each field, ``lists`` the fields that are
    lists of messages. ``taken`` says which numbers of a field are taken, None: all. ``joints`` are
    all that messages name, ``joints_taken`` those of the stream.
    """

    plan: StreamPlan
    sizes: Mapping[str, int]
    lists: frozenset[str]
    taken: Mapping[str, frozenset[int] | None]
    joints: frozenset[str]
    joints_taken: frozenset[str]


def unused_in_topics(uses: Iterable[TopicUse]) -> Iterator[IntakeEntry]:
    """An entry for the fields, and one for the joints, of each topic that no stream takes."""
    by_topic: dict[str, list[TopicUse]] = {}
    for use in uses:
        by_topic.setdefault(use.plan.topic.name, []).append(use)
    for topic, several in by_topic.items():
        names = {use.plan.name for use in several}
        stream = names.pop() if len(names) == 1 else ""
        lists = frozenset().union(*(use.lists for use in several))
        fields = dict(_fields(several))
        for code, found, what in (
            (IntakeCode.UNREAD, {f for f in fields if f in lists}, "lists of messages"),
            (IntakeCode.UNUSED, {f for f in fields if f not in lists}, "fields"),
        ):
            if listed := [fields[field] for field in fields if field in found]:
                yield IntakeEntry(
                    *(code, Severity.NOTE, stream),
                    f"{topic} has {what} that no stream takes: {shortened(listed)}",
                    len(listed),
                    details={"topic": topic, "fields": listed},
                )
        joints = frozenset().union(*(use.joints for use in several))
        taken = frozenset().union(*(use.joints_taken for use in several))
        if left := sorted(joints - taken) if taken else []:
            yield IntakeEntry(
                *(IntakeCode.UNUSED, Severity.NOTE, stream),
                f"{topic} names joints that no stream takes: {shortened(left)}",
                len(left),
                details={"topic": topic, "joints": left},
            )


def _fields(uses: Sequence[TopicUse]) -> Iterator[tuple[str, str]]:
    """Fields of which numbers are left, and these in words."""
    sizes: dict[str, int] = {}
    for use in uses:
        for path, size in use.sizes.items():
            sizes[path] = max(size, sizes.get(path, 0))
    for path, size in sizes.items():
        takers = [taken for use in uses for base, taken in use.taken.items() if base == path]
        if None in takers or any(_is_within(path, base) for use in uses for base in use.taken):
            continue
        if not takers and size:
            yield path, f"{path} ({size})" if size > 1 else path
        elif size <= _MAX_NUMBERS:
            left = set(range(size)).difference(*filter(None, takers))
            if left:
                yield path, f"{path}[{_ranges(sorted(left))}]"


def _is_within(path: str, base: str) -> bool:
    """Whether a field is in what a path takes, or the path in the field."""
    return path.startswith(f"{base}.") or base.startswith(f"{path}[")


def _ranges(places: Sequence[int]) -> str:
    """``0:3, 7`` for 0, 1, 2 and 7."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}:{run[-1] + 1}" for run in runs)


def unused_topics(
    topics: Mapping[str, Topic], plans: Iterable[StreamPlan], *, configured: bool
) -> Iterator[IntakeEntry]:
    """One entry for all topics with messages that no stream is made of."""
    used = {plan.topic.name for plan in plans}
    # Those whose type cannot be read are faults.
    left = [t for t in topics.values() if t.count and not t.problem and t.name not in used]
    if not left:
        return
    why = "no stream of the configuration takes" if configured else "are no streams"
    kinds = [f"{t.name} ({t.type_name.rpartition('/')[2]}, {t.count})" for t in left]
    yield IntakeEntry(
        *(IntakeCode.UNUSED, Severity.NOTE, ""),
        f"topics that {why}: {shortened(kinds)}",
        len(left),
        details={
            "topics": {t.name: [t.type_name, t.count] for t in left[:_MAX_TOPICS_KEPT]},
        },
    )
