"""What older programs did where their files say nothing, and what is said of it."""

from __future__ import annotations

from lerobot_pipelines.config import legacy_keys as keys
from lerobot_pipelines.config.draft import Draft

FORMATS = ("dataset", "formats")


def older_defaults(draft: Draft) -> None:
    """Fill in the defaults of older programs, so that a file gives what it gave."""
    said = []
    if not draft.has(*FORMATS) and "dataset.formats" not in draft.overrides:
        draft.put(FORMATS, ["v2.1"])
        said.append(
            "gives LeRobot v2.1, in the folder v2.1 of each dataset (data/chunk-000/"
            "episode_000000.parquet, meta/episodes.jsonl); for v3.0 beside it: "
            "dataset.formats: [v2.1, v3.0], or --format v2.1 --format v3.0"
        )
    strategy = draft.get("alignment", "strategy")
    for of, key, value in (
        ("window", "window_ms", keys.OLDER_WINDOW_MS),
        ("chunking", "chunk_size", keys.OLDER_CHUNK_SIZE),
    ):
        if draft.has("alignment", key):
            continue
        if strategy == of and draft.put(("alignment", key), value):
            said.append(f"alignment.{key} is {value} where it is not given, as before")
        elif strategy != of:
            draft.put(("alignment", "on_request", key), value)
    if draft.get("logging", "level") is not None and not draft.get("logging", "file"):
        said.append("logging.level is for logging.file; on stderr --log-level decides")
    if said:
        draft.notes.append(f"the keys are those of an earlier converter: {'; '.join(said)}")
