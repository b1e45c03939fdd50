"""Rules on the bucket: where it is, which prefixes may stand side by side, how it is watched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from urllib.parse import urlsplit

from lerobot_pipelines.config.faults import KeyPath
from lerobot_pipelines.config.rules_names import inside, name_fault, path_fault
from lerobot_pipelines.config.schema import DatasetConfig

Finding = tuple[KeyPath, str]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What the keys of AWS, and nobody's variables, look like.
_ACCESS_KEY = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,\-#?]+")
_CRON_WORDS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually", "@midnight")


def url(config: DatasetConfig) -> Iterator[Finding]:
    path = ("storage", "url")
    parts = urlsplit(config.storage.url)
    if not config.storage.url.strip():
        yield path, "is empty; give a folder, file:///folder or s3://bucket"
    elif _has_credentials(config.storage.url):
        yield path, "holds a credential; name environment variables in access_key_env instead"
    elif parts.scheme == "s3":
        if parts.path.strip("/"):
            yield path, "names a folder in the bucket; give s3://bucket, and storage.raw_prefix"
        elif not _BUCKET.fullmatch(parts.netloc):
            yield path, "names no bucket; write s3://bucket"
    elif "://" in config.storage.url and parts.scheme != "file":
        yield path, f'"{parts.scheme}://" is no kind of store; use a folder or s3://bucket'


def server(config: DatasetConfig) -> Iterator[Finding]:
    storage = config.storage
    if storage.endpoint is not None:
        path = ("storage", "endpoint")
        parts = urlsplit(storage.endpoint)
        if _has_credentials(storage.endpoint):
            yield path, "holds a credential; name environment variables in access_key_env instead"
        elif parts.scheme not in ("http", "https") or not parts.netloc:
            yield path, "must be a server's address: https://host or http://host:port"
        elif not storage.url.startswith("s3://"):
            yield path, "belongs to a bucket; set storage.url: s3://bucket, or remove it"


def credentials(config: DatasetConfig) -> Iterator[Finding]:
    names = ("access_key_env", "secret_key_env")
    for name in names:
        value = getattr(config.storage, name)
        if value is not None and (not _VARIABLE.fullmatch(value) or _ACCESS_KEY.fullmatch(value)):
            # It may be the key itself: never repeated.
            yield (
                ("storage", name),
                "must be the name of an environment variable (letters, digits and _) that holds "
                "the key, not the key itself",
            )
    given = [name for name in names if getattr(config.storage, name) is not None]
    if len(given) == 1:
        other = next(name for name in names if name not in given)
        yield ("storage", given[0]), f"is given without {other}; give both or neither"


def prefixes(config: DatasetConfig) -> Iterator[Finding]:
    storage = config.storage
    places = {
        "raw_prefix": storage.raw_prefix,
        "converted_prefix": storage.converted_prefix,
        "work_prefix": storage.work_prefix,
    }
    sound = {}
    for name, prefix in places.items():
        if fault := path_fault(prefix):
            example = f"my/{name.removesuffix('_prefix')}"
            yield ("storage", name), f"{fault}; give a folder below the bucket, e.g. {example}"
        else:
            sound[name] = prefix
    for (first, one), (second, other) in combinations(sound.items(), 2):
        if not (inside(one, other) or inside(other, one)):
            continue
        if (first, second) == ("converted_prefix", "work_prefix") and _hidden_inside(other, one):
            continue
        yield (
            ("storage", second),
            f'"{other}" and storage.{first} "{one}" lie in one another: what is written would be '
            "taken for recordings or datasets; give each a folder of its own",
        )


def layout(config: DatasetConfig) -> Iterator[Finding]:
    joints, images = config.layout.joints, config.layout.images
    sound = True
    for name, folder in (("joints", joints), ("images", images)):
        if fault := path_fault(folder):
            sound = False
            yield ("layout", name), f"{fault}; give a folder's name, e.g. {name}"
    if sound and (inside(joints, images) or inside(images, joints)):
        yield ("layout", "images"), "and layout.joints lie in one another; they must differ"


def sources(config: DatasetConfig) -> Iterator[Finding]:
    given = config.storage.sources
    for index, source in enumerate(given):
        if fault := path_fault(source):
            yield (
                ("storage", "sources", index),
                f"{fault}; give a folder below the raw prefix, e.g. robot_1",
            )
    for (_, one), (index, other) in combinations(enumerate(given), 2):
        if inside(one, other) or inside(other, one):
            yield (
                ("storage", "sources", index),
                f'"{other}" and "{one}" hold the same recordings; remove one',
            )


def scanner(config: DatasetConfig) -> Iterator[Finding]:
    settings = config.storage.scanner
    if settings.marker is not None and (fault := name_fault(settings.marker)):
        yield ("storage", "scanner", "marker"), f"{fault}; give a file's name, e.g. _READY"
    cron = settings.rescan_cron.strip()
    fields = cron.split()
    if cron not in _CRON_WORDS and not (
        len(fields) == 5 and all(_CRON_FIELD.fullmatch(field) for field in fields)
    ):
        yield (
            ("storage", "scanner", "rescan_cron"),
            'is no schedule; write five fields, e.g. "0 * * * *" for every hour',
        )


def _has_credentials(address: str) -> bool:
    return "@" in urlsplit(address).netloc


def _hidden_inside(work: str, converted: str) -> bool:
    """``converted/.work``: no dataset's folder begins with a dot, so they cannot meet."""
    return work.startswith(f"{converted}/.")


RULES = (url, server, credentials, prefixes, layout, sources, scanner)
