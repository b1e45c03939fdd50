"""``--input`` and ``--output``: any two folders become one bucket with prefixes.

A dataset has one bucket. Two folders are seen as one whose root is their nearest common folder;
the raw prefix is the way from there to the input, and the converted prefix the way to the output.
What the steps leave for one another goes below ``OUTPUT/.work``, so the input is only read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click

import lerobot_pipelines
from lerobot_pipelines.cli.configuration import config_path

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig

WORK_FOLDER = ".work"


class Root(NamedTuple):
    """``bucket`` is "file://" or "s3://name"; ``path`` what lies below it, "" for all of it."""

    bucket: str
    path: PurePosixPath

    def __str__(self) -> str:
        return f"{self.bucket}/{self.path.as_posix().lstrip('/')}"


def read_placed(
    name: str,
    overrides: Mapping[str, object],
    input_root: str | None,
    output_root: str | None,
) -> DatasetConfig:
    """The configuration, with recordings and datasets in the folders given: see ``place``.

    With both given it needs no ``storage`` of its own. Raises ``ConfigError`` naming every fault.
    """
    from lerobot_pipelines.cli.logs import log_as_configured
    from lerobot_pipelines.config import load_config

    bucket = None if input_root is None else _bucket_url(input_root)
    config = load_config(config_path(name), dict(overrides) or None, bucket=bucket)
    log_as_configured(config.logging)
    if output_root is None and bucket is not None and config.storage.url == bucket:
        raise click.UsageError(
            f"{name} does not say where datasets go; give --output as well as --input"
        )
    return place(config, input_root, output_root)


def _bucket_url(text: str) -> str:
    root = _root(text)
    return _url(root.bucket, root.path)


def place(config: DatasetConfig, input_root: str | None, output_root: str | None) -> DatasetConfig:
    """The configuration with its recordings in ``input_root`` and its datasets in ``output_root``.

    Each is a folder or an ``s3://bucket/prefix`` URL; None keeps the configuration's own. Raises
    ``UsageError`` for an input that is no folder, for two roots that cannot be one bucket, for an
    output inside the input, and for a bucket among the program's own files.
    """
    own = config.storage
    if input_root is None or output_root is None:
        _refuse_package(_root(own.url))
    if input_root is None and output_root is None:
        return config
    from lerobot_pipelines.config.schema import StorageConfig

    raw = _own_root(own, own.raw_prefix) if input_root is None else _root(input_root)
    if input_root is not None and _is_local(raw) and not Path(raw.path).is_dir():
        raise click.UsageError(f'--input "{input_root}" is not a folder')
    if output_root is None:
        converted, work = _own_root(own, own.converted_prefix), _own_root(own, own.work_prefix)
    else:
        converted = _root(output_root)
        work = Root(converted.bucket, converted.path / WORK_FOLDER)
    if len({root.bucket for root in (raw, converted, work)}) > 1:
        raise click.UsageError(
            f"recordings in {raw} and datasets in {converted} are not in one store; "
            "give both --input and --output, both local or both in one bucket"
        )
    _refuse_inside(raw, converted)
    _refuse_inside(raw, work)
    base = _common_folder(raw, converted, work)
    values = own.model_dump() | {
        "url": _url(raw.bucket, base),
        "raw_prefix": _below(base, raw),
        "converted_prefix": _below(base, converted),
        "work_prefix": _below(base, work),
    }
    storage: StorageConfig = StorageConfig.model_validate(values)
    return config.model_copy(update={"storage": storage})


def _root(text: str) -> Root:
    scheme, separator, _ = text.partition("://")
    if not separator:
        # Real paths: a link must not make the input look as if it lay elsewhere.
        return Root("file://", PurePosixPath(os.path.realpath(os.path.expanduser(text))))
    if scheme.lower() == "file":
        from lerobot_pipelines.storage.local import path_of

        return Root("file://", PurePosixPath(os.path.realpath(path_of(text))))
    parts = urlsplit(text)
    return Root(f"{parts.scheme}://{parts.netloc}", PurePosixPath(parts.path.strip("/")))


def _own_root(storage: StorageConfig, prefix: str) -> Root:
    bucket = _root(storage.url)
    return Root(bucket.bucket, bucket.path / prefix.strip("/"))


def _is_local(root: Root) -> bool:
    return root.bucket == "file://"


def _refuse_package(bucket: Root) -> None:
    """A shipped configuration's relative bucket lies beside it, among the program's own files."""
    package = PurePosixPath(os.path.realpath(Path(lerobot_pipelines.__file__).parent))
    if _is_local(bucket) and bucket.path.is_relative_to(package):
        raise click.UsageError(
            "a shipped configuration has no bucket of its own; give both --input and --output, or "
            "copy it (see config list) and set storage.url"
        )


def _refuse_inside(raw: Root, written: Root) -> None:
    if written.path.is_relative_to(raw.path):
        raise click.UsageError(
            f"the output {written} lies inside the input {raw}, where it would be taken for "
            "recordings; choose an --output beside it"
        )


def _common_folder(*roots: Root) -> PurePosixPath:
    if not _is_local(roots[0]):
        return PurePosixPath()
    return PurePosixPath(os.path.commonpath([root.path for root in roots]))


def _below(base: PurePosixPath, root: Root) -> str:
    relative = root.path.relative_to(base).as_posix()
    return "" if relative == "." else relative


def _url(bucket: str, base: PurePosixPath) -> str:
    return Path(base).as_uri() if bucket == "file://" else bucket
