"""A bag as a ``Recording``: numbers first, pictures second, in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, DatasetConfig
from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.intake import Intake, IntakeCode, IntakeEntry
from lerobot_pipelines.model import (
    EpisodeSource,
    Fault,
    Picture,
    Stamps,
    Stream,
    StreamKind,
    Vectors,
)
from lerobot_pipelines.recordings.ros import pictures
from lerobot_pipelines.recordings.ros.container import BagFile, LostMessage, Rows
from lerobot_pipelines.recordings.ros.first_pass import FirstPass, KeptPass
from lerobot_pipelines.recordings.ros.message_types import BadMessage
from lerobot_pipelines.recordings.ros.plan import (
    StreamPlan,
    Topic,
    plan_configured,
    plan_everything,
    topics_of,
)
from lerobot_pipelines.recordings.ros.stream_joints import NotAStream
from lerobot_pipelines.recordings.ros.stream_map import LazyStreams
from lerobot_pipelines.recordings.ros.survey import Survey
from lerobot_pipelines.recordings.ros.tally import Faults
from lerobot_pipelines.recordings.ros.unused import TopicUse, unused_in_topics, unused_topics
from lerobot_pipelines.recordings.ros.value_rows import spread
from lerobot_pipelines.recordings.ros.walk import walk
from lerobot_pipelines.recordings.rows import AlignedRows


class BagRecording(AlignedRows):
    """One bag, or one recording split over several files.

    The first pass is made when a stream is looked at: over the cameras alone if only cameras are
    asked for (as the encoders do), else over everything configured, in one walk. Without a
    configuration every topic of pictures or numbers is a stream, and each set of joints that
    recurs in a topic, named ``topic:joints`` (``details["joint_names"]``, and ``element_names``,
    tell which); stamps are known at once and values are read when ``vectors`` asks for them.

    What a required stream is refused for is raised when it, or all streams, are looked at: more
    of it damaged than ``filtering.max_corrupt_fraction`` (corrupt_picture, corrupt_container,
    non_finite), or no message with the field asked for (missing_field). A stream that is not
    required is then left out, and a fault says why.
    """

    def __init__(
        self,
        source: EpisodeSource,
        file: BagFile,
        config: DatasetConfig | None,
        metadata: Mapping[str, Any],
        faults: Sequence[Fault],
        close_all: Callable[[], None],
        kept: KeptPass | None = None,
        intake: Sequence[IntakeEntry] = (),
    ) -> None:
        """``close_all`` is called by ``close``; ``kept`` is where the first pass may lie already.

        Raises ``Refused`` as ``plan_configured`` does.
        """
        self.source = source
        self.metadata: Mapping[str, Any] = metadata
        self.topics: Mapping[str, Topic] = topics_of(file, config)
        self.details: Mapping[str, Any] = file.details
        self._file = file
        self._close_all = close_all
        self._kept = kept
        self._limit = config.filtering.max_corrupt_fraction if config else None
        self._limits = config.limits if config else DEFAULT_LIMITS
        plan = (
            plan_configured(self.topics, config, file.path.name)
            if config
            else plan_everything(self.topics)
        )
        self._early_faults = (*faults, *file.faults, *plan.faults)
        self._late_faults = Faults()
        unused = unused_topics(self.topics, plan.streams, configured=config is not None)
        self._early_intake = (*intake, *unused)
        self._late_intake = Intake()
        self._plans = {entry.name: entry for entry in plan.streams}
        self._unread = dict(self._plans)
        self._found: dict[str, Stream] = {}
        self._refusals: dict[str, Refused] = {}
        self._rows: dict[str, Rows] = {}
        self._stamps: dict[str, Stamps] = {}
        self._vectors: dict[str, Vectors] = {}
        self.streams: Mapping[str, Stream] = LazyStreams(self._all_streams, self._stream)

    @property
    def faults(self) -> Sequence[Fault]:
        """What was left out of the bag and of its streams."""
        self._read(self._unread)
        return (*self._early_faults, *self._late_faults.list())

    @property
    def intake(self) -> Sequence[IntakeEntry]:
        """What a person has to know of the bag and its streams."""
        self._read(self._unread)
        return (*self._early_intake, *self._late_intake.entries)

    def _stream(self, name: str) -> Stream:
        if name not in self._plans:
            self._read(self._unread)  # a topic may turn out to hold several streams
        if name in self._unread:
            if self._unread[name].kind is StreamKind.PICTURE:
                cameras = StreamKind.PICTURE
                self._read([n for n, plan in self._unread.items() if plan.kind is cameras])
            else:
                self._read(self._unread)
        if name in self._refusals:
            raise self._refusals[name]
        return self._found[name]

    def _all_streams(self) -> list[str]:
        self._read(self._unread)
        for refusal in self._refusals.values():
            raise refusal
        return [name for name in self._plans if name in self._found]

    def _read(self, names: Iterable[str]) -> None:
        if self._kept is not None and len(self._unread) == len(self._plans):
            self._take_kept()
        self._survey([name for name in names if name in self._unread])
        if self._kept is not None and not self._unread and not self._refusals:
            self._kept.save(
                FirstPass(
                    *(len(self._file.index), self._found, self._rows, self._stamps),
                    *(self._vectors, tuple(self._late_faults.list())),
                    self._late_intake.entries,
                )
            )
            self._kept = None

    def _take_kept(self) -> None:
        """Go on with what an earlier step has found."""
        assert self._kept is not None
        found = self._kept.load()
        if found is None or found.messages != len(self._file.index):
            return
        self._found, self._rows, self._stamps = found.streams, found.rows, found.stamps
        self._vectors = found.vectors
        for fault in found.faults:
            self._late_faults.add(fault.stream, fault.where, fault.reason, fault.count)
        self._late_intake.extend(found.intake)
        self._unread.clear()
        self._kept = None

    def _survey(self, names: Iterable[str]) -> None:
        surveys: list[Survey] = []
        for plan in [self._unread.pop(name) for name in names]:
            with self._left_out(plan):
                surveys.append(
                    Survey(
                        plan,
                        self._late_faults,
                        self._late_intake,
                        with_values=self._limit is not None,
                        limits=self._limits,
                    )
                )
        if surveys:
            walk(self._file, surveys)
        uses: list[TopicUse | None] = []
        while surveys:
            survey = surveys.pop(0)  # what it collected is let go of before the next is finished
            with self._left_out(survey.plan):
                parts = survey.parts(self._file.index.stamps)
                self._replace(survey.plan, [part.plan for part in parts])
                for part in parts:
                    with self._left_out(part.plan):
                        self._found[part.plan.name] = self._finish(part)
                        uses.append(part.use())
        self._late_intake.extend(unused_in_topics(filter(None, uses)))

    def _replace(self, plan: StreamPlan, parts: Sequence[StreamPlan]) -> None:
        """Streams that turn out to be in one topic take its place."""
        if [part.name for part in parts] == [plan.name]:
            return
        plans = ([*parts] if known is plan else [known] for known in self._plans.values())
        self._plans = {one.name: one for several in plans for one in several}

    @contextmanager
    def _left_out(self, plan: StreamPlan) -> Iterator[None]:
        """A refusal is remembered for whoever asks for the stream; a fault if it may be missing."""
        try:
            yield
        except NotAStream as reason:
            told = f"{plan.topic.name} ({plan.topic.type_name}) is no stream: {reason}"
            self._late_intake.note(IntakeCode.UNREAD, plan.name, told, count=plan.topic.count)
        except Refused as refusal:
            if plan.required or isinstance(refusal, ConfigError):
                self._refusals[plan.name] = refusal
            else:
                self._late_faults.add(plan.name, refusal.message, str(refusal.reason))

    def _finish(self, survey: Survey) -> Stream:
        plan = survey.plan
        rows, stamps, values = survey.finish(self._file.index.stamps)
        if self._limit is not None:
            survey.refuse_damaged(self._limit)
        self._rows[plan.name], self._stamps[plan.name] = rows, stamps
        if values is not None:
            self._vectors[plan.name] = values
        dimension = survey.dimension
        names = survey.element_names
        return Stream(
            name=plan.name,
            kind=plan.kind,
            count=len(stamps),
            start_ns=int(stamps[0]) if len(stamps) else 0,
            end_ns=int(stamps[-1]) if len(stamps) else 0,
            clock=survey.clock,
            origin=plan.topic.name,
            dimension=dimension,
            element_names=names if names and len(names) == dimension else None,
            details={**survey.details, **self.details},
            steps=survey.steps,
        )

    def timestamps(self, stream: str) -> Stamps:
        """See ``Recording``."""
        self._stream(stream)
        return self._stamps[stream]

    def vectors(self, stream: str) -> Vectors:
        """See ``Recording``."""
        self._stream(stream)
        if stream not in self._vectors:
            plan = self._plans[stream]
            if plan.kind is not StreamKind.VECTOR:
                raise KeyError(f"{stream} holds pictures")
            survey = Survey(plan, Faults(), Intake(), with_values=True)
            walk(self._file, [survey])
            rows, _, values = survey.finish(self._file.index.stamps)
            self._vectors[stream] = spread(self._rows[stream], rows, values)
        return self._vectors[stream]

    def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
        """See ``Recording``. Streams interleave as they lie in the file."""
        names = list(wanted)
        for name in names:
            self._stream(name)
        ids = [np.asarray(wanted[name], dtype=np.int64) for name in names]
        rows = [self._rows[name][chosen] for name, chosen in zip(names, ids, strict=True)]
        if not rows:
            return
        # Rows are decided by now: the numbers, the largest part of what is held, make room for
        # the encoders. Asked for again they are read again.
        self._vectors.clear()
        # Where stamps do not follow the file, a stream's own order goes before the file's.
        places = np.concatenate([np.maximum.accumulate(r) if len(r) else r for r in rows])
        owners = np.repeat(np.arange(len(names)), [len(r) for r in rows])
        all_ids, all_rows = np.concatenate(ids), np.concatenate(rows)
        for at in np.argsort(places, kind="stable").tolist():
            yield self._picture(names[owners[at]], int(all_ids[at]), int(all_rows[at]))

    def _picture(self, stream: str, id: int, row: int) -> Picture:
        codec = self._plans[stream].topic.codecs[int(self._file.index.connections[row])]
        try:
            content = pictures.content(
                codec.decode(self._file.message(row).whole()), self._limits.max_pixels
            )
        except (LostMessage, BadMessage, pictures.BadPicture) as error:
            raise Refused(
                Reason.CORRUPT_PICTURE,
                f"picture {id} of {stream} in {self._file.path.name}: {error}",
            ) from error
        return Picture(
            stream=stream,
            id=id,
            stamp_ns=int(self._stamps[stream][id]),
            data=content.data,
            encoding=content.encoding,
            width=content.width,
            height=content.height,
            step=content.step,
        )

    def first_text(self, topic: str) -> str | None:
        """The text in the first message of a topic of plain strings; None if there is none."""
        found = self.topics[topic]
        of_topic = np.flatnonzero(np.isin(self._file.index.connections, list(found.codecs)))
        for row in of_topic[:1].tolist():
            codec = found.codecs[int(self._file.index.connections[row])]
            try:
                text = getattr(codec.decode(self._file.message(row).whole()), "data", None)
            except (LostMessage, BadMessage):
                return None
            return text if isinstance(text, str) else None
        return None

    def close(self) -> None:
        """Close the files and remove what was unpacked of them. May be called again."""
        self._vectors.clear()
        self._close_all()
