"""A configuration file that is left out, as something one sees in the UI.

The other datasets go on. The broken one is an asset in the group ``broken_configurations``: its
description lists the faults, and materialising it says whether the file is repaired.
"""

# No postponed annotations here: Dagster looks at the type of ``context`` itself.

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from lerobot_pipelines.config import load_config
from lerobot_pipelines.defs.faults import dagster_failures
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.storage.names import shown

GROUP = "broken_configurations"


@dataclass(frozen=True, slots=True)
class BrokenConfiguration:
    """``kept``: the dataset that goes on as this file was last loaded, if there is one."""

    path: Path
    error: ConfigError
    kept: str | None = None

    @property
    def message(self) -> str:
        """What is wrong, in characters that every encoding has: names may hold any bytes."""
        return printable(self.error.message)


def broken_assets(broken: Sequence[BrokenConfiguration]) -> list[dg.AssetsDefinition]:
    """One asset a file, named after it; where two would share a name, a digest tells them apart."""
    stems = {each.path: _cleaned(each.path.stem) for each in broken}
    often = Counter(stems.values())
    return [
        _broken_asset(each, stem if often[stem] == 1 else f"{stem}_{_digest(each.path)}")
        for each, stem in ((each, stems[each.path]) for each in broken)
    ]


def _cleaned(stem: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in stem)[:100]


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]


def _broken_asset(broken: BrokenConfiguration, asset_name: str) -> dg.AssetsDefinition:
    name = shown(broken.path.name).strip('"')
    state = (
        f"Its dataset {broken.kept} goes on as the file was last loaded."
        if broken.kept
        else "Its dataset is not converted."
    )

    @dg.asset(
        key=[GROUP, asset_name],
        group_name=GROUP,
        kinds={"yaml"},
        description=(
            f"**{name} is left out. {state}**\n\n"
            f"```\n{broken.message}\n```\n\n"
            "Correct the file and reload the code location."
        ),
    )
    def broken_configuration(context: dg.AssetExecutionContext) -> None:
        with dagster_failures():
            load_config(broken.path)
        # Read without a fault: the file was repaired, or clashes with another one only.
        raise dg.Failure(
            f"{name} was left out when this code location was loaded: {broken.message}. If it is "
            "repaired now, reload the code location.",
            allow_retries=False,
        )

    return broken_configuration


def printable(text: str) -> str:
    """With escapes for what UTF-8 cannot hold: bytes of names that are none."""
    return text.encode("utf-8", "backslashreplace").decode()
