"""The registry of strategies: a new one is a file of its own and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lerobot_pipelines.alignment.chunking import CHUNKING
from lerobot_pipelines.alignment.hold import HOLD
from lerobot_pipelines.alignment.linear import LINEAR
from lerobot_pipelines.alignment.nearest import NEAREST
from lerobot_pipelines.alignment.sampling import Method
from lerobot_pipelines.alignment.window import WINDOW
from lerobot_pipelines.config.schema import Strategy

METHODS: Mapping[Strategy, Method] = MappingProxyType(
    {
        Strategy.NEAREST: NEAREST,
        Strategy.CHUNKING: CHUNKING,
        Strategy.WINDOW: WINDOW,
        Strategy.LINEAR: LINEAR,
        Strategy.HOLD: HOLD,
    }
)
