"""Writing to an S3 store only over the version that was seen.

``If-None-Match: *`` (there is no object) and ``If-Match: <ETag>`` (it is that version) are atomic
on AWS, MinIO, Ceph and moto. Ceph 16 wants the ETag without the quotes of the HTTP header, AWS with
them: where the quoted one is refused although the object still has it, the bare one is tried. A
store that knows no ``If-Match`` (it answers 501) gets a look and then a plain write, which leaves a
gap between the two; README says what that means. boto3 sends these requests because it streams a
file in one piece, whose condition the server checks; a multipart upload's is ignored by some.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lerobot_pipelines.storage.base import ObjectInfo
from lerobot_pipelines.storage.s3_checksums import expected_etag

logger = logging.getLogger(__name__)

MAX_CONDITIONAL_BYTES = 5 << 30  # what servers take in one request

_REFUSED = {404, 409, 412}  # there is none, somebody writes it now, it is another
_UNKNOWN = {405, 501}
CONFLICTS = 3  # how often a write that met another one at the same moment is sent again


def put_over(
    client: Any,
    bucket: str,
    name: str,
    content: bytes | Path,
    seen: str | None,
    head: Callable[[], ObjectInfo | None],
) -> bool:
    """Whether the content is there now. ``head`` looks at the object as it is."""
    conditions: list[dict[str, str]] = [{"IfNoneMatch": "*"}]
    if seen is not None:
        conditions = [{"IfMatch": f'"{seen}"'}, {"IfMatch": seen}]
    for condition in conditions:
        status = _put(client, bucket, name, content, condition)
        for _ in range(CONFLICTS):
            if status != 409:
                break
            status = _put(client, bucket, name, content, condition)
        if status in _UNKNOWN:
            return _put_after_a_look(client, bucket, name, content, seen, head)
        if status not in _REFUSED:
            return True
        there = head()
        # The client itself may have sent it twice, because an answer was lost.
        if there is not None and there.etag == _etag_of(content):
            return True
        if seen is None or there is None or there.etag != seen:
            return False
    return False


def _put(
    client: Any, bucket: str, name: str, content: bytes | Path, condition: dict[str, str]
) -> int:
    """The HTTP status, if it is one of those that a condition brings about."""
    from botocore.exceptions import ClientError

    with _body(content) as body:
        try:
            client.put_object(Bucket=bucket, Key=name, Body=body, **condition)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code = error.response.get("Error", {}).get("Code")
            if status not in _REFUSED | _UNKNOWN or code == "NoSuchBucket":
                raise
            return status
    return 200


def _put_after_a_look(
    client: Any,
    bucket: str,
    name: str,
    content: bytes | Path,
    seen: str | None,
    head: Callable[[], ObjectInfo | None],
) -> bool:
    logger.warning("%s: the store checks no conditions; of two writers the later wins", bucket)
    there = head()
    if (there.etag if there else None) != seen:
        return False
    return _put(client, bucket, name, content, {}) == 200


def _etag_of(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    return expected_etag(content, MAX_CONDITIONAL_BYTES)


@contextmanager
def _body(content: bytes | Path) -> Iterator[bytes | IO[bytes]]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield file
