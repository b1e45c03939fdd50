"""What only a bucket behind a network has: hostile names, damage on the way, missing keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import ConfigError, Transient
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage import s3 as s3_module
from lerobot_pipelines.storage.s3_checksums import expected_etag
from lerobot_pipelines.storage.s3_connection import place_of, session
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


def test_the_keys_of_baidus_tools_are_found_for_its_endpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOS_ACCESS_KEY", "the key")
    monkeypatch.setenv("BOS_SECRET_KEY", "the secret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    for endpoint, key in (
        ("https://s3.bj.bcebos.com", "the key"),
        ("https://bcebos.com.example.org", "another"),
    ):
        credentials = session(StorageConfig(url="s3://bucket", endpoint=endpoint)).get_credentials()
        assert credentials is not None and credentials.access_key == key


@pytest.mark.parametrize("part_bytes", [8 << 20, 6 << 20])
def test_what_was_uploaded_in_parts_is_checked_as_well(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    bucket, client = s3_server.new_bucket(), s3_server.client()
    data = bytes(range(256)) * (17 << 12)  # 17 MiB: three parts of either size
    parts = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    upload = client.create_multipart_upload(Bucket=bucket, Key="bag")["UploadId"]
    there = {"Bucket": bucket, "Key": "bag", "UploadId": upload}
    tags = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(**there, PartNumber=number, Body=part)["ETag"],
        }
        for number, part in enumerate(parts, start=1)
    ]
    client.complete_multipart_upload(**there, MultipartUpload={"Parts": tags})
    store = open_storage(s3_server.config(bucket))
    store.download("bag", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data

    def damaged(path: Path, size: int) -> str:
        path.write_bytes(data[:-1] + b"x")
        return expected_etag(path, size)

    monkeypatch.setattr(s3_module, "expected_etag", damaged)
    info = store.head("bag")
    assert info is not None
    if store._part_bytes("bag") == part_bytes:  # type: ignore[attr-defined]
        with pytest.raises(Transient, match="damaged"):
            store.download("bag", tmp_path / "target")
