"""Dagster's own S3 resource reaches the bucket, in place of what the YAML says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from lerobot_pipelines.defs.assemble import build_defs
from lerobot_pipelines.defs.aws import S3PipelineResource
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.pipeline.discovery import list_episode_keys
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines_tests.fleet import fleet_config, record
from lerobot_pipelines_tests.s3_server import ACCESS_KEY_VARIABLE, SECRET_KEY_VARIABLE, S3Server

# What the YAML of this test says: nothing that reaches a server.
NOWHERE = {
    "endpoint": "http://127.0.0.1:9",
    "region": "eu-central-1",
    "access_key_env": None,
    "secret_key_env": None,
}


def resource(server: S3Server, cache: Path) -> S3PipelineResource:
    return S3PipelineResource(
        cache_dir=str(cache),
        s3=S3Resource(
            endpoint_url=server.endpoint.removeprefix("http://"),
            use_ssl=False,
            region_name="us-east-1",
            aws_access_key_id=os.environ[ACCESS_KEY_VARIABLE],
            aws_secret_access_key=os.environ[SECRET_KEY_VARIABLE],
            max_attempts=3,
        ),
    )


def test_an_episode_is_converted_through_the_resource(s3_server: S3Server, tmp_path: Path) -> None:
    direct = s3_server.config(s3_server.new_bucket())
    config = fleet_config(direct)
    publish_episode("block/episode_1", record(tmp_path / "disk"), config=config)
    astray = fleet_config(direct.model_copy(update=NOWHERE))
    pipeline = resource(s3_server, tmp_path / "cache")
    definitions = build_defs({"fleet": astray}, resources={"pipeline": pipeline})
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("fleet_episodes", ["block~episode_1"])
        result = definitions.resolve_job_def("fleet_episode").execute_in_process(
            instance=instance, partition_key="block~episode_1"
        )
    assert result.success
    written = [info.key for info in open_storage(direct).list("work/fleet/records")]
    assert written == ["work/fleet/records/block~episode_1.json"]


def test_overrides_hold_and_local_folders_are_not_concerned(
    s3_server: S3Server, tmp_path: Path
) -> None:
    from lerobot_pipelines.config.schema import StorageConfig

    pipeline = resource(s3_server, tmp_path / "cache")
    config = fleet_config(StorageConfig(url=(tmp_path / "bucket").as_uri()))
    assert pipeline.workspace(config).storage.url.startswith("file://")
    changed = S3PipelineResource(s3=pipeline.s3, overrides={"alignment.strategy": "hold"})
    bucket = fleet_config(s3_server.config(s3_server.new_bucket()))
    workspace = changed.workspace(bucket)
    assert workspace.config.alignment.strategy == "hold"
    assert list(list_episode_keys(workspace.storage, workspace.config)) == []


def test_a_profile_that_does_not_exist_is_named(s3_server: S3Server) -> None:
    pipeline = S3PipelineResource(s3=S3Resource(profile_name="no-such-profile"))
    with pytest.raises(ConfigError, match="no-such-profile"):
        pipeline.workspace(fleet_config(s3_server.config("bucket")))


def test_the_definitions_that_ship_do_not_pay_for_it() -> None:
    program = (
        "import sys; from lerobot_pipelines.definitions import defs; defs();"
        "assert not {'dagster_aws', 'boto3', 'obstore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
