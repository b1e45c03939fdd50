"""Pictures in the first pass: each is judged, by its two ends where these tell enough."""

from __future__ import annotations

from typing import Any

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode
from lerobot_pipelines.pictures import UnreadablePicture, Verdict, read_picture_header
from lerobot_pipelines.recordings.ros import picture_looks, pictures
from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.findings import Findings
from lerobot_pipelines.recordings.ros.layout import Layout
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.survey_content import Content, Way
from lerobot_pipelines.recordings.units import DEPTH_ENCODINGS, note_depth_unit

# Where a picture begins changes with the names before it, which rarely change.
_MAX_LOOKS = 8


class PictureContent(Content):
    """Leaves out pictures that are not whole, and of video what cannot be shown."""

    def __init__(self, findings: Findings, max_pixels: int) -> None:
        self._findings = findings
        self._details = findings.details
        self._max_pixels = max_pixels
        self._looks: set[picture_looks.Look] = set()
        self._kinds: set[tuple[Any, ...]] = set()  # encodings and sizes met
        self._awaits_key_frame = True  # video: nothing before it, or after a loss, can be shown
        self._before_key_frame = 0
        self._is_unreadable = False
        self._last_detail = ""

    @property
    def learned(self) -> int:
        return len(self._looks)

    def ways(self, batch: Batch) -> list[Way]:
        return [Way(picture_looks.sound(batch, self._looks))] if self._looks else []

    def take_many(self, batch: Batch, part: slice, layout: Layout | None) -> Flags | None:
        return None

    def interrupted(self) -> None:
        self._awaits_key_frame = True

    def take(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        found: pictures.Content | None = None
        # Of other systems' messages the picture lies anywhere, or in base64.
        verdict = self._where_it_lies(lazy) if codec.has_layout else None
        if verdict is not None and not verdict.fault:
            return True
        try:
            if verdict is None:
                found = pictures.content(lazy.get(), self._max_pixels)
                verdict = Verdict(found.encoding)
                self._describe(found, pictures.label_of(lazy.get()))
            if verdict.encoding in pictures.VIDEO_ENCODINGS and self._awaits_key_frame:
                self._awaits_key_frame = not pictures.begins_anew(lazy.get(), verdict.encoding)
                if self._awaits_key_frame:
                    # No damage: a recording may begin anywhere.
                    self._before_key_frame += 1
                    name = self._findings.plan.name
                    self._findings.faults.add(name, where, "before_key_frame")
                    return False
        except pictures.BadPicture as error:
            verdict = Verdict(fault=error.reason, detail=error.detail)
        except BadMessage:
            verdict = Verdict(fault="bad_message")
        if verdict.fault:
            self._lost(where, verdict)
            return False
        if codec.has_layout:
            self._learn(lazy, found, verdict.encoding)
        return True

    def _where_it_lies(self, lazy: Decoded) -> Verdict | None:
        """The verdict on a message like those before it, without decoding it."""
        encoding = str(self._details.get("encoding", ""))
        if any(look.fits(lazy.message) for look in self._looks):
            return Verdict(encoding)
        if encoding in pictures.VIDEO_ENCODINGS:
            # A packet has no end of its own to look at.
            return None if self._awaits_key_frame else Verdict(encoding)
        verdict = picture_looks.verdict_of(lazy.message, encoding)
        if verdict is not None and not verdict.fault:
            self._learn(lazy, None, encoding)
        return verdict

    def _lost(self, where: str, verdict: Verdict) -> None:
        if verdict.detail:
            where = f"{where}, {verdict.detail}"
            self._findings.last_error = self._last_detail = verdict.detail
        self._findings.lost(where, verdict.fault)

    def _learn(self, lazy: Decoded, found: pictures.Content | None, encoding: str) -> None:
        if len(self._looks) < _MAX_LOOKS:
            look = picture_looks.look_of(lazy.message, found, encoding)
            if look is not None:
                self._looks.add(look)

    def _describe(self, found: pictures.Content, label: str) -> None:
        """What the first usable picture is, and those that are of another kind."""
        kind = (found.encoding, found.width, found.height)
        if kind in self._kinds:
            return
        first = not self._kinds
        self._kinds.add(kind)
        if not first:
            self._changed(kind)
            return
        self._details["encoding"] = found.encoding
        self._describe_size(found)
        intake, plan = self._findings.intake, self._findings.plan
        if pictures.is_lossy_depth(label, found.encoding):
            self._details["problem"] = (
                f"its format is {label[:60]!r}: distances of 16 bits recorded as a JPEG, which "
                "keeps 8 of them and not exactly; record the raw or compressedDepth (PNG, RVL) "
                "topic instead"
            )
            intake.warn(
                *(IntakeCode.UNREAD, plan.name),
                f"the pictures of {plan.topic.name} are no distances: {self._details['problem']}",
            )
        note_depth_unit(intake, plan.name, plan.camera, self._details)

    def _describe_size(self, found: pictures.Content) -> None:
        width, height, is_depth = found.width, found.height, found.encoding in DEPTH_ENCODINGS
        if width is None and found.encoding not in pictures.VIDEO_ENCODINGS:
            try:
                header = read_picture_header(found.data, found.encoding, self._max_pixels)
            except UnreadablePicture:
                return  # decoding says it, should the picture be used
            width, height, is_depth = header.width, header.height, header.is_depth
        if width is not None:
            self._details["width"], self._details["height"] = width, height
        if is_depth:
            self._details["is_depth"] = True

    def _changed(self, kind: tuple[Any, ...]) -> None:
        encoding, width, height = kind
        size = f" of {width}x{height} pixels" if width else ""
        self._findings.intake.note(
            IntakeCode.SCHEMA_CHANGED,
            self._findings.plan.name,
            f"pictures change from {self._details['encoding']} to {encoding}{size}",
        )

    # All of them --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Say of a camera without a usable picture what is wrong with all of them."""
        damage = self._findings.damage
        if damage.seen and damage.seen == damage.reasons.total() + self._before_key_frame:
            self._is_unreadable = True
            self._details["problem"] = self._without_key_frame() or self._worst()
            self._findings.intake.warn(
                IntakeCode.UNREAD,
                self._findings.plan.name,
                f"no picture of {self._findings.plan.topic.name} can be read: "
                f"{self._details['problem']}",
                count=damage.seen,
            )

    def refuse_unreadable(self) -> None:
        """Raises ``Refused`` for a video none of whose packets can be decoded by itself."""
        if self._before_key_frame and self._is_unreadable:
            plan = self._findings.plan
            raise Refused(
                Reason.CORRUPT_PICTURE,
                f"camera {plan.name}, topic {plan.topic.name}: {self._details['problem']}",
            )

    def _without_key_frame(self) -> str:
        if not self._before_key_frame:
            return ""
        encoding = self._details.get("encoding")
        return (
            f"none of its {self._before_key_frame} {encoding} packets is a key frame, without "
            "which no picture can be decoded; let the encoder repeat key frames (its GOP length, "
            "or intra period), or start the recorder before the camera"
        )

    def _worst(self) -> str:
        reason, count = self._findings.damage.reasons.most_common(1)[0]
        detail = f" ({self._last_detail})" if self._last_detail else ""
        return f"{count} {reason}{detail}"
