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

# The same, where the rest of the section is left out before variables are filled in.
RENAMED_BEFORE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("redis", "max_workers"): ("workers",),
    ("worker", "max_workers"): ("workers",),
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
DOWNLOAD_THREAD_KEYS = (*THREAD_KEYS, "parallel_downloads")
BUCKET_RENAMED |= {
    **{("download", key): ("storage", "transfer_threads") for key in DOWNLOAD_THREAD_KEYS},
    **{
        ("upload", key): ("storage", "upload_threads") for key in (*THREAD_KEYS, "parallel_uploads")
    },
    ("download", "temp_dir"): ("storage", "cache_dir"),
    ("validation", "stable_time"): ("storage", "scanner", "quiet_period_s"),
}

_BY_DAGSTER = (
    "Dagster's run queue took its place: it asks by itself, needs no server and keeps what failed "
    "(monitor, retry)"
)
_BY_RETRIES = "failed transfers and runs are retried with back-off by themselves"
_BY_CLIENT = "the storage client chooses this by itself"
_BY_PARTITIONS = "each look compares all folders with the known partitions"

_TRANSFER_IGNORED = {
    "chunk_size": _BY_CLIENT,
    "multipart_threshold": _BY_CLIENT,
    "multipart_chunksize": _BY_CLIENT,
    "retry": _BY_RETRIES,
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
    ("hydra",): "a run's settings are kept with the dataset, in its provenance",
}
BUCKET_IGNORED: dict[tuple[str, ...], str] = {
    ("scanner", "incremental_key"): _BY_PARTITIONS,
    ("scanner", "enable_incremental"): _BY_PARTITIONS,
    ("scanner", "max_keys"): _BY_CLIENT,
    ("validation", "required_dirs"): "what streams and cameras name is required",
    (
        "validation",
        "check_count_match",
    ): "streams and cameras are judged one by one, by their times",
    ("validation", "min_file_count"): "storage.scanner.min_episode_files counts files",
    **{("download", key): why for key, why in _TRANSFER_IGNORED.items()},
    **{("upload", key): why for key, why in _TRANSFER_IGNORED.items()},
    ("upload", "temp_dir"): "storage.cache_dir is for both directions",
    ("upload", "batch_size"): "storage.upload_threads says how many are on their way",
}
# Files fetched in one go: their number is that of the threads, unless that is given as well.
BATCH_SIZE = ("download", "batch_size")
MAX_THREADS = 256

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
    for path in (*BUCKET_RENAMED, *BUCKET_IGNORED, BATCH_SIZE):
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

# What older programs did where a file says nothing.
OLDER_WINDOW_MS = 20
OLDER_CHUNK_SIZE = 10

# Entries of ``sources`` that name a kind of store, not a robot.
STORE_KINDS = frozenset({"local", "bos", "s3"})

TOP_LEVEL: frozenset[str] = frozenset(
    {path[0] for path in (*RENAMED, *IGNORED, *SECTIONS)} | {*BUCKET_SECTIONS, "rosbag"}
)

# Of these nothing is a key of the schema; ``robot`` is shorthand of both.
SECTIONS_OF_OLDER_KEYS = TOP_LEVEL - {"robot"}
