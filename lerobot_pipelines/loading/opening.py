"""From a place to a source: a folder, a bucket's prefix, or an opened source itself."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.converted import ConvertedSource, read_view
from lerobot_pipelines.loading.files import BucketFiles, LocalFiles, copy_meta
from lerobot_pipelines.loading.source import Source

Place = str | Path | Source


def open_source(
    place: Place,
    config: LoadingConfig,
    *,
    storage: StorageConfig | None = None,
    name: str | None = None,
    lazy: bool = False,
) -> Source:
    """Open a LeRobot dataset.

    ``place`` is the folder that holds ``meta``, or ``s3://bucket/prefix``, or with ``storage`` a
    prefix in that store. ``name`` is how reports call it; the folder's name by default. Raises
    ``Refused`` naming the file that is missing or broken.
    """
    if not isinstance(place, str | Path):
        return place
    text = str(place)
    if storage is None and "://" in text and not text.startswith("file://"):
        scheme, _, rest = text.partition("://")
        bucket, _, prefix = rest.partition("/")
        storage, text = StorageConfig(url=f"{scheme}://{bucket}"), prefix
    if storage is not None:
        return _from_store(storage, text.strip("/"), config, name=name, lazy=lazy)
    root = Path(text.removeprefix("file://"))
    return ConvertedSource(
        name or _name(root), read_view(root), LocalFiles(root), config, lazy=lazy
    )


def _from_store(
    storage: StorageConfig, prefix: str, config: LoadingConfig, *, name: str | None, lazy: bool
) -> Source:
    from lerobot_pipelines.loading.fetching import Fetcher
    from lerobot_pipelines.pipeline.workspace import default_cache_dir

    settings = storage.model_dump(mode="json")
    listing = Fetcher(settings).list(prefix)
    cache = config.bucket_cache_dir or default_cache_dir() / "datasets"
    place = hashlib.sha256(f"{storage.url}/{prefix}".encode()).hexdigest()[:16]
    files = BucketFiles(settings, prefix, listing, cache / place, int(config.bucket_cache_gb * 1e9))
    with tempfile.TemporaryDirectory() as folder:
        copy_meta(files, [one for one in listing if one.startswith("meta/")], Path(folder))
        view = read_view(Path(folder))
    return ConvertedSource(name or _name(Path(prefix)), view, files, config, lazy=lazy)


def _name(root: Path) -> str:
    """``bottle`` for ``.../bottle/v3.0``: the last part that says which dataset it is."""
    last = root.resolve().name
    return root.resolve().parent.name if last in ("v2.1", "v3.0") else last
