"""lerobot's side of ``loading.py``; runs in lerobot's own environment."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def resident_mb(process: int | None = None) -> float:
    """Memory of this process and its children, shared pages counted once (PSS), in MB."""
    root = Path("/proc") / str(process or os.getpid())
    rollup = (root / "smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return own / 1000 + sum(resident_mb(child) for child in _children(root))


def cpu_s(process: int | None = None) -> float:
    """Processor time of this process and its living children, in seconds."""
    root = Path("/proc") / str(process or os.getpid())
    fields = (root / "stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_s(child) for child in _children(root))


def _children(root: Path) -> list[int]:
    return [int(one) for task in root.glob("task/*/children") for one in task.read_text().split()]


def measure(loader: object, epochs: int, items: int) -> dict[str, object]:
    """Items per second, processor time an item and memory of each epoch; workers stay between
    epochs, and the first also starts them."""
    rates, memory, costs = [], [], []
    for _ in range(epochs):
        begun, seen, largest, spent = time.perf_counter(), 0, 0.0, cpu_s()
        for number, batch in enumerate(loader):  # type: ignore[call-overload]
            seen += len(batch["index"])
            if number % 16 == 8:
                largest = max(largest, resident_mb())
        rates.append(seen / (time.perf_counter() - begun))
        costs.append((cpu_s() - spent) / seen * 1000)
        memory.append(max(largest, resident_mb()))
        assert seen >= items, (seen, items)
    return {"items_per_s": rates, "cpu_ms_per_item": costs, "memory_mb": memory}


def main() -> None:
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    order = json.loads(sys.stdin.read())
    dataset = LeRobotDataset(
        "a/b",
        root=order["root"],
        delta_timestamps=order["deltas"] or None,
        video_backend=order["backend"],
    )
    sampler = torch.utils.data.RandomSampler(dataset, num_samples=order["items"])
    loader = torch.utils.data.DataLoader(dataset, sampler=sampler, **order["loader"])
    print(json.dumps(measure(loader, order["epochs"], order["items"])))


if __name__ == "__main__":
    main()
