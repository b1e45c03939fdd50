"""One walk over a bag in file order, for any number of streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerobot_pipelines.recordings.ros.batch import Batch
from lerobot_pipelines.recordings.ros.container import BagFile, LostMessage
from lerobot_pipelines.recordings.ros.fields import FieldError
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.plan import Topic
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


def dimension_of(file: BagFile, topic: Topic, survey: Survey) -> int | None:
    """How many numbers the topic's first readable message has; None if none is readable."""
    for row in np.flatnonzero(np.isin(file.index.connections, list(topic.codecs)))[:20].tolist():
        codec = topic.codecs[int(file.index.connections[row])]
        try:
            decoded = codec.decode(file.message(row).whole())
            values = survey.selection_of(codec).values(decoded)
        except (LostMessage, BadMessage, FieldError):
            continue
        if values is not None:
            return len(values)
    return None
