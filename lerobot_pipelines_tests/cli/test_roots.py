from __future__ import annotations

from pathlib import Path

import click
import pytest

import lerobot_pipelines
from lerobot_pipelines.cli.roots import place
from lerobot_pipelines.config.schema import DatasetConfig, DatasetSection, StorageConfig
from lerobot_pipelines.storage import open_storage


def config(url: str = "s3://lab", **storage: str) -> DatasetConfig:
    return DatasetConfig(
        dataset=DatasetSection(name="bottle"), storage=StorageConfig(url=url, **storage)
    )


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def locations(placed: DatasetConfig) -> list[Path]:
    """Where the steps read recordings, write datasets, and leave their artifacts."""
    bucket = open_storage(placed.storage)
    prefixes = (
        placed.storage.raw_prefix,
        placed.storage.converted_prefix,
        placed.storage.work_prefix,
    )
    found = [bucket.local_path(prefix) for prefix in prefixes]
    return [path for path in found if path is not None]


def test_two_folders_become_one_bucket(tmp_path: Path) -> None:
    recordings, datasets = folder(tmp_path / "a" / "my recordings"), tmp_path / "b" / "ünï"
    placed = place(config(), str(recordings), str(datasets))
    assert placed.storage.url == tmp_path.as_uri()
    assert locations(placed) == [recordings, datasets, datasets / ".work"]


def test_the_input_may_be_the_parent_of_nothing_else(tmp_path: Path) -> None:
    recordings = folder(tmp_path / "raw")
    placed = place(config(), str(recordings), str(tmp_path))
    assert locations(placed) == [recordings, tmp_path, tmp_path / ".work"]


def test_links_are_resolved_so_that_the_bucket_holds_the_files(tmp_path: Path) -> None:
    recordings = folder(tmp_path / "disk" / "raw")
    (tmp_path / "link").symlink_to(recordings)
    placed = place(config(), str(tmp_path / "link"), str(tmp_path / "out"))
    assert locations(placed)[0] == recordings


def test_one_root_alone_keeps_the_others_of_the_configuration(tmp_path: Path) -> None:
    own = config(folder(tmp_path / "bucket").as_uri())
    elsewhere = folder(tmp_path / "elsewhere")
    bucket = tmp_path / "bucket"
    assert locations(place(own, str(elsewhere), None)) == [
        elsewhere,
        bucket / "converted",
        bucket / "work",
    ]
    assert locations(place(own, None, str(elsewhere))) == [
        bucket / "raw",
        elsewhere,
        elsewhere / ".work",
    ]


def test_no_root_changes_nothing() -> None:
    own = config()
    assert place(own, None, None) is own


def test_two_prefixes_of_one_s3_bucket_are_a_bucket() -> None:
    storage = place(config(), "s3://lab/robots/raw", "s3://lab/out").storage
    assert (storage.url, storage.raw_prefix) == ("s3://lab", "robots/raw")
    assert (storage.converted_prefix, storage.work_prefix) == ("out", "out/.work")


@pytest.mark.parametrize("inside", ["", "out", "deep/er"])
def test_an_output_inside_the_input_is_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(click.UsageError, match="inside the input"):
        place(config(), str(tmp_path), str(tmp_path / inside))


def test_a_local_input_with_datasets_in_s3_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="not in one store"):
        place(config("s3://lab"), str(tmp_path), None)


def test_an_input_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="is not a folder"):
        place(config(), str(tmp_path / "missing"), str(tmp_path / "out"))


@pytest.mark.parametrize("given", [(None, None), ("in", None), (None, "out")])
def test_nothing_is_ever_written_among_the_programs_own_files(
    tmp_path: Path, given: tuple[str | None, str | None]
) -> None:
    package = Path(lerobot_pipelines.__file__).parent
    own = config((package / "configs" / "bucket").as_uri())
    roots = [None if name is None else str(folder(tmp_path / name)) for name in given]
    with pytest.raises(click.UsageError, match="give both --input and --output"):
        place(own, *roots)
