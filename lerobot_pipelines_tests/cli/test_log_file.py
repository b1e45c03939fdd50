"""The log file: named by the configuration or the command line, bounded, without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.cli.logs import LogFile, log_as_configured, set_up_logging, to_file
from lerobot_pipelines.cli.secrets import HIDDEN, redacted
from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import LoggingConfig, StorageConfig
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.fleet import fleet_config, record

ours = logging.getLogger("lerobot_pipelines.x")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    yield
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, LogFile)]:
        root.removeHandler(handler)
        handler.close()


def test_the_configuration_names_file_level_size_and_number(tmp_path: Path) -> None:
    file = tmp_path / "logs/service.log"
    set_up_logging("error", "text")
    log_as_configured(
        LoggingConfig(file=str(file), level="WARNING", max_bytes=2000, backup_count=2)
    )
    ours.info("not so serious")
    for number in range(200):
        ours.warning("line %d", number)
    kept = sorted(tmp_path.glob("logs/*"))
    assert [one.name for one in kept] == ["service.log", "service.log.1", "service.log.2"]
    assert all(one.stat().st_size <= 2000 for one in kept)
    assert file.read_text().splitlines()[-1].endswith("WARNING line 199")
    assert "not so serious" not in "".join(one.read_text() for one in kept)


def test_the_command_line_counts_before_the_configuration(tmp_path: Path) -> None:
    set_up_logging("warning", "text", tmp_path / "named.log")
    log_as_configured(LoggingConfig(file=str(tmp_path / "configured.log"), level="DEBUG"))
    ours.debug("seen")
    assert "DEBUG seen" in (tmp_path / "named.log").read_text()
    assert not (tmp_path / "configured.log").exists()


def test_commands_write_their_errors_into_the_file(tmp_path: Path) -> None:
    record(tmp_path / "bucket/raw")
    storage = StorageConfig(url=(tmp_path / "bucket").as_uri())
    config = tmp_path / "robot.yaml"
    log = tmp_path / "robot.log"
    text = dump_config(fleet_config(storage)).replace("file: null", f"file: {log}", 1)
    config.write_text(text if str(log) in text else f"{text}logging:\n  file: {log}\n")
    assert call("publish", config, tmp_path / "nothing").code == 1
    assert "ERROR error: " in log.read_text()
    assert "nothing" in log.read_text()
    unwritable = call("--log-file", tmp_path, "monitor", config)
    assert unwritable.code == 2


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = tmp_path / "robot.yaml"
    storage = StorageConfig(url=(tmp_path / "bucket").as_uri())
    config.write_text(dump_config(fleet_config(storage)))
    outcome = call("--log-file", tmp_path / "file/x.log", "monitor", config)
    assert outcome.code == 2
    assert "cannot be written" in outcome.stderr and "--log-file" in outcome.stderr


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://dagster:{}@db/dagster",
        "AWS_SECRET_ACCESS_KEY={}",
        '{{"secret_key": "{}", "bucket": "b"}}',
        "GET /x?X-Amz-Signature={}&X-Amz-Date=1",
        "Authorization: AWS4-HMAC-SHA256 Credential={}",
        "authorization: Bearer {}",
        "password = {}",
        "aws_session_token: {}",
    ],
)
def test_secrets_are_taken_out_of_lines(text: str) -> None:
    secret = "Zq9xV7tKpL2mN8wR4s"
    shown = redacted(text.format(secret))
    assert secret not in shown
    assert HIDDEN in shown


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["C"]), min_size=8))
def test_the_own_secrets_never_reach_the_file(value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOS_SECRET_KEY", value)
        shown = redacted(f"the store said {value} is wrong; {value}")
    assert value not in shown or value in f"the store said {HIDDEN} is wrong; {HIDDEN}"


@pytest.mark.parametrize(
    "text",
    [
        "block/episode_1  raw_episodes  325 files, 0.9 MB",
        "s3://bucket/raw/a:b@c is no episode",
        "Dagster is at http://127.0.0.1:3000 (stop with Ctrl-C)",
        "storage.access_key_env names a variable",
        "storage.secret_key_env: BOS_SECRET_KEY is not set",
        "line 4, bos.secret_key: holds a credential; put it into an environment variable",
        "unexpected token: expected a section of keys",
    ],
)
def test_other_lines_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


def test_what_was_printed_is_not_repeated_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("debug", "text", tmp_path / "x.log")
    to_file("told already")
    assert "told already" in (tmp_path / "x.log").read_text()
    assert capsys.readouterr().err == ""
