"""Short ways to load a YAML text and to look at what was wrong with it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.faults import ConfigFault
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError

# A sound file in the new key names; tests append to it.
SOUND = """\
dataset: {name: example, fps: 25}
storage: {url: /bucket}
streams:
  - {name: left, file: left.parquet, expected_dimension: 7}
  - {name: right, file: right.parquet, expected_dimension: 7}
cameras:
  - {name: cam_high, role: base}
features:
  observation.state: [left, right]
"""


class Loader:
    """Writes texts as ``example.yaml`` below a folder of the test's own and loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str, name: str = "example.yaml") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def load(self, text: str, overrides: Mapping[str, object] | None = None) -> DatasetConfig:
        return load_config(self.write(text), overrides)

    def faults(
        self, text: str, overrides: Mapping[str, object] | None = None
    ) -> dict[str, ConfigFault]:
        """What is wrong with the text, by key."""
        path = self.write(text)
        with pytest.raises(ConfigError) as caught:
            load_config(path, overrides)
        assert caught.value.message.startswith(str(path))
        return {fault.key: fault for fault in caught.value.details["faults"]}

    def changed(self, **sections: str) -> str:
        """``SOUND`` with sections replaced or added: ``changed(video="{crf: 60}")``."""
        kept, skip = [], False
        for line in SOUND.splitlines(keepends=True):
            if not line.startswith(" "):
                skip = line.partition(":")[0] in sections
            if not skip:
                kept.append(line)
        added = [f"{name}: {text}\n" for name, text in sections.items()]
        return "".join([*kept, *added])
