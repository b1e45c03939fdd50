"""The whole chain with nothing typed: robot, network, S3 server, daemon and sensor, dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.cli.processes import Children
from lerobot_pipelines.cli.services import Instance
from lerobot_pipelines.config import dump_config
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.recorder import EpisodeRecorder, to_bucket
from lerobot_pipelines.storage import Storage, open_storage
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines_tests.cable import cable_to
from lerobot_pipelines_tests.fleet import fleet_config
from lerobot_pipelines_tests.integration.services import wait_for
from lerobot_pipelines_tests.recorder import takes
from lerobot_pipelines_tests.s3_server import S3Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EPISODES = 5
ROWS = 30
ROOT = "converted/fleet/v3.0"


def record(recorder: EpisodeRecorder, number: int) -> None:
    recorder.start_episode("stack")
    begun = takes.START_NS + number * 10**12
    for k in range(ROWS):
        picture = takes.draw_picture(number * 100 + k, 64, 48)
        recorder.add("cam", begun + k * 40_000_000, picture)
    for k in range(300):
        for arm in ("left", "right"):
            recorder.add(arm, begun + k * 4_000_000, [number, k / 1000])
    recorder.end_episode()


def episodes_in(storage: Storage) -> int:
    try:
        return int(json.loads(storage.read(f"{ROOT}/meta/info.json"))["total_episodes"])
    except ObjectNotFound:
        return 0


def until(condition: Callable[[], bool]) -> None:
    wait_for("the recorder", condition, timeout_s=60.0)


def test_five_recordings_become_a_dataset_though_the_cable_is_pulled_in_the_middle(
    s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = s3_server.config(s3_server.new_bucket())
    # Nothing but the marker says that a recording is whole.
    scanner = {"interval_s": 1, "quiet_period_s": 3600.0, "marker": "_READY"}
    config = fleet_config(bucket, storage={"scanner": scanner})
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "fleet.yaml").write_text(dump_config(config))
    root = tmp_path / "robot"
    owner = Instance(tmp_path / "home", tmp_path / "configs")
    owner.prepare()
    with Children() as children, cable_to(s3_server.endpoint) as cable:
        owner.start_daemon(children)
        outside = config.model_copy(
            update={"storage": config.storage.model_copy(update={"endpoint": cable.endpoint})}
        )
        deliver = to_bucket(outside)
        with EpisodeRecorder(root, deliver=deliver, remove_delivered=True) as recorder:
            for number in range(EPISODES):
                if number == 2:
                    cable.pull_after(20_000)
                record(recorder, number)
            until(lambda: cable.is_pulled and recorder.status().saved == EPISODES)
            status = recorder.status().delivery
            assert status is not None and status.waiting >= 1
            time.sleep(1)
            assert recorder.status().delivery.waiting >= 1  # type: ignore[union-attr]
        # The robot is switched off and on again, then somebody finds the cable.
        with EpisodeRecorder(root, deliver=deliver, remove_delivered=True) as recorder:
            cable.plug()
            assert recorder.wait(120)
        assert not [path for path in root.rglob("*") if path.suffix in (".jpg", ".parquet")]
        storage = open_storage(config.storage)
        wait_for("the dataset", lambda: episodes_in(storage) == EPISODES, timeout_s=200.0)
    local = tmp_path / "dataset"
    for info in storage.list(ROOT):
        target = local / info.key.removeprefix(f"{ROOT}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(storage.read(info.key))
    report = verify_dataset(local)
    assert report.ok, report.findings
    assert (report.episodes, report.frames) == (EPISODES, EPISODES * ROWS)
    rows = [
        row for path in local.glob("data/**/*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    # Every recording once, whatever order the daemon took them in.
    numbers = {row["episode_index"]: round(row["observation.state"][0]) for row in rows}
    assert sorted(numbers.values()) == list(range(EPISODES))
