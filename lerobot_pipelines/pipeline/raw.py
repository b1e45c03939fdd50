"""Step one: say what an episode is made of, without decoding a picture."""

from __future__ import annotations

from lerobot_pipelines.config.hashing import raw_hash
from lerobot_pipelines.model import Manifest
from lerobot_pipelines.pipeline.artifacts import episode_keys, write_artifact
from lerobot_pipelines.pipeline.discovery import fingerprint
from lerobot_pipelines.pipeline.episode_config import read_overrides
from lerobot_pipelines.pipeline.failures import refuse_gone, remember_refusal
from lerobot_pipelines.pipeline.fetch import members_of, opened_recording
from lerobot_pipelines.pipeline.withdrawing import refuse_taken_out
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recordings import container_of, report_intake, report_streams

STAGE = "raw_episodes"


def scan_episode(workspace: Workspace, key: str) -> Manifest:
    """List the members, measure the streams, publish the manifest.

    Raises ``Refused`` for an unreadable recording and ``ContentChanged`` for one in motion; also
    for one that is gone, or was taken out by a person, where nothing else changes.
    """
    config_hash = raw_hash(workspace.config)
    refuse_gone(workspace, key)
    with remember_refusal(workspace, key, STAGE, config_hash=config_hash):
        members = members_of(workspace, key)
    identity = fingerprint(members)
    refuse_taken_out(workspace, key, identity)
    with (
        remember_refusal(workspace, key, STAGE, fingerprint=identity, config_hash=config_hash),
        opened_recording(workspace, key, members) as recording,
    ):
        overrides = read_overrides(workspace, key, members)
        manifest = Manifest(
            key=key,
            uri=recording.source.uri,
            container=container_of(members),
            fingerprint=identity,
            members=members,
            streams=tuple(report_streams(recording)),
            faults=tuple(recording.faults),
            metadata=dict(recording.metadata),
            overrides=overrides.model_dump(exclude_defaults=True),
            intake=report_intake(recording, workspace.config),
        )
    write_artifact(workspace, episode_keys(workspace, key).manifest, manifest)
    return manifest
