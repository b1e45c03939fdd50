"""The datasets' YAML files: which are read, which one a dataset comes from, which are left out.

One broken or doubled file never stops the others, nor its own dataset: that one goes on as the
file was last loaded, until it is repaired.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.config import dump_config, load_config, shipped_configs
from lerobot_pipelines.config.legacy_template import TEMPLATE
from lerobot_pipelines.config.load import SUFFIXES, dataset_place, without_templates
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs.broken import BrokenConfiguration, printable
from lerobot_pipelines.defs.config_memory import ConfigMemory, Loaded
from lerobot_pipelines.errors import ConfigError

logger = logging.getLogger("lerobot_pipelines.definitions")

CONFIGS_VARIABLE = "LEROBOT_PIPELINES_CONFIGS"
# JSON: keys of every configuration that a service was started with other values of.
OVERRIDES_VARIABLE = "LEROBOT_PIPELINES_OVERRIDES"

# What people and programs add to the name of a copy. Only asked where nobody knows which of two
# files of one dataset was in use before.
_COPY = re.compile(
    r"(?<![a-z])(copy|kopie|copie|copia|backup|bak|old|orig|original|save|saved|tmp|temp|alt)"
    r"(?![a-z])|\(\d+\)|~|副本|备份|コピー|복사본",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: Path
    config: DatasetConfig
    text: str


def config_files() -> list[Path]:
    """The YAML files of ``$LEROBOT_PIPELINES_CONFIGS``, else the shipped ones.

    A strategy's file that another one names is a part of that one. The variable names a folder, or
    several folders and files as ``PATH`` does. Hidden files in folders (editors' and file systems'
    own) are none. Raises ``ConfigError`` for what is neither.
    """
    named = os.environ.get(CONFIGS_VARIABLE)
    if not named:
        return sorted(shipped_configs().values())
    whole = Path(named).expanduser()
    parts = [named] if whole.exists() else [one for one in named.split(os.pathsep) if one]
    files: dict[Path, None] = {}
    for part in parts:
        place = Path(part).expanduser()
        if place.is_dir():
            files |= dict.fromkeys(_files_in(place))
        elif place.is_file():
            files[place] = None
        elif len(parts) == 1:
            raise ConfigError(f"{CONFIGS_VARIABLE}={named} is not a folder; create it or unset it")
        else:
            raise ConfigError(f"{CONFIGS_VARIABLE} names {part}, which is not there")
    return list(files)


def _files_in(folder: Path) -> list[Path]:
    return without_templates(
        sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        )
    )


def read_configs(
    files: Sequence[Path], memory: ConfigMemory | None = None
) -> tuple[dict[str, DatasetConfig], list[BrokenConfiguration]]:
    """The datasets of these files by name, and the files that are left out.

    Of two files with one dataset, or with one place to write to, the one in use stays in use, so
    that adding a file never stops a dataset. A file that cannot be loaded any more counts as it
    was when it last could.
    """
    memory = memory or ConfigMemory.open()
    broken: list[BrokenConfiguration] = []
    candidates: list[_Candidate] = []
    for path in files:
        try:
            candidates.append(_loaded_now(path))
        except ConfigError as error:
            earlier = _loaded_before(path, memory)
            kept = earlier.config.dataset.name if earlier else None
            broken.append(BrokenConfiguration(path, error, kept))
            candidates += [earlier] if earlier else []
    configs: dict[str, DatasetConfig] = {}
    owners: dict[str, _Candidate] = {}
    places: dict[tuple[str, ...], Path] = {}
    left_out = {each.path for each in broken}
    for one in sorted(candidates, key=lambda one: _rank(one, memory)):
        name, place = one.config.dataset.name, dataset_place(one.config)
        if (fault := _clash(one, owners.get(name), places.get(place))) is None:
            configs[name], owners[name], places[place] = one.config, one, one.path
        elif one.path not in left_out:
            broken.append(BrokenConfiguration(one.path, fault))
    memory.replace({one.path: Loaded(name, one.text) for name, one in owners.items()})
    for each in broken:
        logger.error("%s is left out: %s", printable(str(each.path)), each.message)
    return dict(sorted(configs.items())), sorted(broken, key=lambda each: each.path)


def _overrides() -> dict[str, object] | None:
    try:
        return dict(json.loads(os.environ.get(OVERRIDES_VARIABLE) or "{}")) or None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{OVERRIDES_VARIABLE} is not a JSON object: {error}") from error


def _loaded_now(path: Path) -> _Candidate:
    config = load_config(path, _overrides())
    try:
        text = path.read_text(encoding="utf-8-sig")
        if TEMPLATE[-1] in text:
            text = dump_config(config)  # the file is but a part of it
        return _Candidate(path, config, text)
    except (OSError, UnicodeDecodeError) as error:  # replaced since
        raise ConfigError(f"{path} changed while it was read: {error}") from error


def _loaded_before(path: Path, memory: ConfigMemory) -> _Candidate | None:
    if (earlier := memory.last_loaded(path)) is None:
        return None
    try:
        config = load_config(path, _overrides(), text=earlier.text)
        return _Candidate(path, config, earlier.text)
    except ConfigError:  # the environment changed, or the project
        return None


def _rank(one: _Candidate, memory: ConfigMemory) -> tuple[object, ...]:
    """Who comes first has a dataset that several files describe."""
    name, stem = one.config.dataset.name, one.path.stem
    return (
        not memory.is_in_use(one.path, name),
        _COPY.search(stem) is not None,
        stem != name,
        len(stem),
        one.path.suffix != SUFFIXES[0],
        one.path,
    )


def _clash(
    one: _Candidate, same_name: _Candidate | None, same_place: Path | None
) -> ConfigError | None:
    name = one.config.dataset.name
    if same_name is not None:
        return ConfigError(
            f'dataset.name "{name}" of {one.path.name} is already that of {same_name.path.name}, '
            "which stays in use; remove this file if it is a copy, else give its dataset another "
            "name"
        )
    if same_place is not None:
        return ConfigError(
            f"the dataset of {one.path.name} would be written to the folder of that of "
            f"{same_place.name}, which stays in use; give it another dataset.pattern"
        )
    return None
