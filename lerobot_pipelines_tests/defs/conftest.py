from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.config.schema import (
    DatasetConfig,
    DatasetSection,
    ScannerConfig,
    StorageConfig,
)
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon


@pytest.fixture
def make_bucket(tmp_path: Path) -> Callable[..., Bucket]:
    """A bucket whose scanner settings the test chooses."""

    def make(**scanner: Any) -> Bucket:
        config = DatasetConfig(
            dataset=DatasetSection(name="demo"),
            storage=StorageConfig(
                url=tmp_path.as_uri(),
                scanner=ScannerConfig(**{"quiet_period_s": 0.0, **scanner}),
            ),
        )
        return Bucket(config, tmp_path)

    return make


@pytest.fixture
def bucket(make_bucket: Callable[..., Bucket]) -> Bucket:
    return make_bucket()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def daemon(bucket: Bucket, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(bucket, instance)
