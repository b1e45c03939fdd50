"""Baidu's object storage has two services: its own protocol, and S3's (``s3.<region>.bcebos.com``).

Clients of this project speak S3. An address of the other service answers requests with errors that
say nothing of the cause, so it is replaced by that of the S3 service, with a warning.
"""

from __future__ import annotations

import re

from lerobot_pipelines.config.draft import Draft

ENDPOINT = ("storage", "endpoint")
REGION = ("storage", "region")
_ADDRESS = re.compile(r"(?:https?://)?(?P<host>(?:[a-z0-9-]+\.)*bcebos\.com)/?", re.IGNORECASE)
_SCHEME = re.compile(r"http://", re.IGNORECASE)


def rewrite_endpoint(draft: Draft) -> None:
    """Bring ``storage.endpoint`` to the S3 service, and ``storage.region`` to the region in it."""
    given = draft.get(*ENDPOINT)
    match = _ADDRESS.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None:
        return
    *labels, _, _ = match["host"].lower().split(".")
    if not labels or labels == ["s3"]:
        draft.fault(
            ENDPOINT, "names no region; write https://s3.<region>.bcebos.com, e.g. region bj"
        )
        return
    region = labels[-1]
    if draft.get(*REGION) is None:
        draft.put(REGION, region, ENDPOINT)
    if labels == ["s3", region] and "://" in given:
        return
    scheme = "http" if _SCHEME.match(given.strip()) else "https"
    service = f"{scheme}://s3.{region}.bcebos.com"
    draft.put(ENDPOINT, service, draft.origin(ENDPOINT))
    draft.warn(
        ENDPOINT,
        f"is the address of the store's own protocol; its S3 service, {service}, is used instead",
    )
