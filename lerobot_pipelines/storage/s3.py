"""An S3 bucket, or a folder in one.

obstore moves the bytes: it needs a fraction of boto3's CPU time, which the encoders want. It
refuses, however, a whole listing for one name with ``//``, ``..`` or a control character in it, and
anybody may have uploaded one; such a listing is taken over by boto3 and the name is shown to the
caller like any other.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage.base import Level, ObjectInfo, ObjectNotFound
from lerobot_pipelines.storage.names import check_key, join, shown
from lerobot_pipelines.storage.s3_checksums import (
    ContentHash,
    comparable,
    expected_etag,
    plain_etag,
)
from lerobot_pipelines.storage.s3_connection import Place, bulk_client, place_of, plain_client

if TYPE_CHECKING:
    from obstore import ObjectMeta

logger = logging.getLogger(__name__)

PAGE = 1000  # what servers give at most
PART_BYTES = 8 << 20
UPLOAD_PARTS_AT_ONCE = 4
# Above it several ranges of one object are fetched at once.
RANGES_FROM_BYTES = 64 << 20
RANGE_BYTES = 16 << 20
RANGES_AT_ONCE = 4


def open_s3(config: StorageConfig) -> S3Storage:
    return S3Storage(config)


class S3Storage:
    """See the module; the promises are those of ``storage.base``."""

    def __init__(self, config: StorageConfig) -> None:
        self._config = config
        self._place: Place = place_of(config.url)
        self._store = bulk_client(config, self._place)
        self.url = f"s3://{join(self._place.bucket, self._place.prefix)}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        import obstore
        from obstore.exceptions import InvalidPathError

        last: str | None = None
        with self._translated(prefix):
            try:
                pages = obstore.list(self._store, self._name(prefix) or None, chunk_size=PAGE)
                for page in pages:
                    for meta in page:
                        last = meta["path"]
                        yield self._info(meta)
                return
            except InvalidPathError:
                logger.warning("%s holds names that are unusual; listing more slowly", self.url)
        yield from self._list_plainly(prefix, last)

    def list_level(self, prefix: str = "") -> Level:
        import obstore
        from obstore.exceptions import InvalidPathError

        name = self._name(prefix)
        with self._translated(prefix):
            try:
                level = obstore.list_with_delimiter(self._store, name or None)
            except InvalidPathError:
                return self._level_plainly(prefix)
        folders = [folder.rstrip("/").rpartition("/")[2] for folder in level["common_prefixes"]]
        objects = [self._info(meta) for meta in level["objects"]]
        return sorted(folders, key=str.encode), objects

    def head(self, key: str) -> ObjectInfo | None:
        import obstore

        try:
            with self._translated(key):
                return self._info(obstore.head(self._store, self._name(check_key(key))))
        except ObjectNotFound:
            return None

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

    def upload(self, path: Path, key: str) -> ObjectInfo:
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
            if info.size <= RANGES_FROM_BYTES:
                self._verify(key, info.etag, digest.md5)
            if temporary.stat().st_size != info.size:
                raise Transient(f"{shown(key)} came incomplete from {self.url}")
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

    @cached_property
    def _plain(self) -> Any:
        """Kept, because making one takes as long as many requests."""
        return plain_client(self._config)

    def _name(self, key: str) -> str:
        return join(self._place.prefix, key)

    def _key(self, name: str) -> str:
        prefix = self._place.prefix
        return name[len(prefix) + 1 :] if prefix else name

    def _info(self, meta: ObjectMeta) -> ObjectInfo:
        return ObjectInfo(
            key=self._key(meta["path"]),
            size=meta["size"],
            etag=plain_etag(meta["e_tag"]) or "",
            modified_ns=int(meta["last_modified"].timestamp() * 1e9),
        )

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

    def _has_own_etags(self, key: str) -> bool:
        """Whether the object is encrypted in a way that makes its ETag no checksum."""
        client = self._plain
        with self._translated(key):
            head = client.head_object(Bucket=self._place.bucket, Key=self._name(key))
        kms = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
        return kms or "SSECustomerAlgorithm" in head

    def _list_plainly(self, prefix: str, after: str | None) -> Iterator[ObjectInfo]:
        name = self._name(prefix)
        request: dict[str, Any] = {
            "Bucket": self._place.bucket,
            "Prefix": f"{name}/" if name else "",
        }
        if after is not None:
            request["StartAfter"] = after
        with self._translated(prefix):
            pages = self._plain.get_paginator("list_objects_v2").paginate(**request)
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield self._plain_info(entry)

    def _level_plainly(self, prefix: str) -> Level:
        name = self._name(prefix)
        start = f"{name}/" if name else ""
        folders: list[str] = []
        objects: list[ObjectInfo] = []
        pages = self._plain.get_paginator("list_objects_v2").paginate(
            Bucket=self._place.bucket, Prefix=start, Delimiter="/"
        )
        for page in pages:
            folders += [each["Prefix"][len(start) : -1] for each in page.get("CommonPrefixes", ())]
            objects += [self._plain_info(entry) for entry in page.get("Contents", ())]
        return folders, objects

    def _plain_info(self, entry: Any) -> ObjectInfo:
        return ObjectInfo(
            key=self._key(entry["Key"]),
            size=entry["Size"],
            etag=plain_etag(entry["ETag"]) or "",
            modified_ns=int(entry["LastModified"].timestamp() * 1e9),
        )

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """The clients' errors as this project's: another attempt may succeed, unless not found."""
        from botocore.exceptions import BotoCoreError, ClientError
        from obstore.exceptions import BaseError, InvalidPathError

        try:
            yield
        except FileNotFoundError as error:
            raise ObjectNotFound(f"there is no {shown(key)} in {self.url}") from error
        except InvalidPathError:
            raise
        except (BaseError, BotoCoreError, ClientError) as error:
            # The first line says it; the rest is the client's own data structures.
            cause = str(error).partition("\n")[0]
            raise Transient(f"{self.url}: {cause} ({shown(key)})") from error
