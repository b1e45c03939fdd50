"""Which feature a recording's topic became, by the configuration that the dataset was made with."""

from __future__ import annotations

from lerobot_pipelines.config.rules_features import stream_dimension
from lerobot_pipelines.config.schema import DatasetConfig, FeaturePart
from lerobot_pipelines.config.slices import slice_length
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.source import Source


def feature_of_topic(
    config: DatasetConfig, source: Source, wanted: str
) -> tuple[str, range | None] | None:
    """The feature that holds the topic or stream, and which of its elements (None: all).

    None if the configuration does not know it. Raises ``ConfigError`` if a topic became more than
    one stream, or if the configuration does not say how wide the parts of the feature are.
    """
    cameras = [c.feature for c in config.cameras if wanted in (c.topic, c.folder, c.name)]
    if cameras:
        return cameras[0], None
    streams = [s.name for s in config.streams if wanted in (s.topic, s.file, s.name)]
    if len(streams) > 1 and wanted not in streams:
        raise ConfigError(
            f"{wanted} became the streams {', '.join(streams)}; name one of these instead"
        )
    name = wanted if wanted in streams else (streams[0] if streams else None)
    for key, feature in config.features.items():
        for number, part in enumerate(feature.parts):
            if part.stream == name and key in source.features:
                if len(feature.parts) == 1:
                    return key, None
                width = source.features[key].shape[-1]
                return key, _position(config, key, feature.parts, number, width)
    return None


def _position(
    config: DatasetConfig, key: str, parts: tuple[FeaturePart, ...], number: int, total: int
) -> range:
    widths = [_width(config, part) for part in parts]
    unknown = [position for position, width in enumerate(widths) if width is None]
    if len(unknown) == 1:
        widths[unknown[0]] = total - sum(width for width in widths if width is not None)
    known = [width for width in widths if width is not None]
    if len(known) < len(widths) or sum(known) != total:
        raise ConfigError(
            f"{key} has {total} elements, and the configuration does not say which of them stream "
            f"{parts[number].stream} became; give the feature and `elements` instead"
        )
    return range(sum(known[:number]), sum(known[: number + 1]))


def _width(config: DatasetConfig, part: FeaturePart) -> int | None:
    if part.slice is not None and (length := slice_length(part.slice)) is not None:
        return length
    if part.names is not None:
        return len(part.names)
    stream = next((one for one in config.streams if one.name == part.stream), None)
    if stream is None or part.slice is not None:
        return None
    return stream_dimension(stream)
