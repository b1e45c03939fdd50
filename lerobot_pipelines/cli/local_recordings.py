"""Recordings on this machine that an older configuration names beside its bucket.

Earlier systems converted them in place (``-s local``). Here a dataset has one store: such a
recording is uploaded, or converted with the file that names it; which words do that is said here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from lerobot_pipelines.cli.text import safe


def instead_of_handing_over(config_file: Path, episode_id: str, strategy: str | None) -> str | None:
    """The command lines for an episode that is not in the bucket; None if it is not here either."""
    found = next(_named(config_file, episode_id), None)
    if found is None:
        return None
    file, recording = found
    chosen = [] if strategy is None else ["--strategy", strategy]
    upload = ["publish", "-c", str(config_file), str(recording), "-e", episode_id, *chosen]
    convert = ["convert", "-c", str(file), "-e", episode_id, *chosen]
    lines = [f"  lerobot-pipelines {shlex.join(words)}" for words in (upload, convert)]
    return safe(
        f"its recording is on this machine; upload it, or convert it where it is:\n{lines[0]}\n"
        f"{lines[1]}",
        lines=True,
    )


def _named(config_file: Path, episode_id: str) -> Iterator[tuple[Path, Path]]:
    """The file that says ``input.data_path``, and the episode's folder below that."""
    from lerobot_pipelines.config.legacy_template import template_files
    from lerobot_pipelines.config.read import read_document
    from lerobot_pipelines.errors import ConfigError

    folder = Path(os.path.abspath(config_file)).parent
    data = read_document(config_file).data
    for file in (config_file, *template_files(data, folder)):
        try:
            section = read_document(file).data["input"]
        except (ConfigError, KeyError, TypeError):
            continue
        place = section.get("data_path") if isinstance(section, Mapping) else None
        if not isinstance(place, str) or place != section.get("images_path", place):
            continue
        for root in (Path(), file.parent):
            recording = root / place / episode_id
            if recording.is_dir():
                yield Path(os.path.relpath(file)), Path(os.path.normpath(recording))
