"""A Dagster home that is ready to use: settings, storage, limits of pools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

TEMPLATE = "dagster.yaml"


def prepare_home(home: Path) -> None:
    """Make ``home`` a Dagster instance; what a person changed there stays.

    Call it once before the webserver and the daemon start: two processes that create the storage
    at the same moment collide. Raises ``OSError`` if the folder cannot be written.
    """
    home = home.expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        _write_settings(home)
        _create_storage(home)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Other processes that prepare this home wait; the system frees the lock of a dead one."""
    import fcntl

    with (home / ".prepare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def settings(home: Path, cores: int | None = None) -> str:
    """The instance's settings as YAML, for a machine with that many cores."""
    cores = cores or os.cpu_count() or 1
    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    concurrent = max(2, cores)
    values = {
        "{home}": _quoted(home),
        "{concurrent_runs}": str(concurrent),
        "{backfill_runs}": str(max(1, concurrent - 1)),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _write_settings(home: Path) -> None:
    path = home / "dagster.yaml"
    if path.exists():
        return
    temporary = home / ".dagster.yaml.new"
    temporary.write_text(settings(home), encoding="utf-8")
    temporary.replace(path)


def _create_storage(home: Path) -> None:
    import dagster as dg

    from lerobot_pipelines.defs.assemble import config_files, read_configs
    from lerobot_pipelines.defs.pools import ensure_limits, wanted_limits

    with dg.DagsterInstance.from_config(str(home)) as instance:
        # Asking each store something creates its tables.
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()
        configs, _ = read_configs(config_files())
        ensure_limits(instance, wanted_limits(configs))


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":  # what starts before the services of ../../deploy
    prepare_home(Path(os.environ["DAGSTER_HOME"]))
