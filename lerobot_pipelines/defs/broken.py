"""A configuration file that cannot be loaded, as something one sees in the UI.

The other datasets go on. The broken one is an asset in the group ``broken_configurations``: its
description lists the faults, and materialising it says whether the file is repaired.
"""

# No postponed annotations here: Dagster looks at the type of ``context`` itself.

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from lerobot_pipelines.config import load_config
from lerobot_pipelines.defs.faults import dagster_failures
from lerobot_pipelines.errors import ConfigError

GROUP = "broken_configurations"


@dataclass(frozen=True, slots=True)
class BrokenConfiguration:
    path: Path
    error: ConfigError


def broken_asset(broken: BrokenConfiguration) -> dg.AssetsDefinition:
    stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in broken.path.stem)

    @dg.asset(
        key=[GROUP, stem],
        group_name=GROUP,
        kinds={"yaml"},
        description=(
            f"**{broken.path.name} is left out: its dataset is not converted.**\n\n"
            f"```\n{broken.error.message}\n```\n\n"
            "Correct the file and reload the code location."
        ),
    )
    def broken_configuration(context: dg.AssetExecutionContext) -> None:
        with dagster_failures():
            load_config(broken.path)
        # Read without a fault: the file was repaired, or clashes with another one's name only.
        raise dg.Failure(
            f"{broken.path.name} was left out when this code location was loaded: "
            f"{broken.error.message}. If it is repaired now, reload the code location.",
            allow_retries=False,
        )

    return broken_configuration
