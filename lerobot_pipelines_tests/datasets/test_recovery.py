from __future__ import annotations

import threading
from typing import Any

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets import dataset_prefix
from lerobot_pipelines.datasets.inventory import INVENTORY_NAME
from lerobot_pipelines.datasets.ledger import (
    Intent,
    Ledger,
    Snapshot,
    earlier_ledger_folder,
    ledger_folder,
    open_ledger,
)
from lerobot_pipelines.errors import Refused, Transient
from lerobot_pipelines_tests.datasets.episodes import Bucket
from lerobot_pipelines_tests.datasets.reading import content, tree


def ledger_names(bucket: Bucket, fmt: Format) -> list[str]:
    infos = bucket.storage.list(ledger_folder(bucket.config, fmt))
    names = (info.key.rpartition("/")[2] for info in infos)
    return [name for name in names if name != INVENTORY_NAME]


def test_a_dataset_that_someone_deleted_is_built_anew(bucket: Bucket, fmt: Format) -> None:
    bucket.put("b", seed=2)
    bucket.update(fmt)
    bucket.put("a", seed=1)
    bucket.update(fmt)
    before = content(bucket.root(fmt))
    for info in list(bucket.storage.list(dataset_prefix(bucket.config, fmt))):
        bucket.storage.delete(info.key)
    assert bucket.update(fmt).kind == "create"
    assert content(bucket.root(fmt)) == before


def test_an_info_json_that_someone_edited_is_put_right(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.update(fmt)
    before = tree(bucket.root(fmt))
    (bucket.root(fmt) / "meta/info.json").write_text("{}")
    assert bucket.update(fmt).changed
    assert tree(bucket.root(fmt)) == before


def test_the_ledger_of_an_earlier_version_is_gone_on_with(bucket: Bucket, fmt: Format) -> None:
    """It lay below the work prefix, and its last commit may have been interrupted."""
    for name in ("b", "a"):
        bucket.put(name, seed=ord(name))
        bucket.update(fmt)
    new, earlier = ledger_folder(bucket.config, fmt), earlier_ledger_folder(bucket.config, fmt)
    for info in list(bucket.storage.list(new)):
        bucket.storage.write(info.key.replace(new, earlier), bucket.storage.read(info.key))
        bucket.storage.delete(info.key)
    assert bucket.update(fmt).kind == "none"
    assert ledger_names(bucket, fmt) == []
    bucket.storage.delete(f"{earlier}/00000002.done")
    bucket.put("c", seed=3)
    assert bucket.update(fmt).added == ("c",)
    found = content(bucket.root(fmt))
    assert found is not None and [one.key for one in done(bucket, fmt).members] == ["b", "a", "c"]
    # From the first complete commit on, the old ledger counts no longer, whatever it says.
    bucket.storage.write(f"{earlier}/00000099.json", b"nonsense")
    assert bucket.update(fmt).kind == "none"


@pytest.mark.parametrize("loss", ["all of it", "the last commit", "a broken commit"])
def test_a_ledger_that_is_lost_or_broken_is_read_from_its_copy(
    bucket: Bucket, fmt: Format, loss: str
) -> None:
    for name in ("b", "a"):
        bucket.put(name, seed=ord(name))
        bucket.update(fmt)
    before = tree(bucket.root(fmt))
    folder = ledger_folder(bucket.config, fmt)
    if loss == "all of it":
        for info in list(bucket.storage.list(folder)):
            bucket.storage.delete(info.key)
    elif loss == "the last commit":
        bucket.storage.delete(f"{folder}/00000002.json")
    else:
        bucket.storage.write(f"{folder}/00000002.json", b'{"half":')
    assert bucket.update(fmt).kind == "none"
    assert tree(bucket.root(fmt)) == before
    bucket.put("c", seed=3)
    assert bucket.update(fmt).added == ("c",)
    assert [one.key for one in done(bucket, fmt).members] == ["b", "a", "c"]


def done(bucket: Bucket, fmt: Format) -> Snapshot:
    last = open_ledger(bucket.storage, bucket.config, fmt).history().done
    assert last is not None
    return last.snapshot


def test_another_datasets_folder_is_not_touched(bucket: Bucket, fmt: Format) -> None:
    key = f"converted/toy/{fmt}/meta/info.json"
    bucket.storage.write(key, b"{}")
    bucket.put("a")
    with pytest.raises(Refused, match="not this one's"):
        bucket.update(fmt)
    assert bucket.storage.read(key) == b"{}"


def test_two_datasets_of_one_folder_are_refused(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.update(fmt)
    before = tree(bucket.root(fmt))
    other = bucket.config.dataset.model_copy(update={"name": "other", "pattern": "toy"})
    bucket.config = bucket.config.model_copy(update={"dataset": other})
    with pytest.raises(Refused, match="holds the dataset toy, not other"):
        bucket.update(fmt)
    assert tree(bucket.root(fmt)) == before


def test_the_ledger_keeps_the_last_few_commits_only(bucket: Bucket, fmt: Format) -> None:
    for number in range(6):
        bucket.put(f"e{number}")
        bucket.update(fmt)
    numbers = ("00000004", "00000005", "00000006")
    assert ledger_names(bucket, fmt) == [
        f"{number}.{suffix}" for number in numbers for suffix in ("done", "json")
    ]


def test_the_intent_names_everything_that_is_written(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.update(fmt)
    data = bucket.storage.read(f"{ledger_folder(bucket.config, fmt)}/00000001.json")
    intent = Intent.model_validate_json(data)
    assert set(intent.writes) == set(tree(bucket.root(fmt)))


def test_of_writers_that_start_together_one_wins(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.update(fmt)
    bucket.put("b", seed=4)
    start = threading.Barrier(4)
    outcomes: list[str] = []

    class Together:
        """Lets all writers read the ledger before the first announces its commit."""

        url = bucket.storage.url

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.storage, name)

        def create(self, key: str, data: bytes) -> bool:
            start.wait(30)
            return bucket.storage.create(key, data)

    def write() -> None:
        try:
            outcomes.append(bucket.update(fmt, Together()).kind)  # type: ignore[arg-type]
        except Transient:
            outcomes.append("transient")

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes) == ["append", "transient", "transient", "transient"]
    found = content(bucket.root(fmt))
    assert found is not None
    assert len(found) == 2


def test_a_writer_taken_for_dead_does_not_publish(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.update(fmt)
    bucket.put("b", seed=4)
    ledger = Ledger(bucket.storage, ledger_folder(bucket.config, fmt))

    class Overtaken:
        """Another writer completes the commit while this one is about to upload rows."""

        url = bucket.storage.url
        overtaken = False

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.storage, name)

        def replace(self, key: str, content: Any, seen: str | None) -> Any:
            if not self.overtaken:
                self.overtaken = True
                bucket.update(fmt)
            return bucket.storage.replace(key, content, seen)

    with pytest.raises(Transient, match="took over"):
        bucket.update(fmt, Overtaken())  # type: ignore[arg-type]
    assert not ledger.history().pending
    found = content(bucket.root(fmt))
    assert found is not None
    assert len(found) == 2
    bucket.update(fmt)  # what came late counts as written by somebody else
    assert bucket.update(fmt).kind == "none"
