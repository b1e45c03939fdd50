"""An S3 server for the tests: the one that the environment names, else moto's on this machine.

CI names a Ceph gateway. moto imitates AWS well enough for everybody else: it pages, checks
conditions and assembles multipart uploads, though it checks no signature.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from lerobot_pipelines.config.schema import StorageConfig

ENDPOINT_VARIABLE = "LEROBOT_PIPELINES_S3_ENDPOINT"
ACCESS_KEY_VARIABLE = "LEROBOT_PIPELINES_TEST_ACCESS_KEY"
SECRET_KEY_VARIABLE = "LEROBOT_PIPELINES_TEST_SECRET_KEY"
START_SECONDS = 30


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=os.environ[ACCESS_KEY_VARIABLE],
            aws_secret_access_key=os.environ[SECRET_KEY_VARIABLE],
        )

    def new_bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex[:16]}"
        self.client().create_bucket(Bucket=name)
        return name

    def config(self, bucket: str, folder: str = "") -> StorageConfig:
        return StorageConfig(
            url=f"s3://{bucket}/{folder}".rstrip("/"),
            endpoint=self.endpoint,
            region="us-east-1",
            addressing_style="path",
            access_key_env=ACCESS_KEY_VARIABLE,
            secret_key_env=SECRET_KEY_VARIABLE,
        )


@contextmanager
def running_s3_server() -> Iterator[S3Server]:
    if endpoint := os.environ.get(ENDPOINT_VARIABLE):
        yield S3Server(endpoint)
        return
    os.environ.setdefault(ACCESS_KEY_VARIABLE, "moto-checks-no-key")
    os.environ.setdefault(SECRET_KEY_VARIABLE, "moto-checks-no-key")
    with running_moto() as server:
        yield server


@contextmanager
def running_moto(**environment: str) -> Iterator[S3Server]:
    """moto's own server; ``environment`` holds its settings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdout=quiet, stderr=quiet, env={**os.environ, **environment}
    ) as process:
        try:
            _wait_for(port, process)
            yield S3Server(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "the S3 server ended by itself"
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no S3 server on port {port}")
