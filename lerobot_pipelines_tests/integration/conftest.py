from __future__ import annotations

from collections.abc import Iterator

import pytest

from lerobot_pipelines_tests.integration.services import Services, running_services


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One daemon and webserver for all: starting them takes longer than any test."""
    with running_services(tmp_path_factory.mktemp("dagster")) as running:
        yield running
