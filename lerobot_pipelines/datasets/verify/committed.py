"""Whether the files are those that were committed, where the dataset's ledger lies beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from lerobot_pipelines.datasets.inventory import INVENTORY_NAME, Inventory
from lerobot_pipelines.datasets.ledger import LEDGER_NAME
from lerobot_pipelines.datasets.verify.report import Findings


def check_committed(root: Path, findings: Findings) -> None:
    """Report files that are missing or of another size than was written.

    By size alone: a copy of the dataset has other times, and on another store other ETags.
    """
    folder = root.absolute().parent / LEDGER_NAME / root.absolute().name
    try:
        inventory = Inventory.model_validate_json((folder / INVENTORY_NAME).read_bytes())
    except (OSError, ValidationError):
        return
    numbers = {path.stem for path in folder.iterdir() if path.stem.isdigit()}
    is_done = (folder / f"{inventory.number:08d}.done").exists()
    if not is_done or max(numbers) != f"{inventory.number:08d}":
        return  # of an earlier commit, or another one is under way
    for path, (size, _) in inventory.files.items():
        there = root / path
        if not there.is_file():
            message = "it is missing"
        elif size >= 0 and there.stat().st_size != size:
            message = f"it has {there.stat().st_size} bytes, {size} were written"
        else:
            continue
        findings.warning(
            "not_as_committed", path, f"{message}; lerobot-pipelines repair writes it again"
        )
