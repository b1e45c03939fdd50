"""An S3 bucket, or a folder in one: objects in and out. What lies in it: see ``s3_listing``."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound
from lerobot_pipelines.storage.names import check_key, shown
from lerobot_pipelines.storage.s3_checksums import (
    ContentHash,
    comparable,
    expected_etag,
    plain_etag,
)
from lerobot_pipelines.storage.s3_conditional import put_over
from lerobot_pipelines.storage.s3_connection import AS_CONFIGURED, S3Settings
from lerobot_pipelines.storage.s3_listing import S3Listing

PART_BYTES = 8 << 20
UPLOAD_PARTS_AT_ONCE = 4
COPIED_AT_ONCE_BYTES = 5 << 30  # what servers copy in one request at most
# Above it several ranges of one object are fetched at once.
RANGES_FROM_BYTES = 64 << 20
RANGE_BYTES = 16 << 20
RANGES_AT_ONCE = 4


def open_s3(config: StorageConfig, settings: S3Settings = AS_CONFIGURED) -> S3Storage:
    return S3Storage(config, settings)


class S3Storage(S3Listing):
    """The promises are those of ``storage.base``."""

    def read(self, key: str) -> bytes:
        import obstore

        with self._translated(key):
            return bytes(obstore.get(self._store, self._name(check_key(key))).bytes())

    def write(self, key: str, data: bytes) -> ObjectInfo:
        import obstore

        with self._translated(key):
            put = obstore.put(self._store, self._name(check_key(key)), data, use_multipart=False)
        digest = ContentHash()
        digest.update(data)
        self._verify(key, plain_etag(put["e_tag"]), digest.md5)
        return self._published(key)

    def create(self, key: str, data: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._translated(key):
            try:
                obstore.put(self._store, self._name(check_key(key)), data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
        # A store that ignores the condition lets the last writer win; the others see it here.
        return self.read(key) == data

    def replace(self, key: str, content: bytes | Path, seen: str | None) -> ObjectInfo | None:
        name = self._name(check_key(key))
        with self._translated(key):
            is_there = put_over(
                self._plain, self._place.bucket, name, content, seen, lambda: self.head(key)
            )
        return self._published(key) if is_there else None

    def upload(self, path: Path, key: str, *, is_final: bool = False) -> ObjectInfo:
        import obstore

        with self._translated(key):
            put = obstore.put(
                self._store,
                self._name(check_key(key)),
                path,
                use_multipart=path.stat().st_size > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=UPLOAD_PARTS_AT_ONCE,
            )
        self._verify(key, plain_etag(put["e_tag"]), expected_etag(path, PART_BYTES))
        info = self._published(key)
        if info.size != path.stat().st_size:
            raise Transient(f"{shown(key)} has {info.size} bytes in {self.url} after the upload")
        return info

    def copy(self, source: str, key: str) -> ObjectInfo:
        import obstore

        names = self._name(check_key(source)), self._name(check_key(key))
        there = self.head(source)
        if there is None:
            raise ObjectNotFound(f"there is no {shown(source)} in {self.url}")
        with self._translated(source):
            if there.size < COPIED_AT_ONCE_BYTES:
                obstore.copy(self._store, *names)
            else:  # boto3 copies in parts
                bucket = self._place.bucket
                self._plain.copy({"Bucket": bucket, "Key": names[0]}, bucket, names[1])
        info = self._published(key)
        if info.size != there.size:
            raise Transient(f"{shown(key)} has {info.size} bytes in {self.url} after the copy")
        return info

    def download(self, key: str, path: Path) -> ObjectInfo:
        import obstore

        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        digest = ContentHash()
        try:
            with temporary.open("wb") as file, self._translated(key):
                found = obstore.get(self._store, self._name(check_key(key)))
                info = self._info(found.meta)
                if info.size > RANGES_FROM_BYTES:
                    self._fetch_ranges(key, info, file.fileno())
                else:
                    for block in found.stream():
                        digest.update(block)
                        file.write(block)
            if temporary.stat().st_size != info.size:
                raise Transient(f"{shown(key)} came incomplete from {self.url}")
            if info.size <= RANGES_FROM_BYTES and "-" not in info.etag:
                self._verify(key, info.etag, digest.md5)
            else:
                self._verify_file(key, info, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return info

    def delete(self, key: str) -> None:
        import obstore

        try:
            with self._translated(key):
                obstore.delete(self._store, self._name(check_key(key)))
        except ObjectNotFound:
            return

    def holds(self, info: ObjectInfo, path: Path) -> bool:
        if info.size != path.stat().st_size:
            return False
        return info.etag == expected_etag(path, PART_BYTES)

    def local_path(self, key: str) -> Path | None:
        return None

    def _published(self, key: str) -> ObjectInfo:
        info = self.head(key)
        if info is None:
            raise Transient(f"{shown(key)} is not in {self.url} although it was just written")
        return info

    def _fetch_ranges(self, key: str, info: ObjectInfo, target: int) -> None:
        """Several parts at once, each into its place, all of the version that ``info`` names."""
        import obstore

        name = self._name(key)

        def fetch(start: int) -> None:
            end = min(start + RANGE_BYTES, info.size)
            options: Any = {"range": (start, end), "if_match": f'"{info.etag}"'}
            for block in obstore.get(self._store, name, options=options).stream():
                os.pwrite(target, block, start)
                start += len(block)

        with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
            for _ in pool.map(fetch, range(0, info.size, RANGE_BYTES)):
                pass

    def _verify(self, key: str, stated: str | None, computed: str) -> None:
        if stated is None or stated == computed or not comparable(stated, computed):
            return
        if not self._has_own_etags(key):
            raise Transient(f"{shown(key)} differs from what {self.url} holds; it was damaged")

    def _verify_file(self, key: str, info: ObjectInfo, path: Path) -> None:
        """As ``_verify``, for objects that came in ranges or were uploaded in parts."""
        if "-" not in info.etag:
            self._verify(key, info.etag, expected_etag(path, info.size))
            return
        computed = expected_etag(path, PART_BYTES)
        if computed == info.etag:
            return
        # Uploaded by another program, in parts of another size, which some servers tell.
        part_bytes = self._part_bytes(key)
        if part_bytes is not None and part_bytes < info.size:
            self._verify(key, info.etag, expected_etag(path, part_bytes))

    def _part_bytes(self, key: str) -> int | None:
        from botocore.exceptions import ClientError

        with self._translated(key), suppress(ClientError):
            head = self._plain.head_object(
                Bucket=self._place.bucket, Key=self._name(key), PartNumber=1
            )
            return int(head["ContentLength"])
        return None

    def _has_own_etags(self, key: str) -> bool:
        """Whether the object is encrypted in a way that makes its ETag no checksum."""
        client = self._plain
        with self._translated(key):
            head = client.head_object(Bucket=self._place.bucket, Key=self._name(key))
        kms = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
        return kms or "SSECustomerAlgorithm" in head
