"""Two Dagsters that know nothing of one another, on one bucket: their work meets and does no harm.

Nobody should run it so; a machine that was thought dead and comes back does.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from lerobot_pipelines.cli.processes import Children
from lerobot_pipelines.cli.services import Instance
from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.pipeline.dataset import is_up_to_date
from lerobot_pipelines.pipeline.status import StatusReader
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines_tests.conftest import write_episodes
from lerobot_pipelines_tests.integration.services import configuration, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not os.environ.get("LEROBOT_PIPELINES_TEST_LONG"),
        reason="a minute; set LEROBOT_PIPELINES_TEST_LONG=1",
    ),
]

KEYS = ("block/episode_0000", "block/episode_0001", "block/episode_0002")
DAEMONS = 2  # of two runs at a time each: four workers


def test_every_episode_is_in_the_dataset_once(tmp_path: Path) -> None:
    config = configuration(tmp_path / "bucket")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.yaml").write_text(dump_config(config))
    write_episodes(tmp_path / "bucket", KEYS, seconds=1.0)
    workspace = open_workspace(config, cache_dir=tmp_path / "cache")
    homes = [Instance(tmp_path / f"home_{n}", tmp_path / "configs") for n in range(DAEMONS)]
    for home in homes:
        home.prepare()
    with Children() as children, ExitStack() as stack:
        instances = [
            stack.enter_context(dg.DagsterInstance.from_config(str(home.home))) for home in homes
        ]
        for home in homes:
            home.start_daemon(children)

        def settled() -> bool:
            runs = [run for instance in instances for run in instance.get_runs()]
            seen = all(instance.get_runs_count() for instance in instances)
            status = StatusReader(workspace).read(time.time_ns())
            done = status.converted == len(KEYS) and is_up_to_date(workspace)
            return seen and done and all(run.is_finished for run in runs)

        wait_for("both to settle", settled, 240.0)
    status = StatusReader(workspace).read(time.time_ns())
    assert (status.pending, status.converted, status.refused) == (0, len(KEYS), 0)
    assert {size.episodes for size in status.datasets} == {len(KEYS)}
    for fmt in config.dataset.formats:
        report = verify_dataset(tmp_path / "bucket" / "converted" / "demo" / Format(fmt))
        assert report.ok, report.findings
        assert report.episodes == len(KEYS)
