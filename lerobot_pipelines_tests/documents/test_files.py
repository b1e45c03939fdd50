"""Links and paths in the documents lead to files, and variables to code that reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lerobot_pipelines.config import shipped_configs
from lerobot_pipelines_tests.documents.texts import DOCUMENTS, ROOT, blocks, read, spans

FOLDERS = ("lerobot_pipelines/", "lerobot_pipelines_tests/", "deploy/", "benchmarks/")
PACKAGE_FOLDERS = ("configs", "docs", *("recordings", "alignment", "video", "datasets", "storage"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings(document: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(document)):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


def headings(file: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_the_repository_exist(document: str) -> None:
    folder = (ROOT / document).parent
    for span in spans(document):
        path = span.partition("::")[0]
        if path.startswith(FOLDERS) and " " not in path and "<" not in path:
            assert any(ROOT.glob(path.rstrip("/"))), path
        elif folder.name in ("deploy", "benchmarks") and _is_file_name(path):
            assert (ROOT / path).exists() or any(folder.rglob(Path(path).name)), path


def _is_file_name(text: str) -> bool:
    return re.fullmatch(r"[\w./-]+\.(py|yaml|conf|service)", text) is not None


def test_packages_named_in_the_readme_exist() -> None:
    for name in re.findall(r"`(\w+)/`", read("README.md")):
        known = (ROOT / "lerobot_pipelines" / name).is_dir() or (ROOT / name).is_dir()
        assert known or name in BUCKET_FOLDERS, name


# Folders in a bucket, in a dataset or in a conversion's output.
BUCKET_FOLDERS = {"raw", "work", "converted", "data", "videos", "meta", "verify"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shipped_files_are_called_by_their_names(document: str) -> None:
    shipped = {f"{name}.yaml" for name in shipped_configs()}
    for name in re.findall(r"^([\w*]+\.yaml)$", "\n".join(spans(document)), re.MULTILINE):
        if name.startswith(("dual_arm", "kuavo", "unitree", "g1", "demo")):
            assert any(Path(file).match(name) for file in shipped), name


def test_extras_and_constraints_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for document in DOCUMENTS:
        for extras in re.findall(r"'\.\[([\w,]+)\]'", read(document)):
            for extra in extras.split(","):
                assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_our_variables_are_read_by_something(document: str) -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("lerobot_pipelines", "benchmarks", "deploy", "lerobot_pipelines_tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".service", ".example") and "documents" not in path.parts
    )
    for name in set(re.findall(r"\bLEROBOT_PIPELINES_[A-Z0-9_]+|\bROBOT_ID\b", read(document))):
        assert name in sources, name


def test_versions_and_python_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (python,) = re.findall(r'requires-python = ">=([\d.]+)"', project)
    assert f"Python {python} or newer" in read("README.md")
    (version,) = re.findall(r'^version = "([\d.]+)"', project, re.MULTILINE)
    for block in blocks("deploy/README.md", "bash"):
        for tag in re.findall(r"lerobot-pipelines:([\d.]+)", block.text):
            assert tag == version
