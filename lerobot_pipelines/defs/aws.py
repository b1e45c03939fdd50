"""The connection from Dagster's own S3 resource instead of the datasets' YAML.

Not imported by the definitions that ship: dagster-aws takes as long to import as all of the rest,
in every run. A code location of one's own asks for it::

    configs, broken = read_configs(config_files())
    s3 = S3Resource(profile_name="robots", endpoint_url=dg.EnvVar("ROBOT_STORE"), max_attempts=10)
    defs = build_defs(configs, broken=broken, resources={"pipeline": S3PipelineResource(s3=s3)})

The resource only configures: bytes are moved by the project's own client.
"""

from __future__ import annotations

from pathlib import Path

from dagster_aws.s3 import S3Resource
from pydantic import Field

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.pipeline.workspace import Workspace, cache_dir_of
from lerobot_pipelines.storage import scheme_of
from lerobot_pipelines.storage.s3 import open_s3
from lerobot_pipelines.storage.s3_connection import S3Settings


class S3PipelineResource(PipelineResource):
    """A ``PipelineResource`` whose buckets are reached as an ``S3Resource`` says.

    What that leaves open (endpoint, region, keys) stays as in the dataset's YAML or environment.
    Datasets in a local folder are not concerned.
    """

    s3: S3Resource = Field(description="Endpoint, region, profile or keys, retries, certificates.")

    def workspace(self, config: DatasetConfig) -> Workspace:
        """Raises ``ConfigError`` as that of ``PipelineResource``, and for an unknown profile."""
        resolved = self.resolved(config)
        if scheme_of(resolved.storage.url) != "s3":
            return super().workspace(config)
        storage = open_s3(resolved.storage, settings_of(self.s3))
        cache_dir = Path(self.cache_dir) if self.cache_dir else cache_dir_of(resolved)
        return Workspace(resolved, storage, cache_dir)


def settings_of(s3: S3Resource) -> S3Settings:
    endpoint = s3.endpoint_url
    if endpoint and "://" not in endpoint:
        endpoint = f"{'https' if s3.use_ssl else 'http'}://{endpoint}"
    return S3Settings(
        endpoint=endpoint,
        region=s3.region_name,
        profile=s3.profile_name,
        access_key=s3.aws_access_key_id,
        secret_key=s3.aws_secret_access_key,
        session_token=s3.aws_session_token,
        is_unsigned=s3.use_unsigned_session,
        verifies_certificates=s3.verify is not False,
        attempts=s3.max_attempts,
    )
