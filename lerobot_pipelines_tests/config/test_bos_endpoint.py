"""Baidu's object storage: its S3 service has another address than its own protocol."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config import load_config
from lerobot_pipelines.errors import PipelineWarning
from lerobot_pipelines_tests.config.loading import SOUND, Loader


def bucket(endpoint: str, more: str = "") -> str:
    return SOUND.replace("{url: /bucket}", f'{{url: "s3://rec", endpoint: "{endpoint}"{more}}}')


@pytest.mark.parametrize(
    ("given", "service"),
    [
        ("https://bd.bcebos.com", "https://s3.bd.bcebos.com"),
        ("https://bj.bcebos.com/", "https://s3.bj.bcebos.com"),
        ("http://gz.bcebos.com", "http://s3.gz.bcebos.com"),
        ("su.bcebos.com", "https://s3.su.bcebos.com"),
        ("https://rec.bd.bcebos.com", "https://s3.bd.bcebos.com"),
        ("s3.bd.bcebos.com", "https://s3.bd.bcebos.com"),
    ],
)
def test_the_other_protocols_address_is_replaced_with_a_warning(
    loader: Loader, given: str, service: str
) -> None:
    path = loader.write(bucket(given))
    with pytest.warns(PipelineWarning, match="storage.endpoint: is the address of the store's own"):
        storage = load_config(path).storage
    assert storage.endpoint == service
    assert storage.region == service.split(".")[1]


def test_the_right_address_is_taken_as_it_is(loader: Loader) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage = loader.load(bucket("https://s3.bj.bcebos.com")).storage
    assert (storage.endpoint, storage.region) == ("https://s3.bj.bcebos.com", "bj")


@pytest.mark.parametrize("given", ["https://bcebos.com", "https://s3.bcebos.com"])
def test_an_address_without_region_is_refused(loader: Loader, given: str) -> None:
    fault = loader.faults(bucket(given))["storage.endpoint"]
    assert "https://s3.<region>.bcebos.com" in fault.message


@pytest.mark.parametrize("host", ["https://example.com", "https://bcebos.com.example.org"])
def test_other_stores_are_left_alone(loader: Loader, host: str) -> None:
    storage = loader.load(bucket(host)).storage
    assert (storage.endpoint, storage.region) == (host, None)


def test_a_region_that_is_given_stays(loader: Loader) -> None:
    with pytest.warns(PipelineWarning):
        assert loader.load(bucket("https://bd.bcebos.com", ", region: bj")).storage.region == "bj"


@given(st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True).filter(lambda name: name != "s3"))
def test_every_region_has_its_service(region: str) -> None:
    from pathlib import Path

    from lerobot_pipelines.config.bos_endpoint import rewrite_endpoint
    from lerobot_pipelines.config.draft import Draft

    draft = Draft({"storage": {"endpoint": f"https://{region}.bcebos.com"}}, Path("/"))
    rewrite_endpoint(draft)
    assert draft.get("storage", "endpoint") == f"https://s3.{region}.bcebos.com"
    assert draft.get("storage", "region") == region
    assert len(draft.warnings) == 1
    rewrite_endpoint(draft)  # and that one is right
    assert len(draft.warnings) == 1
