"""Pictures in the first pass: the first usable one is decoded, of the others both ends are seen."""

from __future__ import annotations

from lerobot_pipelines.recordings.ros import pictures
from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.findings import Findings
from lerobot_pipelines.recordings.ros.layout import Layout
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.survey_content import Content, Way

# Where a picture begins changes with the names before it, which rarely change.
_MOST_OFFSETS = 8


class PictureContent(Content):
    """Leaves out pictures that are not whole, and of video what cannot be shown."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._details = findings.details
        self._offsets: set[int] = set()  # where in the messages pictures begin
        self._awaits_key_frame = True  # video: nothing before it, or after a loss, can be shown

    @property
    def learned(self) -> int:
        return len(self._offsets) + ("encoding" in self._details)

    def ways(self, batch: Batch) -> list[Way]:
        encoding = self._details.get("encoding")
        if encoding is None or encoding in pictures.VIDEO_ENCODINGS:
            return []
        return [Way(pictures.sound(batch, encoding, self._offsets))]

    def take_many(self, batch: Batch, part: slice, layout: Layout | None) -> Flags | None:
        return None

    def interrupted(self) -> None:
        self._awaits_key_frame = True

    def take(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        encoding = self._details.get("encoding") or self._first(lazy, where)
        if encoding is None:
            return False
        try:
            # Of other systems' messages the picture lies anywhere, or in base64.
            seen = lazy.message if codec.has_layout else pictures.alone(lazy.get())
            fault = pictures.fault_of(seen, encoding)
        except (BadMessage, pictures.BadPicture) as error:
            fault = "bad_message" if isinstance(error, BadMessage) else str(error)
        if fault is None and encoding in pictures.VIDEO_ENCODINGS and self._awaits_key_frame:
            try:
                self._awaits_key_frame = not pictures.begins_anew(lazy.get(), encoding)
            except BadMessage:
                fault = "bad_message"
            if fault is None and self._awaits_key_frame:
                # No damage: a recording may begin anywhere.
                self._findings.faults.add(self._findings.plan.name, where, "before_key_frame")
                return False
        if fault is not None:
            self._findings.lost(where, fault)
        elif len(self._offsets) < _MOST_OFFSETS:
            self._offsets |= pictures.offset_of(lazy.message, encoding)
        return fault is None

    def _first(self, lazy: Decoded, where: str) -> str | None:
        """The first usable picture tells what the others are; they are not decoded."""
        try:
            found = pictures.content(lazy.get())
        except (BadMessage, pictures.BadPicture) as error:
            reason = "bad_message" if isinstance(error, BadMessage) else str(error)
            self._findings.lost(where, reason)
            return None
        self._details["encoding"] = found.encoding
        if found.width is not None:
            self._details["width"], self._details["height"] = found.width, found.height
        return found.encoding
