"""LeRobot datasets: features, statistics, and the writers of formats v2.1 and v3.0.

``update_dataset`` reads like a recipe: what lies there (``recovery``, ``ledger``), what should
(``selection``, ``members``), what differs (``change``, with ``v21`` and ``v30`` for the layouts),
and how it gets there safely (``commit``, ``building``).
"""

from __future__ import annotations

from lerobot_pipelines.datasets.options import dataset_prefix
from lerobot_pipelines.datasets.update import DatasetUpdate, update_dataset

__all__ = ["DatasetUpdate", "dataset_prefix", "update_dataset"]
