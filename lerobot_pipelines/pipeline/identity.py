"""Whether artifacts were made of the content that lies in the bucket now.

An episode's identity is its fingerprint: path, size and ETag of each member, no more. A folder that
was copied, moved or restored with its times has the same ETags, so nothing is converted again.
Earlier versions had the inode of a local file in its ETag, and fingerprints made of those are known
by the members that the manifest lists.
"""

from __future__ import annotations

from dataclasses import replace

from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Manifest
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.discovery import fingerprint
from lerobot_pipelines.pipeline.episode_state import Content
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound


def with_earlier(workspace: Workspace, key: str, content: Content, recorded: str | None) -> Content:
    """The content, told also by ``recorded`` if that is how an earlier version wrote it down.

    Reads the manifest where the two differ and the bucket is a folder: an object store's ETags
    are what they always were.
    """
    if not recorded or not content.fingerprint or content.is_of(recorded):
        return content
    if workspace.storage.local_path("") is None:
        return content
    try:
        manifest = read_artifact(workspace, episode_keys(workspace, key).manifest, Manifest)
    except (ObjectNotFound, Refused):
        return content
    is_same = manifest.fingerprint == recorded
    if is_same and fingerprint(manifest.members) == content.fingerprint:
        return replace(content, earlier=recorded)
    return content
