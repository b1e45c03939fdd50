"""A whole Dagster for tests: a home, a daemon, a webserver, a bucket with a robot's recordings."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from lerobot_pipelines.cli.processes import Children
from lerobot_pipelines.cli.services import Instance, free_port, ui_url, wait_for_ui
from lerobot_pipelines.config import dump_config, load_config
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines_tests.conftest import demo_config

CAMERAS = (
    SynthCamera("cam_high", 25.0),
    SynthCamera("cam_left", 25.0),
    SynthCamera("cam_right", 30.0),
)
POLL_S = 0.1
# Two cores that also run other work: generous, because a test that passes never waits for it.
PATIENCE_S = 120.0

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    folder: Path
    url: str
    instance: dg.DagsterInstance

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    @property
    def config_file(self) -> Path:
        return self.folder / "configs" / "demo.yaml"

    @property
    def workspace(self) -> Workspace:
        return open_workspace(load_config(self.config_file), cache_dir=self.folder / "cache")

    def upload(self, key: str, *, seconds: float = 2.0, seed: int = 0) -> None:
        """As a robot does it: written elsewhere, then moved into place."""
        staged = self.folder / "staged"
        write_recording(staged, key, SynthSpec(seconds=seconds, cameras=CAMERAS, seed=seed))
        for section in ("joints", "images"):
            target = self.bucket / "raw" / section / key
            if target.exists():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            (staged / section / key).rename(target)

    def record(self, key: str) -> EpisodeRecord | None:
        workspace = self.workspace
        try:
            return read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)
        except ObjectNotFound:
            return None

    def episodes_in(self, fmt: Format) -> int | None:
        """As a reader sees the dataset; None if there is none (or it is being rewritten)."""
        info = self.bucket / "converted" / "demo" / fmt / "meta" / "info.json"
        try:
            return int(json.loads(info.read_text())["total_episodes"])
        except FileNotFoundError:
            return None

    def runs_of(self, key: str) -> list[dg.DagsterRun]:
        tag = {"dagster/partition": encode_key(key)}
        return list(self.instance.get_runs(dg.RunsFilter(tags=tag)))

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return dict(answer["data"])


def wait_for(what: str, found: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
    """The first true answer of ``found``."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(POLL_S)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


def configuration(bucket: Path) -> DatasetConfig:
    return demo_config(
        bucket, **{"storage.scanner.interval_s": 1, "storage.scanner.quiet_period_s": 0.5}
    )


@contextmanager
def running_services(folder: Path) -> Iterator[Services]:
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "demo.yaml").write_text(dump_config(configuration(folder / "bucket")))
    owner = Instance(folder / "home", folder / "configs")
    owner.prepare()
    port = free_port("127.0.0.1", 0)
    url = ui_url("127.0.0.1", port)
    with (
        Children() as children,
        dg.DagsterInstance.from_config(str(folder / "home")) as instance,
    ):
        webserver = owner.start_webserver(children, "127.0.0.1", port)
        owner.start_daemon(children)
        wait_for_ui(children, webserver, url)
        yield Services(folder, url, instance)
