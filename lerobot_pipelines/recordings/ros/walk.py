"""One walk over a bag in file order, for any number of streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerobot_pipelines.recordings.ros.batch import Batch
from lerobot_pipelines.recordings.ros.container import BagFile
from lerobot_pipelines.recordings.ros.message_types import Codec
from lerobot_pipelines.recordings.ros.survey import Survey


def walk(file: BagFile, surveys: Sequence[Survey]) -> None:
    """Show every message to the surveys of its topic."""
    by_connection: dict[int, tuple[Codec, list[Survey]]] = {}
    for survey in surveys:
        for id, codec in survey.plan.topic.codecs.items():
            by_connection.setdefault(id, (codec, []))[1].append(survey)
    connections = file.index.connections
    rows = np.flatnonzero(np.isin(connections, list(by_connection)))
    for block in file.blocks(rows):
        of_row = connections[block.rows]
        for id in np.unique(of_row).tolist():
            codec, takers = by_connection[id]
            batch = Batch(file, block, np.flatnonzero(of_row == id), codec)
            for survey in takers:
                survey.take(batch)
