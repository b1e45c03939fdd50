"""Where the files of a recording on this machine go in the bucket."""

from __future__ import annotations

from pathlib import Path

from lerobot_pipelines.config.legacy_keys import STORE_KINDS
from lerobot_pipelines.config.schema import DatasetConfig, LayoutConfig
from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.model import EpisodeSource
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.recordings.layout import (
    BAG_SUFFIXES,
    EpisodeLayout,
    bag_sidecars,
    is_bag,
    is_data,
    is_ignored,
    section_names,
)
from lerobot_pipelines.recordings.local_source import source_from_path
from lerobot_pipelines.storage.names import check_key, join, shown


def episode_key(config: DatasetConfig, source: str | None, episode_id: str, bag: str) -> str:
    """The episode's key in the bucket; ``bag`` is the file name of a recording that is one.

    Raises ``ConfigError`` for a source that the dataset does not watch, ``Refused`` (bad_name) for
    a name that cannot be a partition.
    """
    sources = [one.strip("/") for one in config.storage.sources]
    if sources and source is None:
        raise ConfigError(
            f"the dataset takes recordings of {', '.join(sources)}; say which one this is with "
            "source=..., --source or the environment variable ROBOT_ID"
        )
    if sources and (source or "").strip("/") not in sources:
        raise ConfigError(
            f"the source {shown(source or '')} is none of storage.sources: {', '.join(sources)}; "
            "nobody would find the episode there"
        )
    check_key(episode_id)
    key = join(source or "", episode_id)
    suffix = next((one for one in reversed(BAG_SUFFIXES) if bag.lower().endswith(one)), "")
    if not key.lower().endswith(suffix):
        key += suffix
    encode_key(key)
    return key


def source_folder(config: DatasetConfig, source: str | None) -> str | None:
    """The robot's folder below the raw prefix; None where ``source`` is none, or names a kind of
    store ("local", "bos", "s3") as earlier systems did: ``storage.url`` says where that is.

    Raises ``ConfigError`` for a source that the dataset does not watch.
    """
    if source is None:
        return None
    name = source.strip("/")
    sources = [one.strip("/") for one in config.storage.sources]
    if name in sources:
        return name
    if name in STORE_KINDS:
        return None
    if sources:
        raise ConfigError(
            f"there is no source {shown(source)}; storage.sources has {', '.join(sources)}"
        )
    return name


def local_recording(path: Path) -> EpisodeSource:
    """The recording as local files. Raises ``Refused`` for one that is none or is not finished."""
    source = source_from_path(path)
    if is_ignored(Path(source.key).name):
        raise Refused(
            Reason.INCOMPLETE_UPLOAD, f"{path} is not finished; its recorder still writes to it"
        )
    return source


def bag_name(source: EpisodeSource) -> str:
    """The file name of a recording that is one bag, else ""."""
    return Path(source.key).name if is_bag(source.key) else ""


def targets(source: EpisodeSource, key: str, layout: LayoutConfig) -> dict[str, Path]:
    """Path below the raw prefix -> local file, for everything that belongs to the recording.

    A folder recording goes into one folder of its own, in whichever layout it lies here.
    """
    if is_bag(source.key):
        found = _bag_targets(source, key)
    else:
        found = _folder_targets(source, key, layout)
    if not any(is_data(path, None) or not path.endswith(".json") for path in found):
        raise Refused(
            Reason.INCOMPLETE_UPLOAD, f"{source.uri} holds neither joints nor images nor a bag"
        )
    return found


def _bag_targets(source: EpisodeSource, key: str) -> dict[str, Path]:
    descriptions = dict(zip(bag_sidecars(source.key), bag_sidecars(key), strict=True))
    names = {source.key: key} | descriptions
    return {names[member.path]: source.root / member.path for member in source.members}


def _folder_targets(source: EpisodeSource, key: str, layout: LayoutConfig) -> dict[str, Path]:
    # On the robot's disk the folders have their plain names, whatever the bucket calls them.
    here = EpisodeLayout(source.key, LayoutConfig())
    sections = section_names(layout)
    found: dict[str, Path] = {}
    places = here.places(member.path for member in source.members)
    for member in source.members:
        folder, _, name = member.path.rpartition("/")
        place = places.get(member.path)
        if here.is_metadata(member.path):
            # Beside the sections; one of a section's own stays in it.
            section = here.folders.get(folder)
            path = join(key, sections[section] if section else "", name)
        elif place is not None and is_data(place.path, place.section):
            path = join(key, sections[place.section], place.path)
        elif folder == source.key and is_data(name, None):
            path = join(key, name)
        else:
            continue
        if not any(is_ignored(part) for part in path[len(key) + 1 :].split("/")):
            found[path] = source.root / member.path
    return found
