"""Where the real recordings and the real lerobot are, on machines that have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import Format

INTERPRETERS = {
    Format.V21: "LEROBOT_PIPELINES_LEROBOT_V21_PYTHON",
    Format.V30: "LEROBOT_PIPELINES_LEROBOT_V30_PYTHON",
}


NEWEST = "LEROBOT_PIPELINES_LEROBOT_V06_PYTHON"  # needs Python 3.12


def shared_folder() -> Path:
    """The folder of real recordings and tools that CI names."""
    return Path(_named("LEROBOT_PIPELINES_SHARED"))


def lerobot_python(fmt: Format) -> str:
    """The interpreter whose lerobot reads the format: 0.3.3 for v2.1, 0.4.4 for v3.0."""
    return _named(INTERPRETERS[fmt])


def lerobot_python_of(version: str) -> str:
    """The interpreter of lerobot "0.3", "0.4" or "0.6"."""
    variables = {"0.3": INTERPRETERS[Format.V21], "0.4": INTERPRETERS[Format.V30]}
    return _named(variables.get(version, NEWEST))


def _named(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs files that are not part of the repository: set {variable} (CI does)")
    return value
