"""A full disk is named with its remedy, and never taken for a fault of the recording."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage.disk import DiskFull, named_when_full


def test_the_folder_and_the_remedy_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFull, match=rf"{tmp_path} \(\d+ MB free\); buy a larger one"),
        named_when_full(tmp_path, "buy a larger one"),
        Path("/dev/full").open("w") as device,
    ):
        device.write("more than it holds")
    assert issubclass(DiskFull, Transient)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_it_is_known_behind_the_errors_raised_from_it(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFull), named_when_full(tmp_path, "make room"):
        try:
            raise OSError(number, "full", str(tmp_path / "folder" / "file"))
        except OSError as error:
            raise RuntimeError("the encoder failed") from error


def test_the_innermost_name_stays_and_other_faults_pass(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFull, match="the inner remedy"),
        named_when_full(tmp_path, "the outer remedy"),
        named_when_full(tmp_path, "the inner remedy"),
    ):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(PermissionError), named_when_full(tmp_path, "make room"):
        raise PermissionError(errno.EACCES, "not yours")
