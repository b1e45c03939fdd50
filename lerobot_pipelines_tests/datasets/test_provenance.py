"""``meta/provenance.jsonl`` tells of every recording in the dataset, whatever way it came there."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.intake_summary import INTAKE_KEY, MAX_CHARACTERS, MAX_WARNINGS
from lerobot_pipelines.datasets.members import record_digest
from lerobot_pipelines.datasets.records import CheckResult, EpisodeRecord
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines_tests.datasets.episodes import Bucket, toy_config

FORMATS = list(Format)


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")


def put(bucket: Bucket, key: str, *entries: IntakeEntry, seed: int = 0, rows: int = 5) -> None:
    record = bucket.put(key, rows, seed=seed)
    known = record.model_copy(
        update={"intake": entries, "provenance": {**record.provenance, INTAKE_KEY: len(entries)}}
    )
    bucket.storage.write(bucket.record_key(key), known.model_dump_json().encode())


def warning(stream: str, message: str = "580 ms ahead of reception", count: int = 1) -> IntakeEntry:
    return IntakeEntry(IntakeCode.CLOCK_OFFSET, Severity.WARNING, stream, message, count)


def note(stream: str) -> IntakeEntry:
    return IntakeEntry(IntakeCode.UNUSED, Severity.NOTE, stream, "column x is not used")


def lines(bucket: Bucket, fmt: Format) -> list[dict[str, Any]]:
    text = (bucket.root(fmt) / "meta" / "provenance.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def told(bucket: Bucket, fmt: Format) -> list[tuple[str, int, dict[str, int]]]:
    """Recording, its first episode, its warnings."""
    return [
        (one["recording"], one["episodes"][0], one["intake"]["warnings"])
        for one in lines(bucket, fmt)
    ]


@pytest.mark.parametrize("fmt", FORMATS)
def test_appends_replacements_and_removals_keep_it(bucket: Bucket, fmt: Format) -> None:
    put(bucket, "a", warning("cam"), note("cam"), seed=1)
    put(bucket, "b", seed=2)
    bucket.update(fmt)
    assert told(bucket, fmt) == [("a", 0, {"clock_offset": 1}), ("b", 1, {})]
    assert lines(bucket, fmt)[0]["intake"]["notes"] == {"unused": 1}
    (listed,) = lines(bucket, fmt)[0]["intake"]["listed"]
    assert listed == {
        "code": "clock_offset",
        "stream": "cam",
        "message": "580 ms ahead of reception",
        "count": 1,
    }
    put(bucket, "c", warning("cam"), warning("arm"), seed=3)
    assert bucket.update(fmt).kind == "append"
    put(bucket, "b", warning("arm"), seed=4, rows=7)
    assert bucket.update(fmt).replaced == ("b",)
    bucket.remove("a")
    assert bucket.update(fmt).removed == ("a",)
    assert told(bucket, fmt) == [("b", 0, {"clock_offset": 1}), ("c", 1, {"clock_offset": 2})]
    report = verify_dataset(bucket.root(fmt))
    assert report.ok and report.verdict == "sound, with 3 warnings at conversion"


@pytest.mark.parametrize("fmt", FORMATS)
def test_any_sequence_of_changes_tells_of_exactly_what_is_in_it(
    bucket: Bucket, fmt: Format
) -> None:
    """Against a plain account of what was put and removed."""
    chance, there = random.Random(7), dict[str, int]()
    for step in range(12):
        key = chance.choice("abcd")
        if key in there and chance.random() < 0.4:
            bucket.remove(key)
            del there[key]
        else:
            count = chance.randrange(3)
            put(bucket, key, *(warning(f"s{n}") for n in range(count)), seed=step, rows=4 + step)
            there[key] = count
        bucket.update(fmt)
        if there:
            found = {
                one["recording"]: sum(one["intake"]["warnings"].values())
                for one in lines(bucket, fmt)
            }
            assert found == there
            report = verify_dataset(bucket.root(fmt), decode=False)
            assert report.conversion is not None
            assert report.conversion.warnings == sum(there.values())
            assert report.findings == ()
        else:
            assert not (bucket.root(fmt) / "meta" / "provenance.jsonl").exists()


def test_a_warning_alone_is_a_reason_to_write_the_dataset_anew(bucket: Bucket) -> None:
    put(bucket, "a", seed=1)
    bucket.update(Format.V30)
    put(bucket, "a", warning("cam"), seed=1)
    bucket.update(Format.V30)
    assert told(bucket, Format.V30) == [("a", 0, {"clock_offset": 1})]


def test_recordings_of_an_earlier_version_are_not_called_doubtless(bucket: Bucket) -> None:
    bucket.put("a", 5, seed=1)
    put(bucket, "b", seed=2)
    bucket.update(Format.V30)
    report = verify_dataset(bucket.root(Format.V30))
    assert report.conversion is not None
    assert (report.conversion.recordings, report.conversion.unreported) == (2, 1)


def test_a_record_of_an_earlier_version_keeps_its_digest(bucket: Bucket) -> None:
    """Ledgers hold digests of records that had no intake; they must be found unchanged."""
    record = bucket.put("a", 5)
    earlier = record.model_dump(mode="json")
    for later in ("intake", "frames_etag", "frames_bytes"):
        del earlier[later]
    for segment in earlier["segments"]:
        for video in segment["videos"].values():
            del video["etag"]
    text = json.dumps(earlier, separators=(",", ":"), ensure_ascii=False)
    assert record_digest(record) == hashlib.sha256(text.encode()).hexdigest()
    assert record_digest(record.model_copy(update={"intake": (warning("cam"),)})) != record_digest(
        record
    )


def test_what_a_recording_says_is_bounded_and_steers_nothing(bucket: Bucket) -> None:
    entries = [warning(f"s{n}", f"\x1b[2J\u202e<b>{n}" + "x" * 5000) for n in range(40)]
    put(bucket, "a", *entries, seed=1)
    bucket.update(Format.V30)
    (line,) = lines(bucket, Format.V30)
    assert line["intake"]["warnings"] == {"clock_offset": 40}
    assert len(line["intake"]["listed"]) == MAX_WARNINGS
    assert all(len(one["message"]) <= MAX_CHARACTERS for one in line["intake"]["listed"])
    root = bucket.root(Format.V30)
    written = (root / "meta" / "provenance.jsonl").read_bytes()
    assert written.isascii() and b"\x1b" not in written
    assert "<b>" not in (root / "README.md").read_text()
    assert "| `clock_offset` | 1 |" in (root / "README.md").read_text()


def test_a_broken_promise_of_lesser_weight_is_a_warning_too(bucket: Bucket) -> None:
    record = bucket.put("a", 5)
    dull = CheckResult(name="pictures_vary", passed=False, severity="warn", description="dull: cam")
    same = CheckResult(name="no_warnings", passed=False, severity="warn", description="580 ms")
    changed: EpisodeRecord = record.model_copy(
        update={"checks": (*record.checks, dull, same), "provenance": {INTAKE_KEY: 0}}
    )
    bucket.storage.write(bucket.record_key("a"), changed.model_dump_json().encode())
    bucket.update(Format.V30)
    assert told(bucket, Format.V30) == [("a", 0, {"check:pictures_vary": 1})]


@pytest.mark.parametrize(
    "damage",
    [b"not json\n", b'{"recording": "a"}\n', b"\xff\xfe\n", b"x" * (2 * 1024**2), b""],
)
def test_a_damaged_file_is_reported_and_nothing_is_concluded_from_it(
    bucket: Bucket, damage: bytes
) -> None:
    put(bucket, "a", warning("cam"), seed=1)
    bucket.update(Format.V30)
    (bucket.root(Format.V30) / "meta" / "provenance.jsonl").write_bytes(damage)
    report = verify_dataset(bucket.root(Format.V30))
    assert [finding.code for finding in report.findings] == ["not_as_committed", "bad_provenance"]
    assert report.conversion is None and report.ok and report.verdict == "sound, with 2 warnings"


def test_a_dataset_that_another_program_changed_is_noticed(bucket: Bucket) -> None:
    for n in range(3):
        put(bucket, f"e{n}", seed=n)
    bucket.update(Format.V30)
    path = bucket.root(Format.V30) / "meta" / "provenance.jsonl"
    first, *_, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + last)
    report = verify_dataset(bucket.root(Format.V30))
    assert [finding.code for finding in report.findings] == ["not_as_committed", "bad_provenance"]
