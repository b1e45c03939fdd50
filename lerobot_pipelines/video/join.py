"""Joining and cutting mp4 files without decoding them: frame k is at k / fps in every result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.video.probe import VideoProbe, probe
from lerobot_pipelines.video.writer import muxer_options

if TYPE_CHECKING:
    import av


def concatenate(paths: Sequence[Path], output: Path) -> None:
    """Join videos of one codec, size and rate, in the order given.

    Raises ``Refused`` (corrupt_artifact) if they differ in codec parameters, are not of constant
    rate from 0, or have open groups of pictures.
    """
    if not paths:
        raise ValueError("there is nothing to join")
    facts = [_fit(path) for path in paths]
    for path, other in zip(paths[1:], facts[1:], strict=True):
        _same(paths[0], facts[0], path, other)
    frames = sum(fact.frames for fact in facts)
    with _Copy(paths[0], facts[0], frames, output) as copy:
        for path, fact in zip(paths, facts, strict=True):
            copy.append(path, fact, 0, fact.frames)
    _check(output, frames)


def cut(path: Path, first_frame: int, frames: int, output: Path) -> None:
    """Copy ``frames`` frames from ``first_frame`` on, which must be a key frame, to a new file.

    What follows the last one must begin with a key frame too, as whole episodes do in a joined
    file. Raises ``Refused`` (corrupt_artifact) otherwise.
    """
    fact = _fit(path)
    end = first_frame + frames
    if frames < 1 or first_frame < 0 or end > fact.frames:
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{path.name} has {fact.frames} frames, so frames {first_frame} to {end - 1} cannot be "
            "cut out",
        )
    for border in (first_frame, end):
        if border < fact.frames and border not in fact.key_frames:
            raise Refused(
                Reason.CORRUPT_ARTIFACT,
                f"{path.name} cannot be cut at frame {border}, which is no key frame",
            )
    with _Copy(path, fact, frames, output) as copy:
        copy.append(path, fact, first_frame, frames)
    _check(output, frames)


class _Copy:
    """An mp4 of ``frames`` frames under construction from packets of others."""

    def __init__(self, template: Path, fact: VideoProbe, frames: int, output: Path) -> None:
        import av

        self._path = output
        self._frames = 0
        self._stack = ExitStack()
        source = self._stack.enter_context(av.open(str(template)))
        self._output = self._stack.enter_context(
            av.open(str(output), "w", format="mp4", options=muxer_options(fact.codec, frames))
        )
        stream = source.streams.video[0]
        self._extradata = stream.codec_context.extradata
        self._stream = _stream_like(self._output, stream, fact)

    def __enter__(self) -> _Copy:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._stack.close()
        finally:
            if exception[0] is not None:
                self._path.unlink(missing_ok=True)

    def append(self, path: Path, fact: VideoProbe, first: int, frames: int) -> None:
        import av

        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.codec_context.extradata != self._extradata:
                raise Refused(
                    Reason.CORRUPT_ARTIFACT,
                    f"{path.name} was encoded with other parameters than the video it should "
                    "join; encode both with one configuration",
                )
            step = int(1 / (fact.fps * stream.time_base))
            shift = self._frames - first
            for packet in container.demux(stream):
                if packet.pts is None or not first <= packet.pts // step < first + frames:
                    continue
                # In units of 1 / fps; exact, since the source is of constant rate.
                packet.dts = packet.dts // step + shift
                packet.pts = packet.pts // step + shift
                packet.duration = 1
                packet.time_base = 1 / fact.fps
                packet.stream = self._stream
                self._output.mux_one(packet)
        self._frames += frames


def _stream_like(output: av.container.OutputContainer, source: Any, fact: VideoProbe) -> Any:
    stream = output.add_stream_from_template(source, opaque=True)
    stream.time_base = 1 / fact.fps
    if fact.codec == "hevc":
        stream.codec_context.codec_tag = source.codec_context.codec_tag  # hvc1, see codecs
    return stream


def _fit(path: Path) -> VideoProbe:
    fact = probe(path)
    if fact.frames and fact.constant_rate and fact.closed_gops and fact.first_pts == 0:
        return fact
    raise Refused(
        Reason.CORRUPT_ARTIFACT,
        f"{path.name} is not of constant rate from 0 with closed groups of pictures; "
        "materialise encoded_videos again",
    )


def _same(first_path: Path, first: VideoProbe, path: Path, other: VideoProbe) -> None:
    names = ("codec", "pix_fmt", "width", "height", "fps", "color_range", "color_space")
    differing = [
        f"{name} {getattr(first, name)} and {getattr(other, name)}"
        for name in names
        if getattr(first, name) != getattr(other, name)
    ]
    if differing:
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{first_path.name} and {path.name} cannot be joined: {', '.join(differing)}",
        )


def _check(output: Path, frames: int) -> None:
    made = probe(output)
    if made.frames != frames or made.first_pts != 0 or not made.constant_rate:
        output.unlink()
        raise RuntimeError(f"{output} should hold {frames} frames at constant rate, but is {made}")
