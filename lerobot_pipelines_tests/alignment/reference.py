"""Alignment written to be obvious rather than fast: loops over Python numbers, sample by sample.

It shares no code with the package; the property tests demand the same answers from both.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines_tests.alignment.fakes import MemoryRecording

Sample = tuple[int, list[float]]


class Refusal(Exception):
    """``str(refusal)`` is the reason."""


@dataclass
class Result:
    rows: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    features: dict[str, list[Any]] = field(default_factory=dict)
    pictures: dict[str, list[int]] = field(default_factory=dict)
    ages: dict[str, list[int]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def align_slowly(recording: MemoryRecording, config: DatasetConfig) -> Result:
    return _Reference(recording, config).run()


def nearest(stamps: list[int], moment: int, causal: bool) -> int | None:
    """Position of the nearest stamp, the earlier of two; causal: of the last one not after it."""
    best = None
    for i, stamp in enumerate(stamps):
        if causal and stamp > moment:
            continue
        if best is None or abs(stamp - moment) < abs(stamps[best] - moment):
            best = i
    return best


def last_before(stamps: list[int], moment: int) -> int | None:
    before = [i for i, stamp in enumerate(stamps) if stamp <= moment]
    return before[-1] if before else None


class _Reference:
    def __init__(self, recording: MemoryRecording, config: DatasetConfig) -> None:
        self.config, self.alignment = config, config.alignment
        self.stamps = {
            name: [int(t) for t in recording.timestamps(name)] for name in recording.streams
        }
        self.samples = {
            stream.name: [[float(x) for x in row] for row in recording.vectors(stream.name)]
            for stream in config.streams
        }
        self.causal = config.alignment.causal
        gap_ms = config.filtering.max_timestamp_gap_ms
        self.gap_ns = None if gap_ms is None else round(gap_ms * 1e6)

    def run(self) -> Result:
        rows = self.candidates()
        if len(rows) < self.config.filtering.min_frames:
            raise Refusal("too_few_frames")
        policy = self.config.filtering.gap_policy
        holes = self.stream_holes(rows)
        if holes and policy == "fail":
            raise Refusal("gap")
        result = Result()
        kept = []
        for row in rows:
            reason = self.drop_reason(row, holes)
            if reason is None:
                kept.append(row)
            else:
                result.dropped[reason] = result.dropped.get(reason, 0) + 1
        if not kept:
            raise Refusal("too_few_frames")
        segments = [0]
        for before, after in itertools.pairwise(kept):
            wide = self.gap_ns is not None and after - before > self.gap_ns
            across = any(before <= (a + b) // 2 < after for a, b, *_ in holes)
            if wide and policy == "fail":
                raise Refusal("gap")
            segments.append(segments[-1] + int(policy == "split" and (wide or across)))
        self.filter_segments(kept, segments, result)
        for row in result.rows:
            self.fill(row, result)
        return result

    def candidates(self) -> list[int]:
        starts = [self.stamps[s.name][0] for s in self.config.streams if s.required]
        starts += [self.stamps[c.name][0] for c in self.config.cameras if c.required]
        ends = [self.end_of(s) for s in self.config.streams if s.required]
        ends += [self.camera_pictures(c)[-1][0] for c in self.config.cameras if c.required]
        start, end = max(starts), min(ends)
        if start > end:
            raise Refusal("no_overlap")
        if self.alignment.timeline == "uniform":
            rows: list[int] = []
            while True:
                exact = Fraction(len(rows) * 1_000_000_000, self.config.dataset.fps)
                row = start + math.floor(exact + Fraction(1, 2))
                if row > end:
                    break
                rows.append(row)
        else:
            assert self.config.base_camera is not None
            rows = [t for t in self.stamps[self.config.base_camera.name] if start <= t <= end]
        rows = rows[self.alignment.trim_start_frames :]
        return rows[: max(0, len(rows) - self.alignment.trim_end_frames)]

    def end_of(self, stream: Any) -> int:
        held = self.max_age(stream) if self.strategy(stream) == "hold" else 0
        return self.stamps[stream.name][-1] + held

    def stream_holes(self, rows: list[int]) -> list[tuple[int, int, int, int]]:
        if self.gap_ns is None:
            return []
        holes = []
        things: list[Any] = [*self.config.streams, *self.config.cameras]
        for thing in things:
            is_camera = thing in self.config.cameras
            if not thing.required or (not is_camera and self.strategy(thing) == "hold"):
                continue
            if is_camera:
                reach = self.picture_tolerance(thing)
            elif self.strategy(thing) == "window":
                reach = round(self.alignment.window_ms * 1e6)
            else:
                reach = self.tolerance(thing)
            stamps = self.stamps[thing.name]
            for a, b in itertools.pairwise(stamps):
                if b - a > self.gap_ns and a < rows[-1] and b > rows[0]:
                    holes.append((a, b, a + reach, b if self.causal else b - reach))
        return holes

    def drop_reason(self, row: int, holes: list[tuple[int, int, int, int]]) -> str | None:
        if any(begin < row < end for _, _, begin, end in holes):
            return "gap"
        for feature in self.config.features.values():
            for part in feature.parts:
                choices = [part.stream] + ([part.fallback] if part.fallback else [])
                if all(self.sample_range(name, row) is None for name in choices):
                    strategy = self.strategy(self.config.stream(part.stream))
                    limit = {
                        "nearest": "tolerance",
                        "linear": "tolerance",
                        "window": "min_samples",
                        "hold": "max_age",
                        "chunking": "max_age",
                    }[strategy]
                    return f"{limit}:{part.stream}"
        for camera in self.config.cameras:
            if self.picture(camera, row) is None:
                return f"tolerance:{camera.name}"
        return None

    def filter_segments(self, kept: list[int], segments: list[int], result: Result) -> None:
        filtering = self.config.filtering
        failed = []
        for segment in range(segments[-1] + 1):
            rows = [row for row, s in zip(kept, segments, strict=True) if s == segment]
            seconds = (rows[-1] - rows[0]) / 1e9
            if len(rows) < filtering.min_frames:
                reason = "too_few_frames"
            elif seconds < filtering.min_duration_sec:
                reason = "too_short"
            elif filtering.max_duration_sec is not None and seconds > filtering.max_duration_sec:
                reason = "too_long"
            else:
                number = result.segments[-1] + 1 if result.segments else 0
                result.rows += rows
                result.segments += [number] * len(rows)
                continue
            failed.append((len(rows), reason))
            key = f"segment:{reason}"
            result.dropped[key] = result.dropped.get(key, 0) + len(rows)
        if not result.rows:
            raise Refusal(max(failed, key=lambda pair: pair[0])[1])

    def fill(self, row: int, result: Result) -> None:
        for key, feature in self.config.features.items():
            chunked = feature.chunk and self.alignment.strategy == "chunking"
            if chunked:
                chunk, padding = self.chunk(feature, row)
                result.features.setdefault(key, []).append(chunk)
                result.features.setdefault(f"{key}_is_pad", []).append(padding)
                continue
            vector: list[float] = []
            for part in feature.parts:
                name = self.source_of(part, row)
                vector += self.cut(self.value(name, row), part, name)
            result.features.setdefault(key, []).append(vector)
        for camera in self.config.cameras:
            found = self.picture(camera, row)
            assert found is not None
            result.pictures.setdefault(camera.feature, []).append(found[1])
            result.ages.setdefault(camera.feature, []).append(found[0] - row)

    def source_of(self, part: Any, row: int) -> str:
        served = self.sample_range(part.stream, row) is not None
        return str(part.stream if served else part.fallback)

    def cut(self, vector: list[float], part: Any, name: str) -> list[float]:
        text = part.slice if name == part.stream else part.fallback_slice
        if text is not None:
            start, stop = (int(x) if x else None for x in text.split(":"))
            vector = vector[start:stop]
        if part.binary_threshold is not None:
            vector = [1.0 if x >= part.binary_threshold else 0.0 for x in vector]
        return vector

    def strategy(self, stream: Any) -> str:
        return str(stream.strategy or self.alignment.strategy)

    def tolerance(self, stream: Any) -> int:
        return round((stream.tolerance_ms or self.alignment.tolerance_ms) * 1e6)

    def max_age(self, stream: Any) -> int:
        return round((stream.max_age_ms or self.alignment.max_age_ms) * 1e6)

    def sample_range(self, name: str, row: int) -> list[int] | None:
        """The samples that serve the row."""
        stream = self.config.stream(name)
        stamps = self.stamps[name]
        strategy = self.strategy(stream)
        if strategy == "hold":
            i = last_before(stamps, row)
            return [i] if i is not None and row - stamps[i] <= self.max_age(stream) else None
        if strategy in ("nearest", "chunking") or (strategy == "linear" and self.causal):
            limit = self.max_age(stream) if strategy == "chunking" else self.tolerance(stream)
            i = nearest(stamps, row, self.causal)
            return [i] if i is not None and abs(stamps[i] - row) <= limit else None
        if strategy == "linear":
            if row in stamps:
                return [stamps.index(row)]
            i = last_before(stamps, row)
            if i is None or i + 1 == len(stamps):
                return None
            near = stamps[i + 1] - stamps[i] <= 2 * self.tolerance(stream)
            return [i, i + 1] if near else None
        half = round(self.alignment.window_ms * 1e6)
        inside = [
            i
            for i, stamp in enumerate(stamps)
            if abs(stamp - row) <= half and not (self.causal and stamp > row)
        ]
        return inside if len(inside) >= self.alignment.min_samples else None

    def value(self, name: str, row: int) -> list[float]:
        chosen = self.sample_range(name, row)
        assert chosen is not None
        stream = self.config.stream(name)
        vectors = [self.samples[name][i] for i in chosen]
        strategy = self.strategy(stream)
        if strategy == "linear":
            a, b = self.stamps[name][chosen[0]], self.stamps[name][chosen[-1]]
            weight = (row - a) / (b - a) if b > a else 0.0
            return interpolate(vectors[0], vectors[-1], weight, str(stream.space))
        if strategy == "window":
            return average(vectors, str(stream.space), self.alignment.aggregation)
        return vectors[0]

    def chunk(self, feature: Any, row: int) -> tuple[list[list[float]], list[bool]]:
        first = feature.parts[0].stream
        stamps = self.stamps[first]
        gaps = sorted(b - a for a, b in itertools.pairwise(stamps))
        step = math.floor(statistics.median(map(Fraction, gaps))) if gaps else 0
        rate = self.alignment.chunk_rate_hz
        chunk: list[list[float]] = []
        padding: list[bool] = []
        for i in range(self.alignment.chunk_size):
            if rate is None:
                moment = row + i * step
            else:
                moment = row + math.floor(i * 1_000_000_000 / Fraction(str(rate)) + Fraction(1, 2))
            vector: list[float] = []
            padded = False
            for part in feature.parts:
                name = self.source_of(part, row)
                sample, is_pad = self.action(name, row, moment, first=i == 0)
                vector += self.cut(self.samples[name][sample], part, name)
                padded = padded or is_pad
            if padded and self.alignment.padding_mode == "constant":
                vector = [self.alignment.padding_value] * len(vector)
            chunk.append(vector)
            padding.append(padded)
        return chunk, padding

    def action(self, name: str, row: int, moment: int, *, first: bool) -> tuple[int, bool]:
        stream = self.config.stream(name)
        stamps = self.stamps[name]
        own = self.sample_range(name, row)
        assert own is not None
        if first:
            return own[0], False
        if self.strategy(stream) == "hold":
            i = last_before(stamps, moment)
            assert i is not None
            return i, moment - stamps[i] > self.max_age(stream)
        last = own[0]
        while last + 1 < len(stamps):
            if self.gap_ns is not None and stamps[last + 1] - stamps[last] > self.gap_ns:
                break
            last += 1
        if moment > stamps[last]:
            return last, True
        found = nearest(stamps, moment, self.causal)
        assert found is not None
        return found, False

    def camera_pictures(self, camera: Any) -> list[tuple[int, int]]:
        """(stamp, id) of the pictures that may be used."""
        stamps = self.stamps[camera.name]
        if str(camera.role) != "downsample":
            return [(stamp, i) for i, stamp in enumerate(stamps)]
        target = Fraction(str(camera.target_fps or self.config.dataset.fps))
        half = math.floor(1_000_000_000 / (2 * target))
        chosen = set()
        k = 0
        while True:
            point = stamps[0] + math.floor(k * 1_000_000_000 / target + Fraction(1, 2))
            if point > stamps[-1] + half:
                break
            i = nearest(stamps, point, False)
            assert i is not None
            if abs(stamps[i] - point) <= half:
                chosen.add(i)
            k += 1
        return [(stamps[i], i) for i in sorted(chosen)]

    def picture_tolerance(self, camera: Any) -> int:
        if camera.tolerance_ms is not None:
            tolerance = round(camera.tolerance_ms * 1e6)
        elif self.alignment.picture_tolerance_ms is not None:
            tolerance = round(self.alignment.picture_tolerance_ms * 1e6)
        else:
            period = Fraction(1_000_000_000, self.config.dataset.fps)
            tolerance = math.floor(period if self.causal else period / 2)
            tolerance += round(self.alignment.tolerance_ms * 1e6)
        if camera.max_age_ms is not None:
            tolerance = min(tolerance, round(camera.max_age_ms * 1e6))
        return int(tolerance)

    def picture(self, camera: Any, row: int) -> tuple[int, int] | None:
        pictures = self.camera_pictures(camera)
        i = nearest([stamp for stamp, _ in pictures], row, self.causal)
        if i is None or abs(pictures[i][0] - row) > self.picture_tolerance(camera):
            return None
        return pictures[i]


def interpolate(a: list[float], b: list[float], weight: float, space: str) -> list[float]:
    if space == "quaternion":
        return [x for k in range(0, len(a), 4) for x in slerp(a[k : k + 4], b[k : k + 4], weight)]
    turn = {"angle": 2 * math.pi, "angle_degrees": 360.0}.get(space)
    if turn is None:
        return [x + weight * (y - x) for x, y in zip(a, b, strict=True)]
    return [wrap(x + weight * wrap(y - x, turn), turn) for x, y in zip(a, b, strict=True)]


def wrap(angle: float, turn: float) -> float:
    return angle - turn * round(angle / turn)


def unit(q: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in q))
    return [x / length for x in q] if length else q


def slerp(a: list[float], b: list[float], weight: float) -> list[float]:
    a, b = unit(a), unit(b)
    cosine = sum(x * y for x, y in zip(a, b, strict=True))
    if cosine < 0:
        b, cosine = [-x for x in b], -cosine
    angle = math.acos(min(1.0, cosine))
    if angle < 1e-9:
        return a
    wa = math.sin((1 - weight) * angle) / math.sin(angle)
    wb = math.sin(weight * angle) / math.sin(angle)
    return [wa * x + wb * y for x, y in zip(a, b, strict=True)]


def average(vectors: list[list[float]], space: str, aggregation: str) -> list[float]:
    if space == "quaternion":
        aligned = []
        for vector in vectors:
            turned: list[float] = []
            for k in range(0, len(vector), 4):
                q, first = unit(vector[k : k + 4]), vectors[0][k : k + 4]
                opposite = sum(x * y for x, y in zip(q, first, strict=True)) < 0
                turned += [-x for x in q] if opposite else q
            aligned.append(turned)
        mean = [middle(column, aggregation) for column in zip(*aligned, strict=True)]
        return [x for k in range(0, len(mean), 4) for x in unit(mean[k : k + 4])]
    turn = {"angle": 2 * math.pi, "angle_degrees": 360.0}.get(space)
    columns = list(zip(*vectors, strict=True))
    if turn is None:
        return [middle(column, aggregation) for column in columns]
    result = []
    for column in columns:
        scale = 2 * math.pi / turn
        sines = sum(math.sin(x * scale) for x in column)
        cosines = sum(math.cos(x * scale) for x in column)
        centre = math.atan2(sines, cosines) / scale
        if aggregation == "median":
            around = middle(tuple(wrap(x - centre, turn) for x in column), "median")
            centre = wrap(centre + around, turn)
        result.append(centre)
    return result


def middle(column: tuple[float, ...], aggregation: str) -> float:
    if aggregation == "median":
        return statistics.median(column)
    total = column[0]
    for x in column[1:]:
        total += x
    return total / len(column)
