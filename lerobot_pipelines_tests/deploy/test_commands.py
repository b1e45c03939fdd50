"""Commands of units and containers: their options exist, and both say the same."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click import Group
from click.testing import CliRunner

from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.deploy.shipped import (
    DEPLOY,
    INSTEAD,
    UNITS,
    documented_variables,
    documents,
    unit_command,
    unit_lines,
)


def dagster_program(name: str) -> Any:
    if name == "dagster":
        from dagster._cli import create_dagster_cli

        return create_dagster_cli()
    if name == "dagster-daemon":
        from dagster._daemon.cli import create_dagster_daemon_cli

        return create_dagster_daemon_cli()
    from dagster_webserver.cli import dagster_webserver

    return dagster_webserver


def assert_accepted(arguments: list[str]) -> None:
    """The program knows the command and its options; their values are not looked at."""
    program, *rest = arguments
    # Options are parsed before any is obeyed, and --help is obeyed first.
    result = CliRunner().invoke(dagster_program(Path(program).name), [*rest, "--help"])
    assert result.exit_code == 0, result.output
    assert isinstance(dagster_program(Path(program).name), Group) or "Usage" in result.output


@pytest.mark.parametrize("unit", ["code", "daemon", "webserver"])
def test_dagster_knows_the_options_of_the_units(unit: str) -> None:
    assert_accepted(unit_command(unit))


def test_the_code_server_is_asked_whether_it_is_ready() -> None:
    shell = unit_command("code", "ExecStartPost")[2]
    asked = shell.partition("until ")[2].partition("; do")[0]
    assert_accepted(shlex.split(asked))


@pytest.mark.parametrize("unit", UNITS)
def test_containers_run_what_the_units_run(unit: str) -> None:
    in_unit = unit_command(unit)
    service = documents("celery/compose.yaml")[0]["services"][unit]
    in_container = [str(argument) for argument in service["command"]]
    assert Path(in_unit[0]).name == in_container[0]
    at_socket, at_port = ["-s", "/run/lerobot-pipelines/code.sock"], ["-h", "0.0.0.0", "-p", "4000"]
    if in_unit[-2:] == at_socket:  # containers have no file system in common
        in_unit = [*in_unit[:-2], *at_port]
    assert len(in_unit) == len(in_container)
    differ = [
        pair for pair in zip(in_unit[1:], in_container[1:], strict=True) if len(set(pair)) > 1
    ]
    # Containers listen to one another, and are named by Docker.
    assert {after for _, after in differ} <= {"0.0.0.0", "lerobot-pipelines@%h"}, differ


@pytest.mark.parametrize("unit", ["code", "daemon", "webserver"])
def test_pods_run_what_the_units_run(unit: str) -> None:
    (deployment,) = (
        document
        for document in documents("kubernetes/services.yaml")
        if document["kind"] == "Deployment" and document["metadata"]["name"].endswith(f"-{unit}")
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert_accepted(container["command"])
    options = {part for part in unit_command(unit)[1:] if part.startswith("-")} - {"-s"}
    assert options <= set(container["command"])


def test_every_variable_of_units_and_compose_is_explained() -> None:
    text = (DEPLOY / "celery" / "compose.yaml").read_text()
    text += "\n".join("".join(unit_lines(unit, "ExecStart")) for unit in UNITS)
    text += (DEPLOY / "login" / "compose.yaml").read_text()
    used = set(re.findall(r"(?<!\$)\$\{(\w+)(?::[?-][^}]*)?\}", text))
    assert "REDIS_PASSWORD" in used
    assert used <= documented_variables()


def test_compose_mounts_files_that_exist() -> None:
    services = documents("celery/compose.yaml")[0]["services"]
    sources = {volume.partition(":")[0] for volume in services["daemon"]["volumes"]}
    files = {source for source in sources if source.startswith(".")} - {"./configs"}
    assert files and all((DEPLOY / "celery" / file).is_file() for file in files), files


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in (DEPLOY / "systemd").glob("*.service"):
        # The programs are not installed where the units expect them, and nothing else may differ.
        text = re.sub(r"/opt/lerobot-pipelines/venv/bin/[\w-]+", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    names = sorted(str(path) for path in tmp_path.glob("*.service"))
    assert len(names) == len((*UNITS, INSTEAD))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if "lerobot-pipelines" in line]
    assert not complaints, done.stderr


@pytest.mark.parametrize("file", ["celery/compose.yaml", "login/compose.yaml"])
def test_passwords_are_required_and_images_are_versions(file: str) -> None:
    text = (DEPLOY / file).read_text()
    # The health check's own variable is set from the required one.
    given = [line for line in text.splitlines() if "REDIS_PASSWORD: " not in line]
    for name, rest in re.findall(r"(?<!\$)\$\{(\w*(?:PASSWORD|SECRET))([^}]*)\}", "\n".join(given)):
        assert rest.startswith(":?"), name
    images = re.findall(r"^\s*image: (\S+)", text, re.MULTILINE)
    assert images and all(re.search(r":v?\d+\.\d+", image) for image in images), images


@pytest.mark.parametrize("unit", UNITS)
def test_a_run_that_is_killed_for_memory_takes_nothing_else_along(unit: str) -> None:
    assert unit_lines(unit, "MemoryMax"), unit
    if unit in ("code", "worker"):  # runs are their children
        assert unit_lines(unit, "OOMPolicy") == ["continue"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_little_to_say_of_a_units_exposure(unit: str, tmp_path: Path) -> None:
    file = DEPLOY / "systemd" / f"lerobot-pipelines-{unit}.service"
    shutil.copy(file, tmp_path)
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=yes",
            "--threshold=30",
            str(tmp_path / file.name),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_service_without_an_interface_is_known_and_given_time_to_stop() -> None:
    program, *words = unit_command("watch")
    assert Path(program).name == "lerobot-pipelines"
    assert call(*words, "--help").code == 0
    grace_s = int(words[words.index("--grace") + 1])
    (stop_s,) = unit_lines("watch", "TimeoutStopSec")
    # Daemon, code server and runs end one after the other behind that.
    assert int(stop_s) >= grace_s + 30
    # To all of the group at once it would be no end in order.
    assert unit_lines("watch", "KillMode") == ["mixed"]
