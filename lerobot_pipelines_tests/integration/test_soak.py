"""A fleet for twenty minutes in which everything goes wrong, after which nothing needs a hand.

Two Dagsters on one bucket, of two runs at a time each. Episodes arrive in bursts; run workers are
killed and stopped, artifacts and files of the dataset are lost, the YAML is broken and repaired,
copies of it appear, a backfill comes half-way and is cancelled. Then all is left alone, and every
count has to agree: the bucket's, the monitor's, the ledger's and that of the verified datasets.

``LEROBOT_PIPELINES_TEST_LONG=1 pytest -s -n 0`` on this file runs it;
``LEROBOT_PIPELINES_SOAK_S`` (1200) and ``LEROBOT_PIPELINES_SOAK_EPISODES`` (200) say how long and
how much.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from lerobot_pipelines.cli.processes import Child, Children
from lerobot_pipelines.cli.services import Instance
from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.defs import naming
from lerobot_pipelines.pipeline.dataset import dataset_snapshots, is_up_to_date
from lerobot_pipelines.pipeline.discovery import list_episode_keys
from lerobot_pipelines.pipeline.status import Status, StatusReader
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.recordings.synth import SynthSpec, write_recording
from lerobot_pipelines_tests.conftest import demo_config
from lerobot_pipelines_tests.integration.chaos import Chaos
from lerobot_pipelines_tests.integration.cluster import CAMERAS
from lerobot_pipelines_tests.integration.services import wait_for

DAEMONS = 2  # of two runs at a time each: four workers
SECONDS = float(os.environ.get("LEROBOT_PIPELINES_SOAK_S") or 1200)
EPISODES = int(os.environ.get("LEROBOT_PIPELINES_SOAK_EPISODES") or 200)
STRIKE_EVERY_S = (2.0, 12.0)
BURST = (1, 12)
# What was lost last is asked for again after a pause that doubles, and a worker that died is
# noticed by Dagster after half a minute.
SETTLE_S = 1500.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(int(SECONDS + SETTLE_S + 600)),
    pytest.mark.skipif(
        not os.environ.get("LEROBOT_PIPELINES_TEST_LONG"),
        reason="half an hour; set LEROBOT_PIPELINES_TEST_LONG=1",
    ),
]


def test_after_all_that_goes_wrong_every_count_agrees(tmp_path: Path) -> None:
    seed = int(os.environ.get("LEROBOT_PIPELINES_SOAK_SEED") or time.time())
    print(f"seed {seed}, {EPISODES} episodes, {SECONDS:.0f} s in {tmp_path}", flush=True)
    config = demo_config(
        tmp_path / "bucket",
        **{
            "storage.scanner.interval_s": 3,
            "storage.scanner.quiet_period_s": 0.5,
            "storage.scanner.rescan_cron": "* * * * *",
            "video.preset": "ultrafast",
            "cameras": [
                {"name": "cam_high", "role": "base", "target_fps": 25},
                {"name": "cam_left", "role": "sync"},
            ],
        },
    )
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "demo.yaml").write_text(dump_config(config))
    recordings = tmp_path / "staged"
    keys = [f"block/episode_{number:04d}" for number in range(EPISODES)]
    for number, key in enumerate(keys):
        write_recording(recordings, key, SynthSpec(seconds=1.0, cameras=CAMERAS, seed=number))
    workspace = open_workspace(config, cache_dir=tmp_path / "cache")
    homes = [Instance(tmp_path / f"home_{number}", configs) for number in range(DAEMONS)]
    for home in homes:
        home.prepare()
    with Children() as children, ExitStack() as stack:
        instances = [
            stack.enter_context(dg.DagsterInstance.from_config(str(home.home))) for home in homes
        ]
        daemons = [home.start_daemon(children) for home in homes]
        chaos = Chaos(
            tmp_path / "bucket",
            configs / "demo.yaml",
            lambda: [daemon.pid for daemon in daemons],
            seed,
        )
        _live(chaos, recordings, workspace, keys, instances, daemons)
        chaos.calm_down(at_once=True)
        print(f"all is left alone now: {dict(chaos.done)}", flush=True)
        wait_for("everything to settle", lambda: _settled(workspace, instances), SETTLE_S)
    _every_count_agrees(workspace, tmp_path / "bucket")


def _live(
    chaos: Chaos,
    recordings: Path,
    workspace: Workspace,
    keys: list[str],
    instances: list[dg.DagsterInstance],
    daemons: list[Child],
) -> None:
    """Arrivals in the first two thirds of the time; strikes all the time; a backfill half-way."""
    chance = random.Random(chaos.seed)
    began_s = time.monotonic()
    arrived, backfills, told = 0, list[str](), 0.0
    while (passed := (time.monotonic() - began_s) / SECONDS) < 1.0:
        for daemon in daemons:
            daemon.check()
        due = min(EPISODES, int(EPISODES * passed * 1.5) + chance.randint(*BURST))
        for key in keys[arrived:due]:
            _arrive(recordings, chaos.bucket, key)
        arrived = max(arrived, due)
        if passed > 0.5 and not backfills:
            backfills = [_backfill(instance) for instance in instances[:1]]
        if passed > 0.6 and backfills and backfills[0]:
            _cancel(instances[0], backfills[0])
            backfills[0] = ""
        chaos.strike()
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(
                f"{passed:4.0%} {_line(StatusReader(workspace).read(time.time_ns()))}", flush=True
            )
        time.sleep(chance.uniform(*STRIKE_EVERY_S))
    for key in keys[arrived:]:
        _arrive(recordings, chaos.bucket, key)


def _arrive(recordings: Path, bucket: Path, key: str) -> None:
    """As a robot does it: written elsewhere, then moved into place, joints last."""
    for section in ("images", "joints"):
        target = bucket / "raw" / section / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(recordings / section / key, target)


def _backfill(instance: dg.DagsterInstance) -> str:
    """Of all steps of all episodes that there are, as one starts it in the UI."""
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
    from dagster._core.utils import make_new_backfill_id

    from lerobot_pipelines.definitions import defs

    partitions = instance.get_dynamic_partitions(naming.partitions_name("demo"))
    if not partitions:
        return ""
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=defs().get_repository_def().asset_graph,
        backfill_timestamp=time.time(),
        tags={},
        asset_selection=[naming.asset_key("demo", step) for step in naming.EPISODE_STEPS],
        partition_names=list(partitions),
        dynamic_partitions_store=instance,
        all_partitions=False,
        title="half-way",
        description=None,
        run_config=None,
    )
    assert backfill.status is BulkActionStatus.REQUESTED
    instance.add_backfill(backfill)
    return str(backfill.backfill_id)


def _cancel(instance: dg.DagsterInstance, backfill_id: str) -> None:
    from dagster._core.execution.backfill import BulkActionStatus

    backfill = instance.get_backfill(backfill_id)
    if backfill is not None and backfill.status is BulkActionStatus.REQUESTED:
        instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))


def _line(status: Status) -> str:
    return (
        f"{status.pending} pending, {status.converted} converted, {status.damaged} damaged, "
        f"{status.stale} stale, {status.refused} refused, {len(status.lost)} lost; "
        f"datasets {[size.episodes for size in status.datasets]}"
    )


def _settled(workspace: Workspace, instances: list[dg.DagsterInstance]) -> bool:
    status = StatusReader(workspace).read(time.time_ns())
    print(_line(status), flush=True)
    time.sleep(5.0)
    if status.converted != EPISODES or not is_up_to_date(workspace):
        return False
    if any(size.episodes != EPISODES for size in status.datasets) or not status.datasets:
        return False
    unfinished = [run for one in instances for run in one.get_runs() if not run.is_finished]
    return not unfinished and all(
        report.ok
        for report in (
            verify_dataset(
                workspace.storage.local_path(f"converted/demo/{fmt}") or Path(), decode=False
            )
            for fmt in workspace.config.dataset.formats
        )
    )


def _every_count_agrees(workspace: Workspace, bucket: Path) -> None:
    status = StatusReader(workspace).read(time.time_ns())
    assert len(list(list_episode_keys(workspace.storage, workspace.config))) == EPISODES
    assert (status.pending, status.converted, status.refused) == (0, EPISODES, 0)
    assert (status.stale, status.damaged, status.lost) == (0, 0, ())
    members = {fmt: len(one.members) for fmt, one in dataset_snapshots(workspace).items()}
    assert members == dict.fromkeys(workspace.config.dataset.formats, EPISODES)
    for fmt in workspace.config.dataset.formats:
        report = verify_dataset(bucket / "converted" / "demo" / Format(fmt))
        assert report.ok, report.findings
        assert report.episodes == EPISODES
