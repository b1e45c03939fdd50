"""Rules on streams and on the features made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lerobot_pipelines.config.faults import KeyPath, suggestion
from lerobot_pipelines.config.rules_names import path_fault
from lerobot_pipelines.config.schema import (
    DatasetConfig,
    FeatureConfig,
    FeaturePart,
    Interpolation,
    Strategy,
    StreamConfig,
)
from lerobot_pipelines.config.slices import (
    element_indices,
    fields_length,
    parse_slice,
    slice_length,
    split_subscript,
    subscripts,
)

Finding = tuple[KeyPath, str]

# LeRobot adds these to every dataset.
DEFAULT_FEATURES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
# What else a loaded row holds.
_ROW_KEYS = ("task", "task_index", "subtask", "next.done")
PADDING_SUFFIX = "_is_pad"


def stream_dimension(stream: StreamConfig) -> int | None:
    """How many elements a sample has, as far as the configuration says."""
    if stream.expected_dimension is not None:
        return stream.expected_dimension
    if stream.columns is not None:
        return len(stream.columns)
    if stream.joint_names is not None:
        return len(stream.joint_names) * _fields(stream)
    return None if stream.field is None else fields_length(stream.field)


def part_length(config: DatasetConfig, part: FeaturePart) -> int | None:
    """How many elements a part contributes, if that is certain."""
    dimension = _dimension(config, part.stream)
    try:
        if dimension is not None:
            return len(element_indices(part.slice, dimension))
        return None if part.slice is None else slice_length(part.slice)
    except ValueError:
        return None


def names_of_streams(config: DatasetConfig) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for index, stream in enumerate(config.streams):
        if stream.name in seen:
            yield ("streams", index, "name"), f'is used twice: "{stream.name}"; rename one'
        seen.setdefault(stream.name, "stream")
    for index, camera in enumerate(config.cameras):
        if camera.name in seen:
            what = seen[camera.name]
            yield (
                ("cameras", index, "name"),
                f'is used twice: there is a {what} "{camera.name}" as well; rename one',
            )
        seen.setdefault(camera.name, "camera")


def sources_of_streams(config: DatasetConfig) -> Iterator[Finding]:
    for index, stream in enumerate(config.streams):
        path = ("streams", index)
        if stream.topic is None and stream.file is None:
            yield path, f'the stream "{stream.name}" needs a file (folders) or a topic (bags)'
        if stream.file is not None and (fault := path_fault(stream.file)):
            yield (*path, "file"), f"{fault}; give the file's path below the joints folder"
        if stream.columns is not None and stream.file is None:
            yield (*path, "columns"), "is for files; with a topic use field"
        if stream.joint_names is not None and stream.topic is None:
            yield (*path, "joint_names"), "is for topics; with a file use columns"
        if stream.field is not None:
            try:
                for taken in subscripts(stream.field):
                    parse_slice(taken)
            except ValueError as error:
                yield (*path, "field"), str(error)
            if not all(split_subscript(field)[0] for field in stream.field.split(",")):
                yield (*path, "field"), "names no field; write for example position[0:7]"


def dimensions_of_streams(config: DatasetConfig) -> Iterator[Finding]:
    for index, stream in enumerate(config.streams):
        path = ("streams", index)
        dimension = stream_dimension(stream)
        if dimension is None:
            continue
        for name, listed, fields in (
            ("columns", stream.columns, 1),
            ("joint_names", stream.joint_names, _fields(stream)),
        ):
            if listed is None:
                continue
            if len(listed) * fields != dimension:
                each = f" for each of {fields} fields" if fields > 1 else ""
                yield (*path, name), f"has {len(listed)} entries{each}; {dimension} are expected"
            if repeated := _repeated(listed):
                yield (*path, name), f'holds "{repeated}" twice'
        if stream.field is not None and stream.columns is None and stream.joint_names is None:
            length = fields_length(stream.field)
            # Elements that are messages hold several numbers each.
            if length is not None and dimension % length:
                yield (
                    (*path, "field"),
                    f"takes {length} elements, but expected_dimension is {dimension}",
                )
        for name, factors in (("scale", stream.scale), ("bias", stream.bias)):
            if isinstance(factors, tuple) and len(factors) != dimension:
                yield (
                    (*path, name),
                    f"has {len(factors)} numbers for {dimension} elements; give one number or "
                    "one per element",
                )
        if stream.space is Interpolation.QUATERNION and dimension % 4:
            yield (
                (*path, "space"),
                f"quaternions come in blocks of four, but the stream has {dimension} elements; "
                "make it a stream of its own",
            )


def strategies_of_streams(config: DatasetConfig) -> Iterator[Finding]:
    for index, stream in enumerate(config.streams):
        if stream.strategy is Strategy.CHUNKING:
            yield (
                ("streams", index, "strategy"),
                "chunking is a matter of features: set alignment.strategy: chunking and mark "
                "the feature with chunk: true",
            )
        strategy = stream.strategy or config.alignment.strategy
        if stream.max_age_ms is not None and strategy is not Strategy.HOLD:
            yield (
                ("streams", index, "max_age_ms"),
                f"only hold looks at the age, but this stream uses {strategy}; set strategy: "
                "hold, or use tolerance_ms",
            )


def keys_of_features(config: DatasetConfig) -> Iterator[Finding]:
    cameras = {camera.feature: camera.name for camera in config.cameras}
    padding = {f"{key}{PADDING_SUFFIX}" for key, value in config.features.items() if value.chunk}
    for key in config.features:
        path = ("features", key)
        if fault := feature_key_fault(key):
            yield path, fault
        elif key in cameras:
            yield path, f'is the feature of the camera "{cameras[key]}" as well; rename one'
        elif key in padding:
            yield path, "is what the padding mask of a chunk is called; rename it"
        elif "image" in key:
            yield (
                path,
                'holds the word "image", which makes LeRobot take its statistics for a '
                "picture's; rename it",
            )


def feature_key_fault(key: str) -> str | None:
    """What is wrong with the name of a LeRobot feature."""
    if not key or key != key.strip() or not key.isprintable():
        return "is no name for a feature; use letters, digits, _ and ."
    if "/" in key or "\\" in key:
        return f'must not hold "/"; use ".", for example {key.replace("/", ".").strip(".")}'
    if key in DEFAULT_FEATURES or key in _ROW_KEYS:
        return f'"{key}" is a feature that LeRobot adds itself; rename it'
    if key in (".", "..") or key.startswith(".") or key.endswith("."):
        return 'must not begin or end with "."'
    return None


def parts_of_features(config: DatasetConfig) -> Iterator[Finding]:
    known = [stream.name for stream in config.streams]
    cameras = {camera.name for camera in config.cameras}
    for key, feature in config.features.items():
        for index, part in enumerate(feature.parts):
            path = ("features", key, "parts", index)
            for field, name, taken in (
                ("stream", part.stream, part.slice),
                ("fallback", part.fallback, part.fallback_slice),
            ):
                if name is None:
                    continue
                if name in cameras:
                    yield (
                        (*path, field),
                        f'"{name}" is a camera; a camera is a feature by itself, see its key '
                        "feature",
                    )
                elif name not in known:
                    hint = suggestion(name, known) or "; there are none: add it under streams"
                    yield (*path, field), f'there is no stream "{name}"{hint}'
                elif taken is not None:
                    spelled = "slice" if field == "stream" else "fallback_slice"
                    if fault := _slice_fault(config, name, taken):
                        yield (*path, spelled), fault
            yield from _fallback(config, path, part)
        yield from _names(config, key, feature)


def _slice_fault(config: DatasetConfig, stream: str, taken: str) -> str | None:
    dimension = _dimension(config, stream)
    try:
        if dimension is None:
            parse_slice(taken)
        else:
            element_indices(taken, dimension)
    except ValueError as error:
        return f'{error} (stream "{stream}")' if dimension is not None else str(error)
    return None


def _fallback(config: DatasetConfig, path: KeyPath, part: FeaturePart) -> Iterator[Finding]:
    if part.fallback is None:
        if part.fallback_slice is not None:
            yield (*path, "fallback_slice"), "is given without fallback; add the stream's name"
        return
    own = part_length(config, part)
    other = part_length(config, FeaturePart(stream=part.fallback, slice=part.fallback_slice))
    if own is not None and other is not None and own != other:
        yield (
            (*path, "fallback"),
            f'has {other} elements, "{part.stream}" has {own}; choose the elements with '
            "fallback_slice",
        )


def _names(config: DatasetConfig, key: str, feature: FeatureConfig) -> Iterator[Finding]:
    for index, part in enumerate(feature.parts):
        length = part_length(config, part)
        if part.names is not None and length is not None and len(part.names) != length:
            yield (
                ("features", key, "parts", index, "names"),
                f"has {len(part.names)} names for {length} elements",
            )
    if repeated := _repeated([name for part in feature.parts for name in part.names or ()]):
        yield ("features", key), f'two elements are called "{repeated}"; give each its own name'


def chunks(config: DatasetConfig) -> Iterator[Finding]:
    if config.alignment.strategy is not Strategy.CHUNKING:
        return
    if not any(feature.chunk for feature in config.features.values()):
        yield (
            ("alignment", "strategy"),
            "chunking needs a feature to chunk; set features.action.chunk: true",
        )


def something(config: DatasetConfig) -> Iterator[Finding]:
    if not config.features and not config.cameras:
        yield (
            (),
            "describes neither features nor cameras; add robot.arms, or streams and features, "
            "and cameras",
        )


def _dimension(config: DatasetConfig, stream: str) -> int | None:
    return next((stream_dimension(item) for item in config.streams if item.name == stream), None)


def _fields(stream: StreamConfig) -> int:
    """How many numbers there are of each joint."""
    return 1 if stream.field is None else len(stream.field.split(","))


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


RULES = (
    names_of_streams,
    sources_of_streams,
    dimensions_of_streams,
    strategies_of_streams,
    keys_of_features,
    parts_of_features,
    chunks,
    something,
)
