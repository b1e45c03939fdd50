"""A commit killed at any storage operation: no reader meets a mixture, a retry completes it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines_tests.datasets.episodes import (
    Bucket,
    Crash,
    CrashingStorage,
    toy_config,
)
from lerobot_pipelines_tests.datasets.reading import Content, content, tree

Step = Callable[[Bucket], object]

STEPS: dict[str, tuple[Step, ...]] = {
    "create": (),
    "append": (lambda bucket: bucket.put("c", 6, seed=3, task="place"),),
    "replace": (lambda bucket: bucket.put("a", 7, seed=4),),
    "replace by equal length": (lambda bucket: bucket.put("b", 4, seed=4),),
    "remove": (lambda bucket: bucket.remove("a"),),
    "all at once": (
        lambda bucket: bucket.remove("a"),
        lambda bucket: bucket.put("b", 6, seed=8),
        lambda bucket: bucket.put("c", 4, 3, seed=6),
    ),
}


def prepared(root: Path, fmt: Format, steps: tuple[Step, ...]) -> Bucket:
    """Two episodes, committed one by one unless the step is to create them."""
    bucket = Bucket(toy_config(root / "bucket"), root / "scratch")
    bucket.put("a", 5, seed=1)
    if steps:
        bucket.update(fmt)
    bucket.put("b", 4, seed=2)
    if steps:
        bucket.update(fmt)
    for step in steps:
        step(bucket)
    return bucket


def copied(bucket: Bucket, root: Path) -> Bucket:
    """The same bucket elsewhere. ETags change with a copy, which must not matter.

    Videos keep theirs, so that the dataset's are made of them by the bucket itself.
    """

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".mp4") else shutil.copy2)(source, target)

    shutil.copytree(bucket.root_folder, root / "bucket", copy_function=copy)
    return Bucket(toy_config(root / "bucket"), root / "scratch")


def tree_by_content(root: Path) -> dict[str, bytes]:
    """Every file, whichever commit the folder of the videos is named after."""
    return {
        re.sub(r"commit-\d{8}", "commit", path): re.sub(rb"commit-\d{8}", b"commit", data)
        for path, data in tree(root).items()
    }


def crashes(start: Bucket, fmt: Format, root: Path) -> list[tuple[Bucket, Content | None]]:
    """A bucket for every operation at which the update can die, and what a reader then finds."""
    found = []
    for changes in range(1000):
        bucket = copied(start, root / str(changes))
        try:
            bucket.update(fmt, CrashingStorage(bucket.storage, changes))
        except Crash:
            found.append((bucket, content(bucket.root(fmt))))
        else:
            return found
    raise AssertionError("the update never came to its end")


@pytest.mark.parametrize("name", STEPS)
def test_a_killed_update_shows_the_old_dataset_the_new_or_none_and_its_retry_completes_it(
    tmp_path: Path, fmt: Format, name: str
) -> None:
    start = prepared(tmp_path / "start", fmt, STEPS[name])
    before = content(start.root(fmt))
    whole = copied(start, tmp_path / "whole")
    whole.update(fmt)
    after = content(whole.root(fmt))
    seen = []
    for bucket, shown in crashes(start, fmt, tmp_path):
        assert shown in (before, after, None)
        seen.append(shown)
        bucket.update(fmt)
        assert tree_by_content(bucket.root(fmt)) == tree_by_content(whole.root(fmt))
        assert bucket.update(fmt).kind == "none"
        assert list(bucket.scratch.iterdir()) == []
    if fmt is Format.V30 and name == "append":
        assert None not in seen
    assert len(seen) > 6


def test_an_episode_gone_after_the_kill_leaves_the_dataset_as_it_was(
    tmp_path: Path, fmt: Format
) -> None:
    start = prepared(tmp_path / "start", fmt, STEPS["append"])
    before = content(start.root(fmt))
    for bucket, shown in crashes(start, fmt, tmp_path)[:-1]:
        if shown is not None and len(shown) == 3:
            continue  # it was complete but for the ledger's marker
        bucket.remove("c")
        bucket.update(fmt)
        assert content(bucket.root(fmt)) == before
        assert verify_dataset(bucket.root(fmt)).findings == ()


def test_killed_again_and_again_it_still_completes(tmp_path: Path, fmt: Format) -> None:
    bucket = prepared(tmp_path, fmt, STEPS["all at once"])
    for changes in (3, 5, 2, 8, 4):
        try:
            bucket.update(fmt, CrashingStorage(bucket.storage, changes))
        except Crash:
            continue
    bucket.update(fmt)
    whole = prepared(tmp_path / "whole", fmt, STEPS["all at once"])
    whole.update(fmt)
    assert content(bucket.root(fmt)) == content(whole.root(fmt))
    ledger = bucket.storage.list(f"work/toy/ledger/{fmt}")
    assert len({info.key.partition(".")[0] for info in ledger}) <= 3 + 5
