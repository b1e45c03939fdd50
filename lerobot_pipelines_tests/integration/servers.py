"""PostgreSQL and Redis on this machine, with data folders of their own, gone at the end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.cli.processes import Children

HOST = "127.0.0.1"
# Signs that a URL or a YAML file would have to quote.
PASSWORD = "p:w'{x} &#"
REDIS_PASSWORD = "redis-secret"
READY_S = 60.0
# PostgreSQL refuses to run as root; both Debian packages bring this user.
SERVER_USER = "postgres"


def postgres_program(name: str) -> str | None:
    """Debian keeps the server's programs off the PATH."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(newest[-1]) if newest else None)


def missing_parts() -> list[str]:
    """What a distributed run needs and this machine does not have."""
    parts = {
        "Debian's postgresql": postgres_program("initdb"),
        "Debian's redis-server": shutil.which("redis-server"),
        "the extra celery": importlib.util.find_spec("dagster_celery"),
        "the extra postgres": importlib.util.find_spec("dagster_postgres"),
    }
    return [name for name, found in parts.items() if not found]


@dataclass(frozen=True)
class Servers:
    postgres_port: int
    redis_port: int

    @property
    def environment(self) -> dict[str, str]:
        """The variables of ``deploy/environment.example``."""
        redis = f"redis://:{REDIS_PASSWORD}@{HOST}:{self.redis_port}"
        return {
            "DAGSTER_PG_HOST": HOST,
            "DAGSTER_PG_PORT": str(self.postgres_port),
            "DAGSTER_PG_DB": "dagster",
            "DAGSTER_PG_USER": "dagster",
            "DAGSTER_PG_PASSWORD": PASSWORD,
            "CELERY_BROKER_URL": f"{redis}/0",
            "CELERY_RESULT_BACKEND": f"{redis}/1",
        }


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Both on free ports of the loopback interface, with passwords."""
    # Not below pytest's folder, which another user cannot enter.
    with tempfile.TemporaryDirectory(prefix="servers-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        data = folder / "postgres"
        _create_cluster(folder, data)
        servers = Servers(free_port(), free_port())
        with Children() as children:
            children.start("redis", _redis(servers), dict(os.environ), folder / "redis.log")
            children.start("postgres", _postgres(servers, data), _clean(), folder / "postgres.log")
            for port in (servers.redis_port, servers.postgres_port):
                wait_for_port(port, children)
            _create_database(servers)
            yield servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _redis(servers: Servers) -> list[str]:
    return [
        shutil.which("redis-server") or "redis-server",
        *("--bind", HOST, "--port", str(servers.redis_port)),
        *("--requirepass", REDIS_PASSWORD, "--save", "", "--appendonly", "no"),
    ]


def _create_cluster(folder: Path, data: Path) -> None:
    data.mkdir(mode=0o700)
    password = folder / "password"
    password.write_text(PASSWORD)
    if os.geteuid() == 0:
        folder.chmod(0o755)
        for path in (data, password):
            shutil.chown(path, SERVER_USER)
    subprocess.run(
        [
            *_unprivileged(),
            str(postgres_program("initdb")),
            *("-D", str(data), "-U", "dagster", "-A", "scram-sha-256"),
            *("--pwfile", str(password), "-E", "UTF8", "--locale=C", "--no-sync"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env=_clean(),
        cwd=folder,
    )


def _postgres(servers: Servers, data: Path) -> list[str]:
    return [
        *_unprivileged(),
        str(postgres_program("postgres")),
        *("-D", str(data), "-p", str(servers.postgres_port)),
        *("-c", f"listen_addresses={HOST}", "-c", f"unix_socket_directories={data}"),
        *("-c", "fsync=off", "-c", "shared_buffers=32MB"),
    ]


def _unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups"]


def _clean() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}


def wait_for_port(port: int, children: Children) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        children.check()
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port} after {READY_S:.0f} s")


def wait_for_socket(path: str, children: Children) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        children.check()
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
                return
            except OSError:
                time.sleep(0.1)
    raise AssertionError(f"nothing listens at {path} after {READY_S:.0f} s")


def _create_database(servers: Servers) -> None:
    import psycopg2

    deadline = time.monotonic() + READY_S
    while True:
        try:
            connection = psycopg2.connect(
                host=HOST,
                port=servers.postgres_port,
                user="dagster",
                password=PASSWORD,
                dbname="postgres",
            )
            break
        except psycopg2.OperationalError:  # it listens before it serves
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    connection.autocommit = True
    try:
        connection.cursor().execute("CREATE DATABASE dagster")
    finally:
        connection.close()
