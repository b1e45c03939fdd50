"""How to reach an S3-compatible server: AWS, MinIO, Ceph, Baidu BOS.

Keys come from the environment variables that the configuration names, else from where boto3 looks
(``AWS_*``, profiles, roles). They are handed to the clients and kept nowhere else. An orchestrator
may say more, or otherwise, with ``S3Settings``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import ConfigError

if TYPE_CHECKING:
    import boto3
    from obstore.store import S3Store

DEFAULT_REGION = "us-east-1"
# What Baidu's tools call the keys; used for its endpoints where nothing else is said.
BOS_VARIABLES = ("BOS_ACCESS_KEY", "BOS_SECRET_KEY")
TIMEOUT_S = 120
CONNECT_TIMEOUT_S = 10
# With doubling from 0.2 s and jitter: a server may be away for about a minute.
RETRIES = 8
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and the folder in it that ``storage.url`` names."""

    bucket: str
    prefix: str  # "" or "a/b"


def place_of(url: str) -> Place:
    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            f'storage.url "{url}" names no bucket; write s3://bucket or s3://bucket/a'
        )
    return Place(parts.netloc, parts.path.strip("/"))


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What an orchestrator's own resource says of the connection; None: as the configuration."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    is_unsigned: bool = False
    verifies_certificates: bool = True
    attempts: int | None = None


AS_CONFIGURED = S3Settings()


def session(config: StorageConfig, settings: S3Settings = AS_CONFIGURED) -> boto3.Session:
    """A boto3 session with the keys that the settings hold or the configuration points to.

    Raises ``ConfigError`` naming the environment variable or the profile that is missing.
    """
    import boto3
    from botocore.exceptions import ProfileNotFound

    keys: dict[str, Any] = {}
    variables = config.access_key_env, config.secret_key_env
    if settings.access_key or settings.profile:
        keys = {
            "profile_name": settings.profile,
            "aws_access_key_id": settings.access_key,
            "aws_secret_access_key": settings.secret_key,
            "aws_session_token": settings.session_token,
        }
    elif any(variables):
        keys = {
            "aws_access_key_id": _secret("storage.access_key_env", variables[0]),
            "aws_secret_access_key": _secret("storage.secret_key_env", variables[1]),
        }
    elif _is_bos(_endpoint(config, settings)) and all(name in os.environ for name in BOS_VARIABLES):
        access, secret = (os.environ[name] for name in BOS_VARIABLES)
        keys = {"aws_access_key_id": access, "aws_secret_access_key": secret}
    try:
        return boto3.Session(region_name=settings.region or config.region, **keys)
    except ProfileNotFound as error:
        raise ConfigError(f"{error}; add it to ~/.aws/config or name another") from error


def bulk_client(
    config: StorageConfig, place: Place, settings: S3Settings = AS_CONFIGURED
) -> S3Store:
    """The fast client, for everything but the listing of hostile names."""
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    found = session(config, settings)
    endpoint = _endpoint(config, settings)
    virtual = _is_virtual_hosted(config, endpoint)
    options: dict[str, Any] = {"virtual_hosted_style_request": virtual}
    if settings.is_unsigned or found.get_credentials() is None:
        options["skip_signature"] = True
    else:
        options["credential_provider"] = Boto3CredentialProvider(found)
    if endpoint is not None:
        scheme, _, host = endpoint.partition("://")
        # This client takes the endpoint of virtual-hosted requests with the bucket in it.
        options["endpoint"] = f"{scheme}://{place.bucket}.{host}" if virtual else endpoint
    return S3Store(
        place.bucket,
        region=found.region_name or DEFAULT_REGION,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "allow_invalid_certificates": not settings.verifies_certificates,
            "timeout": timedelta(seconds=TIMEOUT_S),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        },
        retry_config={
            "max_retries": settings.attempts or RETRIES,
            "retry_timeout": timedelta(seconds=TIMEOUT_S),
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_BACKOFF_S),
                "max_backoff": timedelta(seconds=LONGEST_BACKOFF_S),
                "base": 2,
            },
        },
        **options,
    )


def plain_client(config: StorageConfig, settings: S3Settings = AS_CONFIGURED) -> Any:
    """A boto3 S3 client: slower, but it takes any name that a bucket can hold."""
    from botocore import UNSIGNED
    from botocore.config import Config

    endpoint = _endpoint(config, settings)
    style = "virtual" if _is_virtual_hosted(config, endpoint) else "path"
    found = session(config, settings)
    return found.client(
        "s3",
        region_name=found.region_name or DEFAULT_REGION,
        endpoint_url=endpoint,
        verify=None if settings.verifies_certificates else False,
        config=Config(
            signature_version=UNSIGNED if settings.is_unsigned else None,
            s3={"addressing_style": style},
            retries={"mode": "adaptive", "max_attempts": settings.attempts or RETRIES},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            # Some compatible stores refuse the checksums that newer boto3 adds unasked.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _secret(key: str, variable: str | None) -> str:
    value = os.environ.get(variable or "")
    if not value:
        what = f"the environment variable {variable} is not set" if variable else "it is missing"
        raise ConfigError(f"{key}: {what}; both keys are needed, or neither")
    return value


def _is_bos(endpoint: str | None) -> bool:
    host = urlsplit(endpoint or "").hostname or ""
    return host.endswith(".bcebos.com")


def _endpoint(config: StorageConfig, settings: S3Settings) -> str | None:
    named = settings.endpoint or config.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3")
    named = named or os.environ.get("AWS_ENDPOINT_URL")
    if not named:
        return None
    return (named if "://" in named else f"https://{named}").rstrip("/")


def _is_virtual_hosted(config: StorageConfig, endpoint: str | None) -> bool:
    # A server of one's own seldom has a host name for each bucket; AWS wants one.
    if config.addressing_style == "auto":
        return endpoint is None
    return config.addressing_style == "virtual"
