"""Numbers in the documents that the code decides: each sentence is made from the code's value."""

from __future__ import annotations

import re

import pytest
import yaml

from lerobot_pipelines.cli.commands.demo import command as demo
from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig, LifecycleConfig
from lerobot_pipelines.datasets.removal import MAX_REMOVED_SHARE
from lerobot_pipelines.defs import lost_runs
from lerobot_pipelines_tests.documents.texts import ROOT, read

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
TIMES = {1: "once", 2: "twice"}
SHARES = {0.25: "a quarter", 0.5: "half"}


def flat(document: str) -> str:
    return " ".join(read(document).split())


def config(name: str) -> DatasetConfig:
    return load_config(shipped_configs()[name])


def demo_default(option: str) -> int:
    (default,) = (parameter.default for parameter in demo.params if parameter.name == option)
    assert isinstance(default, int)
    return default


def sentences() -> dict[str, str]:
    """What the README has to say, by what decides it."""
    depth = CameraConfig.model_fields["depth_range_m"].default
    life = LifecycleConfig()
    days = {life.refused_days, life.gone_days, life.superseded_days}
    assert len(days) == 1
    chunking, window = config("dual_arm_chunking").alignment, config("dual_arm_window").alignment
    nearest = config("dual_arm_nearest")
    return {
        "the demo's episodes": f"{WORDS[demo_default('episodes')]} synthetic recordings",
        "the demo's formats": "converts them to both formats",
        "chunk_size": f"action chunks of {chunking.chunk_size} steps",
        "window_ms": f"a time window of ±{window.window_ms:g} ms",
        "arms and cameras": f"{WORDS[len(nearest.streams)]} arms at 250 Hz, "
        f"{WORDS[len(nearest.cameras)]} cameras at 25 and 30 Hz",
        "depth_range_m": f"the default range of {depth[0]:g} to {depth[1]:g} m",
        "lifecycle": f"{days.pop()} and {life.unfinished_days} by default",
        "lost runs, how often": f"takes its worker down {WORDS[lost_runs.MOST_ATTEMPTS]} times",
        "lost runs, afterwards": f"again every {WORDS[round(lost_runs.GIVEN_UP_S / 3600)]} hours",
        "lost runs, the first pause": "is requested again after a minute",
        "removal": f"more than {SHARES[MAX_REMOVED_SHARE]} of the episodes",
        "gop": f"{config('demo').video.gop} is a good trade",
    }


@pytest.mark.parametrize("what", sentences())
def test_the_readme_says_what_the_code_does(what: str) -> None:
    assert sentences()[what] in flat("README.md")


def test_the_first_pause_is_a_minute() -> None:
    assert lost_runs.PAUSE_S == 60


def test_lerobots_own_gop_is_called_what_it_is() -> None:
    assert "2 is lerobot's own choice" in flat("README.md")
    assert len(config("demo").dataset.formats) == 2


def test_pictures_of_the_readme_are_described() -> None:
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", read("README.md")):
        assert (ROOT / name).stat().st_size > 1000


def test_deploy_says_what_the_settings_for_celery_say() -> None:
    settings = yaml.safe_load((ROOT / "deploy/celery/dagster.yaml").read_text())
    monitoring, text = settings["run_monitoring"], flat("deploy/README.md")
    poll, start = monitoring["poll_interval_seconds"], monitoring["start_timeout_seconds"]
    lost = settings["run_launcher"]["config"]["lost_after_seconds"]
    assert f"failed within {poll} s, retried" in text
    assert f"asked every {poll} s; after {lost} s of silence the run fails" in text
    assert f"fails after {start} s without a start" in text
    assert f"A run is retried {TIMES[settings['run_retries']['max_retries']]}." in text
    processes = settings["concurrency"]["runs"]["max_concurrent_runs"]
    assert f"concurrency set encode {processes}" in text


def test_the_second_example_of_shared_runs_is_a_key() -> None:
    (key, value) = re.findall(r"`storage\.scanner\.(\w+): (\d+)`", read("deploy/README.md"))[0]
    loaded = load_config(shipped_configs()["demo"], {f"storage.scanner.{key}": int(value)})
    assert getattr(loaded.storage.scanner, key) == int(value)
