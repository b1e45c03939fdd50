"""Tables of the key names that converters in this field already use, for ``legacy`` to apply."""

from __future__ import annotations

# The two names of the section that describes the bucket: Baidu's object storage, or any S3.
BUCKET_SECTIONS = ("bos", "s3")

# Older key -> the same setting here.
RENAMED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("robot", "type"): ("dataset", "robot_type"),
    ("timeline",): ("alignment", "timeline"),
    ("sources",): ("storage", "sources"),
    ("conversion", "strategy"): ("alignment", "strategy"),
}

# The same inside the bucket's section.
BUCKET_RENAMED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("endpoint",): ("storage", "endpoint"),
    ("region",): ("storage", "region"),
    ("paths", "raw_data_prefix"): ("storage", "raw_prefix"),
    ("paths", "converted_prefix"): ("storage", "converted_prefix"),
    ("scanner", "interval"): ("storage", "scanner", "interval_s"),
    ("scanner", "min_episode_files"): ("storage", "scanner", "min_episode_files"),
    ("scanner", "quiet_period"): ("storage", "scanner", "quiet_period_s"),
}

# How older files call the number of objects in flight.
THREAD_KEYS = (
    *("concurrent", "concurrency", "max_concurrent", "max_concurrency", "parallel"),
    *("threads", "num_threads", "max_threads", "workers", "num_workers", "max_workers"),
)
BUCKET_RENAMED |= {
    ("download", key): ("storage", "transfer_threads")
    for key in (*THREAD_KEYS, "parallel_downloads")
}

_BY_DAGSTER = "the run queue of Dagster does this"
_BY_RETRIES = "failed transfers and runs are retried with back-off by themselves"
_BY_CLIENT = "the storage client chooses this by itself"

_TRANSFER_IGNORED = {
    "temp_dir": "scratch files go to the folder that LEROBOT_PIPELINES_CACHE names",
    "batch_size": _BY_CLIENT,
    "chunk_size": _BY_CLIENT,
    "multipart_threshold": _BY_CLIENT,
    "multipart_chunksize": _BY_CLIENT,
    "retries": _BY_RETRIES,
    "max_retries": _BY_RETRIES,
    "retry_delay": _BY_RETRIES,
    "retry_interval": _BY_RETRIES,
    "timeout": _BY_RETRIES,
}

# Older keys that are accepted and have no effect -> who does it now. A warning names each.
IGNORED: dict[tuple[str, ...], str] = {
    ("redis",): _BY_DAGSTER,
    ("worker",): _BY_DAGSTER,
    ("conversion", "config_template"): "one file describes the whole dataset",
}
BUCKET_IGNORED: dict[tuple[str, ...], str] = {
    ("scanner", "incremental_key"): "the sensor compares with the known partitions",
    **{("download", key): why for key, why in _TRANSFER_IGNORED.items()},
    **{("upload", key): why for key, why in _TRANSFER_IGNORED.items()},
    **{("upload", key): _BY_CLIENT for key in (*THREAD_KEYS, "parallel_uploads")},
}

ACCESS_KEYS = ("access_key", "access_key_id", "ak")
SECRET_KEYS = ("secret_key", "secret_access_key", "sk")

# Everything that older sections may hold, for telling typos. Values: the sections inside.
SECTIONS: dict[tuple[str, ...], frozenset[str]] = {
    ("robot",): frozenset({"type", "arms", "joints_per_arm"}),
    ("input",): frozenset({"data_path", "images_path"}),
    ("output",): frozenset({"base_path", "dataset_name", "pattern"}),
    ("conversion",): frozenset({"strategy", "config_template"}),
}


def bucket_sections(kind: str) -> dict[tuple[str, ...], frozenset[str]]:
    """The keys of the section ``bos`` or ``s3`` and of the sections inside it."""
    sections: dict[tuple[str, ...], set[str]] = {(kind,): {"bucket", *ACCESS_KEYS, *SECRET_KEYS}}
    for path in (*BUCKET_RENAMED, *BUCKET_IGNORED):
        sections[(kind,)].add(path[0])
        if len(path) > 1:
            sections.setdefault((kind, path[0]), set()).add(path[1])
    return {path: frozenset(keys) for path, keys in sections.items()}


# Names that older files use for one of ours.
CODECS = {
    **dict.fromkeys(("libx264", "x264", "h.264", "avc", "avc1"), "h264"),
    **dict.fromkeys(("libx265", "x265", "h265", "h.265", "hvc1"), "hevc"),
    **dict.fromkeys(("libsvtav1", "svtav1", "svt-av1", "libaom-av1", "av01"), "av1"),
    **dict.fromkeys(("mjpeg", "mjpg"), "copy"),
}

# Entries of ``sources`` that name a kind of store, not a robot.
STORE_KINDS = frozenset({"local", "bos", "s3"})

TOP_LEVEL: frozenset[str] = frozenset(
    {path[0] for path in (*RENAMED, *IGNORED, *SECTIONS)} | set(BUCKET_SECTIONS)
)
