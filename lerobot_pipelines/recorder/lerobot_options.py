"""The three options that make lerobot's recording command save asynchronously.

They are fields of lerobot's own configuration, in this process alone, so that lerobot's parser
reads them from the command line or from ``--config_path``, and ``--help`` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Any


@dataclass
class AsyncOptions:
    """What asynchronous saving adds to ``--dataset``."""

    # Save episodes in the background, while the next one is recorded.
    async_saving: bool = False
    # How many episodes may wait to be saved; with more, saving waits as it does without.
    async_save_queue_size: int = 10
    # Seconds after which a save counts as failed.
    async_save_timeout: float = 300.0

    def fault(self) -> str | None:
        """What is wrong with the values. lerobot's parser would show it below a traceback."""
        for name in ("async_save_queue_size", "async_save_timeout"):
            if not getattr(self, name) > 0:
                return f"--dataset.{name} must be positive, not {getattr(self, name)}"
        return None


def add_async_options(module: Any) -> None:
    """Give the ``dataset`` part of a record module's ``RecordConfig`` the fields; again nothing.

    ``module`` is lerobot's, once imported. Its files stay as they are.
    """
    config = module.RecordConfig
    original = config.__annotations__["dataset"]
    if issubclass(original, AsyncOptions):
        return
    extended = make_dataclass(original.__name__, [], bases=(AsyncOptions, original))
    # Where its parser finds the comments that --help shows.
    extended.__module__, extended.__qualname__ = original.__module__, original.__qualname__
    config.__annotations__["dataset"] = extended
    config.__dataclass_fields__["dataset"].type = extended
