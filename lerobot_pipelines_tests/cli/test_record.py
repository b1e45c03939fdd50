"""``record`` where there is no lerobot that it can work with; with one: see ``conformance``."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

import lerobot_pipelines

PACKAGE = Path(lerobot_pipelines.__file__).parents[1]


def run(*arguments: str, path: Path | None = None) -> tuple[int, str]:
    """The exit code, and what it said. ``path`` holds packages that are installed as well."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, filter(None, [PACKAGE, path]))),
    }
    environment.pop("LEROBOT_PIPELINES_LEROBOT_PYTHON", None)
    done = subprocess.run(
        [sys.executable, "-m", "lerobot_pipelines.cli", "record", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def install(folder: Path, version: str, *modules: str) -> Path:
    """A lerobot that is no more than its name, its version and empty modules."""
    described = folder / f"lerobot-{version}.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: lerobot\nVersion: {version}\n"
    )
    (folder / "lerobot").mkdir()
    for name in ("__init__.py", *modules):
        (folder / "lerobot" / name).parent.mkdir(exist_ok=True)
        (folder / "lerobot" / name).touch()
    return folder


@pytest.mark.skipif(util.find_spec("lerobot") is not None, reason="lerobot is installed here")
def test_without_lerobot_the_interpreter_is_asked_for() -> None:
    code, said = run("--", "--robot.type=x")
    assert code == 2 and "--python PATH" in said and "LEROBOT_PIPELINES_LEROBOT_PYTHON" in said


def test_an_interpreter_without_lerobot_is_named() -> None:
    code, said = run("--python", sys.executable, "--", "--robot.type=x")
    assert code == 2 and f"lerobot is not installed beside {sys.executable}" in said


def test_an_interpreter_that_is_none_is_named(tmp_path: Path) -> None:
    code, said = run("--python", str(tmp_path / "python"), "--")
    assert code == 2 and "cannot be started" in said


@pytest.mark.parametrize("version", ["0.3.2", "0.1.0", "0.7.0", "1.0"])
def test_other_versions_of_lerobot_are_refused(version: str, tmp_path: Path) -> None:
    folder = install(tmp_path, version)
    code, said = run("--", "--robot.type=x", path=folder)
    assert code == 2 and f"lerobot {version} is installed" in said and "0.3.3 to 0.6" in said


def test_a_lerobot_whose_requirements_are_missing_is_told(tmp_path: Path) -> None:
    folder = install(tmp_path, "0.3.3", "record.py")
    (folder / "lerobot/record.py").write_text("import draccus_that_is_not_there")
    code, said = run("--", path=folder)
    assert code == 2
    assert "needs draccus_that_is_not_there" in said and "lerobot==0.3.3" in said


def test_a_recording_command_that_is_another_is_refused(tmp_path: Path) -> None:
    code, said = run("--", path=install(tmp_path, "0.5.1", "record.py"))
    assert code == 2 and "has no RecordConfig" in said


def test_a_lerobot_without_the_command_is_refused(tmp_path: Path) -> None:
    code, said = run("--", path=install(tmp_path, "0.4.4"))
    assert code == 2 and "has no recording command" in said
