"""What lies in an S3 bucket, or in a folder of one.

obstore lists for a fraction of boto3's CPU time, which the encoders want. It refuses, however, a
whole listing for one name with ``//``, ``..`` or a control character in it, and anybody may have
uploaded one; such a listing is taken over by boto3 and the name is shown to the caller like any
other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.storage.base import Level, ObjectInfo, ObjectNotFound
from lerobot_pipelines.storage.names import check_key, join
from lerobot_pipelines.storage.s3_checksums import plain_etag
from lerobot_pipelines.storage.s3_connection import (
    AS_CONFIGURED,
    Place,
    S3Settings,
    bulk_client,
    place_of,
    plain_client,
)
from lerobot_pipelines.storage.s3_faults import translated
from lerobot_pipelines.storage.unfinished import Unfinished

if TYPE_CHECKING:
    from obstore import ObjectMeta

logger = logging.getLogger(__name__)

PAGE = 1000  # what servers give at most


class S3Listing:
    """The connection to a bucket, and all that reads no object's content."""

    def __init__(self, config: StorageConfig, settings: S3Settings = AS_CONFIGURED) -> None:
        self._config = config
        self._settings = settings
        self._place: Place = place_of(config.url)
        self._store = bulk_client(config, self._place, settings)
        self.url = f"s3://{join(self._place.bucket, self._place.prefix)}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._list(prefix, None)

    def list_after(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        return self._list(prefix, self._name(after))

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

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Multipart uploads that were neither completed nor aborted."""
        bucket, name = self._place.bucket, self._name(prefix)
        with self._translated(prefix):
            pages = self._plain.get_paginator("list_multipart_uploads").paginate(
                Bucket=bucket, Prefix=f"{name}/" if name else ""
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    yield Unfinished(
                        key=self._key(upload["Key"]),
                        size=0,  # asking for the parts costs a request each
                        begun_ns=int(upload["Initiated"].timestamp() * 1e9),
                        discard=partial(self._abort, upload["Key"], upload["UploadId"]),
                    )

    def _list(self, prefix: str, last: str | None) -> Iterator[ObjectInfo]:
        import obstore
        from obstore.exceptions import InvalidPathError

        name = self._name(prefix) or None
        with self._translated(prefix):
            try:
                pages = obstore.list(self._store, name, offset=last, chunk_size=PAGE)
                for page in pages:
                    for meta in page:
                        last = meta["path"]
                        yield self._info(meta)
                return
            except InvalidPathError:
                logger.warning("%s holds names that are unusual; listing more slowly", self.url)
        yield from self._list_plainly(prefix, last)

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

    def _abort(self, name: str, upload_id: str) -> None:
        from botocore.exceptions import ClientError

        with self._translated(self._key(name)), suppress(ClientError):  # ended meanwhile
            self._plain.abort_multipart_upload(
                Bucket=self._place.bucket, Key=name, UploadId=upload_id
            )

    def _info(self, meta: ObjectMeta) -> ObjectInfo:
        return ObjectInfo(
            key=self._key(meta["path"]),
            size=meta["size"],
            etag=plain_etag(meta["e_tag"]) or "",
            modified_ns=int(meta["last_modified"].timestamp() * 1e9),
        )

    def _plain_info(self, entry: Any) -> ObjectInfo:
        return ObjectInfo(
            key=self._key(entry["Key"]),
            size=entry["Size"],
            etag=plain_etag(entry["ETag"]) or "",
            modified_ns=int(entry["LastModified"].timestamp() * 1e9),
        )

    @cached_property
    def _plain(self) -> Any:
        """Kept, because making one takes as long as many requests."""
        return plain_client(self._config, self._settings)

    def _name(self, key: str) -> str:
        return join(self._place.prefix, key)

    def _key(self, name: str) -> str:
        prefix = self._place.prefix
        return name[len(prefix) + 1 :] if prefix else name

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """The clients' errors as this project's, see ``s3_faults``."""
        from botocore.exceptions import BotoCoreError, ClientError
        from obstore.exceptions import BaseError, InvalidPathError

        try:
            yield
        except InvalidPathError:
            raise
        except (FileNotFoundError, BaseError, BotoCoreError, ClientError) as error:
            raise translated(error, self.url, key, partial(self._asked, key)) from error

    def _asked(self, key: str) -> Exception | None:
        """What the server says of a request whose answer has a body, which those to HEAD lack."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._plain.list_objects_v2(
                Bucket=self._place.bucket, Prefix=self._name(key), MaxKeys=1
            )
        except (BotoCoreError, ClientError) as error:
            fault: Exception = error
            return fault
        return None
