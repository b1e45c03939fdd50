"""The pictures of the UI in the README. Run as a module to take them again::

python -m lerobot_pipelines_tests.integration.screenshots lerobot_pipelines/docs
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from lerobot_pipelines.pipeline.dataset import is_up_to_date
from lerobot_pipelines_tests.integration.browser import Page, browser_page
from lerobot_pipelines_tests.integration.services import Services, running_services, wait_for

GROUP = "locations/__repository__@lerobot_pipelines/asset-groups/demo/lineage"
MARKDOWN = "[Show Markdown]"
MOST_BYTES = 400_000
EPISODES = 6


def open_asset_graph(page: Page, url: str) -> None:
    """The dataset's group, from the recordings to the dataset."""
    page.open(f"{url}/{GROUP}")
    for asset in ("raw_episodes", "aligned_frames", "encoded_videos", "lerobot_dataset"):
        page.wait_for_text(asset)
    page.wait_for_text("Materialized")


def open_partition(page: Page, url: str, asset: str, partition: str) -> None:
    """One episode of one asset, with its metadata."""
    page.open(f"{url}/assets/demo/{asset}?view=partitions&partition={partition}")
    page.wait_for_text("Latest materialization")
    page.wait_for_text(MARKDOWN)


def open_picture(page: Page) -> tuple[int, int]:
    """Open the first picture of the partition's metadata; its size as the browser decoded it."""
    page.click(MARKDOWN)
    image = "[...document.querySelectorAll('img')].find(e => e.src.startsWith('data:image'))"
    page.wait_for(f"!!{image} && {image}.complete && {image}.naturalWidth > 0")
    width, height = page.evaluate(f"[{image}.naturalWidth, {image}.naturalHeight]")
    return int(width), int(height)


def take(page: Page, services: Services, partition: str) -> dict[str, bytes]:
    """The README's pictures by file name."""
    open_asset_graph(page, services.url)
    graph = page.picture()
    open_partition(page, services.url, "encoded_videos", partition)
    open_picture(page)
    return {"asset_graph.png": smaller(graph), "partition.png": smaller(page.picture())}


def smaller(png: bytes) -> bytes:
    """The same picture with a palette: a third of the size, no visible difference."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(out, "png", optimize=True)
    return out.getvalue()


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, running_services(Path(scratch)) as services:
        for number in range(EPISODES):
            services.upload(
                f"pick_block/episode_{number:04d}", seconds=4.0 + 0.3 * number, seed=number
            )
        name = "work/demo/records"
        wait_for(
            "the conversion",
            lambda: (
                len(list((services.bucket / name).glob("*.json"))) == EPISODES
                and is_up_to_date(services.workspace)
            ),
            timeout_s=300,
        )
        with browser_page() as page:
            for file, data in take(page, services, "pick_block~episode_0003").items():
                (folder / file).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
