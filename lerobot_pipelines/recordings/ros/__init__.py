"""ROS bags without ROS: ROS1 ``.bag``, ROS 2 ``.db3`` and MCAP, whole or damaged.

``open_bag`` only chooses. Containers (``ros1``, ``db3``, ``mcap``) list messages and read raw
ones; ``message_types``, ``fields`` and ``pictures`` know what they mean; ``survey`` and
``recording`` turn them into streams.
"""

from __future__ import annotations

from lerobot_pipelines.recordings.ros.opening import open_bag

__all__ = ["open_bag"]
