"""An episode that lies in the bucket, handed over by the name that its robot has for it."""

from __future__ import annotations

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.discovery import list_episode_keys
from lerobot_pipelines.pipeline.episode_names import named_so
from lerobot_pipelines.recorder.announce import Announced, announce_episode
from lerobot_pipelines.recorder.placing import source_folder
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage.names import shown

_MAX_CANDIDATES = 5


def announce_by_name(
    config: DatasetConfig,
    name: str,
    source: str | None,
    *,
    strategy: str | None = None,
    task: str | None = None,
) -> Announced:
    """``announce_episode`` for the one episode of ``source`` whose key is or ends with ``name``.

    Raises what that raises, ``Refused`` (bad_name) where no episode or several are called so, and
    ``ConfigError`` for a source that the dataset does not watch.
    """
    storage = open_storage(config.storage)
    folder = source_folder(config, source)
    keys = list(list_episode_keys(storage, config))
    of = ""
    if folder is not None:
        keys = [key for key in keys if key.startswith(f"{folder}/")]
        of = f" of source {shown(folder)}"
    found = named_so(name, keys)
    if not found:
        place = f"{storage.url.rstrip('/')}/{config.storage.raw_prefix}"
        raise Refused(
            Reason.BAD_NAME,
            f"there is no episode {shown(name)}{of} below {place}; upload it first, or name its "
            "recording, which is uploaded then",
        )
    if len(found) > 1:
        listed = ", ".join(shown(key) for key in found[:_MAX_CANDIDATES])
        raise Refused(
            Reason.BAD_NAME,
            f"{len(found)} episodes{of} are called {shown(name)}: {listed}; name one in full",
        )
    return announce_episode(config, found[0], strategy=strategy, task=task)
