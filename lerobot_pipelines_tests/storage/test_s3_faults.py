"""An S3 server's refusal is named by its code with what helps, and is never taken for a hiccup."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import StoreRejected, Transient
from lerobot_pipelines.storage import Storage, open_storage
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.storage.s3_faults import REMEDIES
from lerobot_pipelines_tests.s3_server import S3Server, running_moto

Call = Callable[[Storage, Path], Any]

CALLS: dict[str, Call] = {
    "list": lambda store, _: list(store.list("raw")),
    "list_level": lambda store, _: store.list_level("raw"),
    "head": lambda store, _: store.head("raw/x"),
    "read": lambda store, _: store.read("raw/x"),
    "write": lambda store, _: store.write("raw/x", b"1"),
    "create": lambda store, _: store.create("raw/x", b"1"),
    "upload": lambda store, folder: store.upload(_file(folder), "raw/x"),
    "download": lambda store, folder: store.download("raw/x", folder / "x"),
    "copy": lambda store, _: store.copy("raw/x", "raw/y"),
    "delete": lambda store, _: store.delete("raw/x"),
}
# The answer to a head has no body: that a bucket is missing looks like a missing object.
WITH_A_BODY = [name for name in CALLS if name not in ("head", "copy")]


def _file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"1")
    return folder / "file"


@pytest.fixture(scope="module")
def strict_server() -> Iterator[S3Server]:
    """moto as it checks keys: after the four requests of ``known_key``."""
    with running_moto(INITIAL_NO_AUTH_ACTION_COUNT="4") as server:
        yield server


@pytest.fixture(scope="module")
def known_key(strict_server: S3Server) -> tuple[str, str]:
    """A user that may do nothing, and the bucket ``there``."""
    options: dict[str, Any] = {
        "endpoint_url": strict_server.endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "any",
        "aws_secret_access_key": "any",
    }
    iam = boto3.client("iam", **options)
    iam.create_user(UserName="robot")
    key = iam.create_access_key(UserName="robot")["AccessKey"]
    boto3.client("s3", **options).create_bucket(Bucket="there")
    boto3.client("s3", **options).list_buckets()
    return key["AccessKeyId"], key["SecretAccessKey"]


def opened(
    endpoint: str, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch, bucket: str = "there"
) -> Storage:
    monkeypatch.setenv("TEST_ACCESS", keys[0])
    monkeypatch.setenv("TEST_SECRET", keys[1])
    config = StorageConfig(
        url=f"s3://{bucket}",
        endpoint=endpoint,
        region="us-east-1",
        addressing_style="path",
        access_key_env="TEST_ACCESS",
        secret_key_env="TEST_SECRET",
    )
    return open_storage(config)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_keys_that_do_not_fit_are_named_whatever_was_asked(
    code: str,
    call: str,
    strict_server: S3Server,
    known_key: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    keys = {
        "InvalidAccessKeyId": ("AKIANOBODY", "secret"),
        "SignatureDoesNotMatch": (known_key[0], "not the secret"),
        "AccessDenied": known_key,
    }[code]
    store = opened(strict_server.endpoint, keys, monkeypatch)
    with pytest.raises(StoreRejected) as raised:
        CALLS[call](store, tmp_path)
    assert raised.value.code == code
    assert store.url in str(raised.value)
    assert REMEDIES[code] in str(raised.value)


@pytest.mark.parametrize("call", WITH_A_BODY)
def test_a_bucket_that_is_not_there_is_no_missing_object(
    call: str, s3_server: S3Server, tmp_path: Path
) -> None:
    store = open_storage(s3_server.config("nobody-made-this-bucket"))
    with pytest.raises(StoreRejected, match=r"correct storage\.url") as raised:
        CALLS[call](store, tmp_path)
    assert raised.value.code == "NoSuchBucket"


def test_a_missing_object_stays_one(s3_server: S3Server, tmp_path: Path) -> None:
    store = open_storage(s3_server.config(s3_server.new_bucket()))
    assert store.head("raw/x") is None
    for call in ("read", "download", "copy"):
        with pytest.raises(ObjectNotFound):
            CALLS[call](store, tmp_path)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that has one answer, for faults that no real one gives on request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def fault(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>said\nthe server</Message></Error>".encode()


@pytest.mark.parametrize("code", sorted(REMEDIES))
def test_every_lasting_code_names_its_remedy_and_is_not_retried(
    code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status = 400 if code.startswith("Expired") else 403
    with answering(status, fault(code)) as endpoint:
        store = opened(endpoint, ("a", "b"), monkeypatch)
        for call in ("list", "head", "read", "write"):
            with pytest.raises(StoreRejected) as raised:
                CALLS[call](store, tmp_path)
            text = str(raised.value)
            assert raised.value.code == code
            assert REMEDIES[code] in text
            assert text.isprintable()


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "RequestTimeout", "Unheard"])
def test_other_codes_may_pass_and_are_named_too(
    code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lerobot_pipelines.storage.s3_connection.RETRIES", 0)
    with answering(400, fault(code)) as endpoint:
        store = opened(endpoint, ("a", "b"), monkeypatch)
        with pytest.raises(Transient, match=code):
            CALLS["read"](store, tmp_path)


def test_without_any_code_a_forbidden_request_is_access_denied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with answering(403, b"") as endpoint:
        store = opened(endpoint, ("a", "b"), monkeypatch)
        for call in ("list", "head", "read"):
            with pytest.raises(StoreRejected) as raised:
                CALLS[call](store, tmp_path)
            assert raised.value.code == "AccessDenied"
