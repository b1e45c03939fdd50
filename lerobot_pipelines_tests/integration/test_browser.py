"""The UI as a person sees it: the graph of a dataset, an episode with its plots and pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from lerobot_pipelines.defs import naming
from lerobot_pipelines_tests.integration import screenshots
from lerobot_pipelines_tests.integration.browser import CHROMIUM, HEIGHT, WIDTH, Page, browser_page
from lerobot_pipelines_tests.integration.services import Services, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]

EPISODE = "block~looked_at"


@pytest.fixture(scope="module")
def converted(services: Services) -> Services:
    services.upload("block/looked_at", seed=11)

    def shown() -> bool:
        key = naming.asset_key("demo", naming.METADATA)
        return EPISODE in services.instance.get_materialized_partitions(key)

    wait_for("the conversion", shown)
    return services


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page() as opened:
        yield opened


@pytest.mark.parametrize(
    ("asset", "told"),
    [
        (naming.RAW, ("streams", "left_slave", "rate_hz", "fingerprint")),
        (naming.ALIGNED, ("rows_kept", "rows_dropped", "age_ms", "p95")),
        (naming.VIDEOS, ("encoder_fps", "h264", "contact_sheets")),
    ],
)
def test_an_episode_shows_its_numbers_and_a_picture_that_the_browser_draws(
    converted: Services, page: Page, asset: str, told: tuple[str, ...]
) -> None:
    screenshots.open_partition(page, converted.url, asset, EPISODE)
    for text in told:
        page.wait_for_text(text)
    width, height = screenshots.open_picture(page)
    assert width >= 300 and height >= 80


def test_the_pictures_of_the_readme_can_be_taken(converted: Services, page: Page) -> None:
    for name, data in screenshots.take(page, converted, EPISODE).items():
        picture = Image.open(io.BytesIO(data))
        assert picture.size == (WIDTH, HEIGHT), name
        assert len(data) < screenshots.MOST_BYTES, name
        colours = picture.convert("RGB").getcolors(WIDTH * HEIGHT)
        assert colours is not None and len(colours) > 50, name  # something was drawn
