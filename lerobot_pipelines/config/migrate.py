"""Files of earlier converters in today's form, with what each key became beside it.

The text is made of what loading makes of the files, and read back before it is given out: it has
to give the same configuration, hash for hash.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.bos_endpoint import rewrite_endpoint
from lerobot_pipelines.config.draft import Draft
from lerobot_pipelines.config.dump import plain_scalar
from lerobot_pipelines.config.environment import Substitution, escaped
from lerobot_pipelines.config.faults import KeyPath, dotted
from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.legacy_template import TEMPLATE_KEY
from lerobot_pipelines.config.load import load_config, translated
from lerobot_pipelines.config.read import read_document
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError, PipelineError

_ORDER = (
    *("dataset", "storage", "layout", "robot", "streams", "cameras", "features"),
    *("alignment", "filtering", "video", "limits", "logging"),
)
_ROBOT = ("robot", "cameras", "streams", "features", "rosbag")
STAND_IN = "file:///recordings"


@dataclass(frozen=True, slots=True)
class Migrated:
    """``text`` is the configuration in today's form; ``name`` that of its dataset."""

    name: str
    text: str
    config: DatasetConfig


def migrate(files: Sequence[Path]) -> list[Migrated]:
    """Today's form of each configuration that ``files`` make: see ``configurations``.

    Raises ``ConfigError`` for files that are faulty, with every fault.
    """
    return [_migrated(path, strategy) for path, strategy in configurations(files)]


def configurations(files: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Which file is loaded with which strategy's file; None: with the one that it names, if any.

    A file without a robot among others that have one is a service's: each of those is one
    configuration together with it.
    """
    strategies = [path for path in files if _has_robot(path)]
    services = [path for path in files if path not in strategies]
    if not services or not strategies:
        return [(path, None) for path in files]
    return [(service, strategy) for service in services for strategy in strategies]


def _has_robot(path: Path) -> bool:
    data = read_document(path).data
    return any(key in data for key in _ROBOT)


def _migrated(path: Path, strategy: Path | None) -> Migrated:
    overrides = {} if strategy is None else {TEMPLATE_KEY: str(strategy)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        placed = translated(path, overrides).get("storage", "url") is not None
        bucket = None if placed else STAND_IN
        draft = translated(path, overrides, bucket=bucket)
        config = load_config(path, overrides, bucket=bucket)
    rewrite_endpoint(draft)
    if draft.get("storage", "url") == STAND_IN:
        draft.pop("storage", "url")
    _absolute(draft, config)
    text = _text(draft, path)
    _refuse_difference(path, config, text, bucket)
    return Migrated(config.dataset.name, text, config)


def _absolute(draft: Draft, config: DatasetConfig) -> None:
    """Relative places are meant from here: the new file may lie elsewhere."""
    url = ("storage", "url")
    if isinstance(draft.get(*url), str) and not draft.is_secret(url):
        draft.put(url, config.storage.url, draft.origin(url))
    for path, value in (
        (("logging", "file"), config.logging.file),
        (("storage", "cache_dir"), config.storage.cache_dir),
    ):
        if value is not None and not draft.is_secret(path):
            draft.put(path, value, draft.origin(path))


def _refuse_difference(path: Path, config: DatasetConfig, text: str, bucket: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = load_config(path, text=text, bucket=bucket)
    stages = (raw_hash, alignment_hash, video_hash, dataset_hash)
    if again != config or any(stage(again) != stage(config) for stage in stages):
        raise PipelineError(
            f"{path} cannot be written in today's form: it would not be the same configuration; "
            "load the file as it is, and please report this"
        )


def _text(draft: Draft, path: Path) -> str:
    names = [path.name] + ([draft.template.name] if draft.template is not None else [])
    lines = [
        f"# {' and '.join(names)} in today's keys, written by lerobot-pipelines config migrate.",
        "# Behind each key: what it was. Every key: lerobot-pipelines config reference.",
    ]
    remarks = [*draft.notes, *draft.warnings]
    if remarks:
        lines += ["#", "# What is no longer so, and what took its place:"]
        lines += [f"# - {' '.join(remark.split())}" for remark in remarks]
    data = draft.data
    keys = [key for key in _ORDER if key in data]
    keys += [key for key in data if key not in _ORDER]
    for key in keys:
        if data[key] is None or data[key] == {}:
            continue
        lines += ["", *_entry(draft, (key,), data[key])]
    if not isinstance(data.get("storage"), Mapping) or "url" not in data["storage"]:
        lines += ["", "# storage.url is not given: convert with --input and --output, or add it."]
    return "\n".join(lines) + "\n"


def _entry(draft: Draft, path: KeyPath, value: Any) -> list[str]:
    """The lines of one key, indented by its depth."""
    pad = "  " * (len(path) - 1)
    key = f"{pad}{plain_scalar(path[-1])}:"
    if isinstance(value, Mapping) and value:
        inner = [_entry(draft, (*path, name), item) for name, item in value.items()]
        return [key, *(line for lines in inner for line in lines)]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        items = [f"{pad}  - {_written(draft, (*path, n), item)}" for n, item in enumerate(value)]
        return [f"{key}{_became(draft, path)}", *items]
    return [f"{key} {_written(draft, path, value)}{_became(draft, path)}"]


def _became(draft: Draft, path: KeyPath) -> str:
    """``  # was bos.scanner.interval, line 15``; nothing for a key that stays where it was."""
    origin = draft.origin(path)
    if origin == path:
        known = any(path[:length] in draft.document.lines for length in range(2, len(path) + 1))
        return "" if known or len(path) < 2 else "  # not given: as the earlier converter had it"
    line, file = draft.document.line(origin), draft.document.file(origin)
    where = "" if line is None else f", {f'{file} ' if file else ''}line {line}"
    named = origin
    while len(named) > 1 and named not in draft.document.lines:
        named = named[:-1]
    return f"  # {'was' if named == origin else 'follows from'} {dotted(named)}{where}"


def _written(draft: Draft, path: KeyPath, value: Any) -> str:
    return plain_scalar(_with_variables(draft, path, value))


def _with_variables(draft: Draft, path: KeyPath, value: Any) -> Any:
    """The value with what came from variables by their names, as the file has it."""
    if isinstance(value, Mapping):
        return {key: _with_variables(draft, (*path, key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_variables(draft, (*path, n), item) for n, item in enumerate(value)]
    if isinstance(value, str) and draft.is_secret(path):
        for place in (draft.origin(path), path):
            raw = _in_tree(draft.written, place)
            filled = Substitution(os.environ).apply(raw) if isinstance(raw, str) else ""
            if filled and filled in value:
                return value.replace(filled, raw)  # s3:// and the bucket's name
            if raw is not None and filled == value:
                return raw
        raise ConfigError(
            f"{draft.label(path)} is made of an environment variable in a way that has no form "
            "today; write it without one, or load the file as it is"
        )
    return escaped(value)


def _in_tree(tree: Any, path: KeyPath) -> Any:
    for part in path:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
