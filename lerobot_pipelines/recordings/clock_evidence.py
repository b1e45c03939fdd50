"""Which clock a stream should go by, from what was measured; and where the clocks disagree.

``choose_clocks`` is for suggestions; ``compare_clocks`` writes the warnings of the intake report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.model import Clock, Stream, StreamReport
from lerobot_pipelines.recordings.clock_figures import ClockFigures, figures_of

# Fewer messages show no offset.
_MIN_MESSAGES = 5
# A sensor stamps before the recorder receives. Clocks kept together by NTP or PTP on one network
# agree to a few ms; real robots were seen at -15 ms.
AHEAD_MS = 5.0
# The camera, the driver and the network of one robot together take less.
_LONGEST_TRANSPORT_MS = 250.0
_ANOTHER_ORIGIN_MS = 3_600_000.0
# A fifth of a second's drift per recording is another clock; less than this nobody sees.
_DRIFT_MS = 20.0
# A message without a stamp is given reception less the usual delay, which is still better than
# reception for all; where most have none, that delay is hardly known.
_UNSTAMPED_SHARE = 0.5
_REPEATED_SHARE = 0.05
_BURSTS = 0.1


@dataclass(frozen=True, slots=True)
class ClockChoice:
    """A suggestion for ``streams[].clock`` or ``cameras[].clock``.

    ``rate_hz`` is the stream's robust rate on that clock, None where it has none. ``evidence`` is
    one sentence for a person. ``doubtful``: it names a fault of one of the clocks.
    """

    clock: Clock
    evidence: str
    rate_hz: float | None
    doubtful: bool = False


def choose_clocks(streams: Iterable[StreamReport]) -> dict[str, ClockChoice]:
    """The clock that each stream should go by, by name."""
    return {stream.name: choose_clock(stream) for stream in streams}


def choose_clock(stream: StreamReport) -> ClockChoice:
    """The clock that a stream should go by: its header's, unless something speaks against it."""
    figures = figures_of(stream.details)
    if stream.clock is Clock.FILE or figures is None:
        return ClockChoice(stream.clock, "it has no other clock", stream.median_rate_hz)
    against = _against_header(figures)
    if against is not None:
        doubtful = figures.unstamped < figures.messages
        return ClockChoice(Clock.RECEIVE, against, figures.receive_rate_hz, doubtful)
    if figures.unstamped:
        return ClockChoice(
            Clock.HEADER,
            f"{figures.unstamped} of its {figures.messages} messages have a header stamp of zero "
            "and are placed by reception less the usual delay; the others lie "
            f"{figures.offset_ms:.1f} ms before reception",
            figures.header_rate_hz,
            doubtful=True,
        )
    if figures.burst_share > _BURSTS:
        return ClockChoice(
            Clock.HEADER,
            f"{figures.burst_share:.0%} of its messages were received in bursts, so only their "
            "header stamps tell the time between them",
            figures.header_rate_hz,
            doubtful=True,
        )
    return ClockChoice(
        Clock.HEADER,
        f"its header stamps lie {figures.offset_ms:.1f} ms before reception, with "
        f"{figures.jitter_ms:.1f} ms of jitter",
        figures.header_rate_hz,
    )


def _against_header(figures: ClockFigures) -> str | None:
    """Why the header stamps are not to be used; None if they are."""
    count, offset = figures.messages, figures.offset_ms
    if offset is None:
        return "its messages have no header stamp (none, or zero)"
    if figures.unstamped > _UNSTAMPED_SHARE * count:
        return f"{figures.unstamped} of its {count} messages have a header stamp of zero"
    if figures.repeated > _REPEATED_SHARE * count:
        return f"{figures.repeated} of its {count} header stamps repeat the one before"
    if abs(offset) > _ANOTHER_ORIGIN_MS:
        return (
            f"its header stamps count from another origin ({abs(offset) / 1000:.0f} s "
            f"{'after' if offset < 0 else 'before'} reception)"
        )
    if offset < -AHEAD_MS:
        return (
            f"its header stamps lie {-offset:.1f} ms after reception, which is another machine's "
            "clock"
        )
    if offset > _LONGEST_TRANSPORT_MS:
        return (
            f"its header stamps lie {offset:.1f} ms before reception, longer than transport "
            "takes: another machine's clock, or a very slow link"
        )
    if abs(figures.drift_ms) > max(_DRIFT_MS, figures.jitter_ms):
        return (
            f"its header clock drifts by {abs(figures.drift_ms):.1f} ms against reception in this "
            "recording: another machine's clock"
        )
    return None


def compare_clocks(
    streams: Sequence[Stream] | Sequence[StreamReport],
    *,
    row_ms: float,
    offsets_ms: Mapping[str, float] | None = None,
) -> list[IntakeEntry]:
    """Stamps after reception, drift, and offsets more than a row apart, as entries (clock_offset).

    ``row_ms`` is the time from one row to the next. ``offsets_ms`` holds the ``offset_ms`` of a
    configuration by stream; None: nothing is configured yet, and what is wrong with a clock is a
    warning whichever is in use. With a configuration it is a warning where that clock is in use,
    else a note.
    """
    measured = [
        (stream, figures)
        for stream in streams
        if (figures := figures_of(stream.details)) is not None
        and figures.offset_ms is not None
        and figures.messages - figures.unstamped >= _MIN_MESSAGES
    ]
    shifts = offsets_ms or {}
    entries: list[IntakeEntry] = []
    in_use: dict[str, float] = {}
    for stream, figures in measured:
        used = offsets_ms is None or stream.clock is Clock.HEADER
        assert figures.offset_ms is not None
        shift = shifts.get(stream.name, 0.0) if stream.clock is Clock.HEADER else 0.0
        offset = figures.offset_ms - shift
        if used:
            in_use[stream.name] = offset
        if (fault := _fault_of(figures, offset, row_ms)) is not None:
            remedy = "; use clock: receive for it, or correct it with offset_ms" if used else ""
            entries.append(
                IntakeEntry(
                    IntakeCode.CLOCK_OFFSET,
                    Severity.WARNING if used else Severity.NOTE,
                    stream.name,
                    fault + remedy,
                    figures.messages,
                    details=figures.as_details(),
                )
            )
    if (apart := _furthest_apart(in_use, row_ms)) is not None:
        entries.append(apart)
    return entries


def shifts_of(config: DatasetConfig) -> dict[str, float]:
    """The ``offset_ms`` of every stream and camera, by name."""
    shifts = {stream.name: stream.offset_ms for stream in config.streams}
    return shifts | {camera.name: camera.offset_ms for camera in config.cameras}


def clock_offsets_ms(
    streams: Iterable[StreamReport], shifts_ms: Mapping[str, float]
) -> dict[str, float]:
    """By how much each stream's stamps lie before reception, ms, of streams on their header clock.

    ``shifts_ms`` is each stream's ``offset_ms``. Negative: stamped after reception.
    """
    return {
        stream.name: figures.offset_ms - shifts_ms.get(stream.name, 0.0)
        for stream in streams
        if stream.clock is Clock.HEADER
        and (figures := figures_of(stream.details)) is not None
        and figures.offset_ms is not None
        and figures.messages - figures.unstamped >= _MIN_MESSAGES
    }


def _fault_of(figures: ClockFigures, offset_ms: float, row_ms: float) -> str | None:
    if abs(offset_ms) > _ANOTHER_ORIGIN_MS:
        where = "after" if offset_ms < 0 else "before"
        return (
            f"header stamps lie {abs(offset_ms) / 1000:.3f} s {where} reception: they count from "
            "another origin"
        )
    if offset_ms < -AHEAD_MS:
        return f"header stamps lie {-offset_ms:.1f} ms after reception: another machine's clock"
    drift = abs(figures.drift_ms)
    if drift > max(_DRIFT_MS, row_ms / 2, figures.jitter_ms):
        return f"the header clock drifts by {drift:.1f} ms against reception in this recording"
    return None


def _furthest_apart(offsets: Mapping[str, float], row_ms: float) -> IntakeEntry | None:
    if len(offsets) < 2:
        return None
    late = max(offsets, key=lambda name: offsets[name])
    early = min(offsets, key=lambda name: offsets[name])
    apart = offsets[late] - offsets[early]
    if apart <= row_ms:
        return None
    return IntakeEntry(
        IntakeCode.CLOCK_OFFSET,
        Severity.WARNING,
        "",
        f"header stamps of {late} lie {offsets[late]:.1f} ms before reception and those of {early} "
        f"{offsets[early]:.1f} ms: {apart:.1f} ms apart, more than a row ({row_ms:.1f} ms); where "
        "it is no transport, their clocks differ and pictures and joints of different moments meet",
        len(offsets),
        details={"offsets_ms": {name: round(value, 3) for name, value in offsets.items()}},
    )
