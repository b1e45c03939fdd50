"""The section ``logging``: a file for log lines, as older configurations have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import LoggingConfig
from lerobot_pipelines_tests.config.loading import SOUND, Loader


def test_without_the_section_there_is_no_file(loader: Loader) -> None:
    assert loader.load(SOUND).logging == LoggingConfig()
    assert loader.load(SOUND + "logging:\n").logging.file is None


@pytest.mark.parametrize(
    ("given", "level"),
    [("info", "INFO"), ("WARN", "WARNING"), ("fatal", "CRITICAL"), ("DEBUG", "DEBUG")],
)
def test_levels_are_read_in_any_spelling(loader: Loader, given: str, level: str) -> None:
    assert loader.load(SOUND + f"logging: {{level: {given}}}\n").logging.level == level


def test_a_relative_file_starts_where_the_program_does(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = loader.load(SOUND + "logging: {file: logs/worker.log, max_bytes: 5000000}\n")
    assert config.logging.file == str(elsewhere / "logs/worker.log")
    assert config.logging.max_bytes == 5_000_000


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        ("{level: LOUD}", "logging.level", "known are DEBUG, INFO"),
        ("{max_bytes: -1}", "logging.max_bytes", "at least 0"),
        ("{backup_count: many}", "logging.backup_count", "must be a whole number"),
        ('{format: "%(nothing)s"}', "logging.format", "cannot be used"),
        ('{format: "%(message)"}', "logging.format", "cannot be used"),
        ("{rotate: true}", "logging.rotate", "no such key"),
    ],
)
def test_what_cannot_be_used_is_a_fault(loader: Loader, section: str, key: str, words: str) -> None:
    assert words in loader.faults(SOUND + f"logging: {section}\n")[key].message


def test_the_formats_of_older_files_are_taken(loader: Loader) -> None:
    given = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    assert loader.load(SOUND + f'logging: {{format: "{given}"}}\n').logging.format == given
