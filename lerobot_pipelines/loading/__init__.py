"""Train from the datasets: loaders for PyTorch (extra ``train``) that need no work-arounds.

``make_chunk_dataset`` gives random access to items equal to lerobot's, ``make_interleave_dataset``
a stream over several datasets by weight, ``make_lazy_dataset`` a stream that opens episodes on
demand, also of recordings that were never converted. ``make_loader`` batches any of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerobot_pipelines.loading.balance import Balance
    from lerobot_pipelines.loading.chunks import ChunkDataset, make_chunk_dataset
    from lerobot_pipelines.loading.config import (
        KeyConfig,
        LoadingConfig,
        ValidationConfig,
        read_loading_config,
    )
    from lerobot_pipelines.loading.interleave import StreamOptions, make_interleave_dataset
    from lerobot_pipelines.loading.lazy import make_lazy_dataset
    from lerobot_pipelines.loading.loader import Loader, make_loader
    from lerobot_pipelines.loading.sampler import EpochSampler
    from lerobot_pipelines.loading.streams import StreamDataset

_PLACES = {
    "Balance": "balance",
    "ChunkDataset": "chunks",
    "EpochSampler": "sampler",
    "KeyConfig": "config",
    "Loader": "loader",
    "LoadingConfig": "config",
    "StreamDataset": "streams",
    "StreamOptions": "interleave",
    "ValidationConfig": "config",
    "make_chunk_dataset": "chunks",
    "make_interleave_dataset": "interleave",
    "make_lazy_dataset": "lazy",
    "make_loader": "loader",
    "read_loading_config": "config",
}

__all__ = [
    "Balance",
    "ChunkDataset",
    "EpochSampler",
    "KeyConfig",
    "Loader",
    "LoadingConfig",
    "StreamDataset",
    "StreamOptions",
    "ValidationConfig",
    "make_chunk_dataset",
    "make_interleave_dataset",
    "make_lazy_dataset",
    "make_loader",
    "read_loading_config",
]


def __getattr__(name: str) -> Any:
    # So that torch is imported by those who load, and its absence said in one sentence.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            "loading for training needs PyTorch: pip install 'lerobot-pipelines[train]'",
            name="torch",
        ) from error
