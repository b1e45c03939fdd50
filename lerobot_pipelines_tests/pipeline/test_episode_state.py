"""One state of an episode: whoever asks gets the same answer from the same facts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash
from lerobot_pipelines.datasets.records import CheckResult, EpisodeRecord
from lerobot_pipelines.defs import bucket_sensor, naming, rescan
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines.pipeline.artifacts import FailureRecord, episode_keys, write_artifact
from lerobot_pipelines.pipeline.convert import current_record
from lerobot_pipelines.pipeline.episode_state import (
    Content,
    State,
    Verdict,
    Versions,
    decide,
)
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.metadata import CODE_VERSION
from lerobot_pipelines.pipeline.status import StatusReader
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.conftest import demo_config
from lerobot_pipelines_tests.defs.bucket import Bucket

KEY = "block/episode_1"
QUIET = {"storage.scanner.quiet_period_s": 0, "storage.scanner.min_episode_files": 1}
OTHER = "of another configuration"

RECORDS = ("none", "current", "other_content", "other_configuration", "other_program", "unreadable")
REFUSALS = ("none", "current", "other_content", "other_configuration")

NOW = Versions({"episode_metadata": "now", "aligned_frames": "rows"}, "1")


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(demo_config(tmp_path, **QUIET), tmp_path)


def put_record(bucket: Bucket, kind: str, *, passed: bool = True) -> None:
    key = episode_keys(bucket.workspace, KEY).record
    if kind == "unreadable":
        bucket.workspace.storage.write(key, b'{"half": ')
    elif kind != "none":
        keys = episode_keys(bucket.workspace, KEY)
        frames = f"{keys.video_folder}/rows.parquet"
        for artifact in (keys.manifest, keys.aligned, keys.videos, frames):
            bucket.workspace.storage.write(artifact, b"")
        record = EpisodeRecord(
            key=KEY,
            uri=KEY,
            source=None,
            fingerprint="0" * 64 if kind == "other_content" else bucket.fingerprint(KEY),
            config_hash=OTHER if kind == "other_configuration" else dataset_hash(bucket.config),
            code_version="0.0.1" if kind == "other_program" else CODE_VERSION,
            fps=30,
            robot_type="robot",
            frames_key=frames,
            frames_sha256="0",
            features={},
            segments=(),
            checks=(CheckResult(name="values_finite", passed=passed),),
        )
        write_artifact(bucket.workspace, key, record)


def put_refusal(bucket: Bucket, kind: str) -> None:
    if kind == "none":
        return
    failure = FailureRecord(
        key=KEY,
        stage="aligned_frames",
        reason="too_short",
        message="it lasts 0.5 s",
        fingerprint="0" * 64 if kind == "other_content" else bucket.fingerprint(KEY),
        config_hash=OTHER if kind == "other_configuration" else alignment_hash(bucket.config),
    )
    write_artifact(bucket.workspace, episode_keys(bucket.workspace, KEY).failure, failure)


def scanned(bucket: Bucket, how: str) -> tuple[str, str | None]:
    settings = {"storage.url": bucket.root.as_uri(), **QUIET}
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    outcome = call("scan", "demo", how, "--json", *given)
    (row,) = outcome.json()["episodes"]
    return row["state"], row["reason"]


def facts() -> Iterator[tuple[str, str, bool]]:
    for record, refusal in itertools.product(RECORDS, REFUSALS):
        yield record, refusal, True
    for record in ("current", "other_configuration"):
        yield record, "none", False


@pytest.mark.parametrize(("record", "refusal", "passed"), list(facts()))
def test_everybody_says_the_same(bucket: Bucket, record: str, refusal: str, passed: bool) -> None:
    bucket.put(KEY)
    put_record(bucket, record, passed=passed)
    put_refusal(bucket, refusal)
    state, reason = scanned(bucket, "--full")
    workspace = bucket.workspace

    with dg.DagsterInstance.ephemeral() as instance:
        tick = bucket_sensor.evaluate(workspace, instance, BucketCursor())
        assert bool(tick.requests) == (state in ("new", "changed")), (state, reason)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(naming.partitions_name("demo"), [encode_key(KEY)])
        requests = rescan.evaluate(workspace, instance, [], seed="s")
        assert bool(requests) == (state in ("new", "changed", "reopened", "damaged"))
    status = StatusReader(workspace).read(0)
    counts = {name: getattr(status, name) for name in ("converted", "stale", "refused")}
    quick, _ = scanned(bucket, "--once")
    assert counts == {name: int(name == quick) for name in counts}
    # What only the files can tell is all that a quick look may miss.
    assert quick == state or "other_content" in (record, refusal)
    kept = current_record(workspace, KEY)
    assert (kept is not None) == (state in ("converted", "refused") and record == "current")


def test_a_refusal_of_other_content_is_no_refusal(bucket: Bucket) -> None:
    """What ``scan`` called refused while the sensor was about to take it."""
    bucket.put(KEY)
    bucket.refuse(KEY)
    bucket.put(KEY, b"other joints")
    assert scanned(bucket, "--full") == ("changed", "its content changed since it was refused")


def test_an_episode_whose_recording_is_gone_is_listed_as_such(bucket: Bucket) -> None:
    bucket.put(KEY)
    bucket.convert(KEY)
    bucket.remove(KEY)
    state, reason = scanned(bucket, "--full")
    assert state == "gone" and reason is not None and "stays" in reason


@pytest.mark.parametrize(
    ("content", "verdicts", "expected"),
    [
        (Content("a", "2 of 3 files"), [], State.WAITING),
        (Content("a", "2 of 3 files"), [Verdict(True, "a", "now")], State.CONVERTED),
        (Content("a", "2 of 3 files"), [Verdict(True, "b", "now")], State.WAITING),
        (Content(""), [Verdict(True, "a", "now")], State.GONE),
        (Content("", "no files"), [], State.WAITING),
        (None, [Verdict(True, "a", "now", code_version="1")], State.CONVERTED),
        (None, [Verdict(True, "a", "now", code_version="0")], State.STALE),
        (None, [Verdict(True, "a", "before")], State.STALE),
        # A step was killed between writing a refusal and withdrawing the record, and vice versa.
        (
            Content("a"),
            [Verdict(True, "a", "before"), Verdict(False, "a", "rows", "aligned_frames")],
            State.REFUSED,
        ),
        (
            Content("a"),
            [Verdict(True, "a", "now"), Verdict(False, "a", "rows", "aligned_frames")],
            State.CONVERTED,
        ),
        # A refusal depends on the configuration of its own step alone.
        (Content("a"), [Verdict(False, "a", "rows", "aligned_frames")], State.REFUSED),
        (Content("a"), [Verdict(False, "a", "now", "aligned_frames")], State.REOPENED),
    ],
)
def test_the_state_follows_from_the_facts(
    content: Content | None, verdicts: list[Verdict], expected: State
) -> None:
    assert decide(content, verdicts, NOW).state is expected


def test_damage_shows_on_what_is_converted_alone() -> None:
    passed, refused = Verdict(True, "a", "now"), Verdict(False, "a", "now")
    damaged = decide(Content("a"), [passed], NOW, damage="aligned.parquet is missing")
    assert (damaged.state, damaged.why) == (State.DAMAGED, "aligned.parquet is missing")
    assert decide(Content("a"), [refused], NOW, damage="...").state is State.REFUSED
    assert decide(Content("a"), [], NOW, damage="no record").state is State.DAMAGED


@pytest.mark.parametrize("config_hash", ["", "now", "other"])
def test_what_a_person_set_aside_stays_so_until_its_content_changes(config_hash: str) -> None:
    cleared = Verdict(False, "content", config_hash, stage="cleared", reason="gap", message="long")
    state = decide(Content("content"), [cleared], NOW)
    assert (state.state, state.why) == (State.CLEARED, "set aside as it is (gap: long)")
    assert decide(None, [cleared], NOW).state is State.CLEARED
    assert decide(Content("renewed"), [cleared], NOW).state is State.CHANGED
    assert decide(Content("renewed", "no marker"), [cleared], NOW).state is State.WAITING
    passed = Verdict(True, "renewed", "now", code_version="1")
    assert decide(Content("renewed"), [cleared, passed], NOW).state is State.CONVERTED
