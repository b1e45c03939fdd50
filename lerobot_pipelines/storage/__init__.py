"""The bucket. ``open_storage`` only chooses; each kind of store is one module beside this one.

A new kind of store is a module with ``open_<name>(config: StorageConfig) -> Storage`` and one line
in ``_OPENERS``. Modules are imported when a store of their kind is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound, Storage

__all__ = ["ObjectInfo", "ObjectNotFound", "Storage", "open_storage", "scheme_of"]

# URL scheme -> "module:function".
_OPENERS = {
    "file": "lerobot_pipelines.storage.local:open_local",
    "s3": "lerobot_pipelines.storage.s3:open_s3",
}


def open_storage(config: StorageConfig) -> Storage:
    """Connect to the store that ``config.url`` names.

    ``file:///data``, ``file://./data`` and plain paths are folders of this machine. Raises
    ``Refused`` (unsupported) for a scheme without a store.
    """
    scheme = scheme_of(config.url)
    if scheme not in _OPENERS:
        known = ", ".join(f"{name}://" for name in sorted(_OPENERS))
        raise Refused(
            Reason.UNSUPPORTED,
            f'storage.url "{config.url}": no store for "{scheme}://"; supported are {known} '
            "and plain paths",
        )
    module, function = _OPENERS[scheme].split(":")
    return cast(Storage, getattr(import_module(module), function)(config))


def scheme_of(url: str) -> str:
    """The part before ``://``, lower case; "file" for a plain path."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else "file"
