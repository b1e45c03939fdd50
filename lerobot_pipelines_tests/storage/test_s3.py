"""What only a bucket behind a network has: hostile names, damage on the way, missing keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.errors import ConfigError, Transient
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage import s3 as s3_module
from lerobot_pipelines.storage.s3_connection import place_of
from lerobot_pipelines_tests.s3_server import S3Server

HOSTILE = ["raw/../../etc/passwd", "raw//double", "raw/./dot", "raw/tab\there"]


def test_hostile_names_do_not_hide_the_others(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    client = s3_server.client()
    good = [f"raw/episode_{number}/data.parquet" for number in range(5)]
    for key in [*good, *HOSTILE]:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    store = open_storage(s3_server.config(bucket))
    listed = [info.key for info in store.list("raw")]
    assert sorted(listed) == sorted([*good, *HOSTILE])
    folders, _ = store.list_level("raw")
    assert {f"episode_{number}" for number in range(5)} <= set(folders)


def test_a_large_object_is_fetched_in_ranges(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "RANGES_FROM_BYTES", 1 << 20)
    monkeypatch.setattr(s3_module, "RANGE_BYTES", 700_001)
    store = open_storage(s3_server.config(s3_server.new_bucket()))
    (tmp_path / "source").write_bytes(bytes(range(256)) * 20_000)
    store.upload(tmp_path / "source", "bag")
    store.download("bag", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()


def test_bytes_damaged_on_the_way_are_noticed(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damage is made where the checksum is taken: no server sends wrong bytes on request."""
    store = open_storage(s3_server.config(s3_server.new_bucket()))
    store.write("x", b"as sent")
    monkeypatch.setattr(s3_module.ContentHash, "md5", "0" * 32)
    with pytest.raises(Transient, match="damaged"):
        store.download("x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_worth_another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lerobot_pipelines.storage.s3_connection.RETRIES", 0)
    server = S3Server("http://127.0.0.1:9")
    monkeypatch.setenv("LEROBOT_PIPELINES_TEST_ACCESS_KEY", "key")
    monkeypatch.setenv("LEROBOT_PIPELINES_TEST_SECRET_KEY", "secret-never-shown")
    store = open_storage(server.config("nowhere"))
    with pytest.raises(Transient) as caught:
        store.read("x")
    assert "secret-never-shown" not in str(caught.value)


def test_a_key_that_is_not_set_is_named(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEROBOT_PIPELINES_TEST_SECRET_KEY")
    with pytest.raises(ConfigError, match="LEROBOT_PIPELINES_TEST_SECRET_KEY"):
        open_storage(s3_server.config("any"))


@pytest.mark.parametrize("url", ["s3://", "s3:///folder", "s3://bucket?x=1"])
def test_an_address_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="bucket"):
        place_of(url)
