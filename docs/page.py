# SPDX-License-Identifier: MIT
"""Take the pictures of the page that the README shows, on the drawn scenes: needs Chromium and Playwright.

python docs/demo.py demo/photos && python docs/page.py demo/photos
"""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from semcbir.web.serve import serve

DOCS = Path(__file__).parent
SIZE = {"width": 1100, "height": 640}


def take(page: Page, name: str) -> None:
    """Save what a page shows as a JPEG."""
    place = DOCS / f"{name}.png"
    page.screenshot(path=place)
    Image.open(place).convert("RGB").save(DOCS / f"{name}.jpg", quality=82)
    place.unlink()


def pictures(place: str) -> None:
    """Take both pictures."""
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(base_url=place, viewport=SIZE)
        page.goto("/?order=folder")
        page.wait_for_selector("#collection[data-laid=true]", timeout=60_000)
        page.locator(".tile", has_text="meadow/2.jpg").locator(".photo").click()
        page.wait_for_selector("#pinned[data-ready=true]")
        box = page.locator("#pinned canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.85)
        page.wait_for_timeout(500)
        take(page, "page-search")
        page.locator(".why").nth(1).click()
        page.wait_for_selector(".pinned[data-ready=true] >> nth=1")
        take(page, "page-why")
        chromium.close()


if __name__ == "__main__":
    opened: list[str] = []
    threading.Thread(
        target=serve, args=(Path(sys.argv[1]), "127.0.0.1", 0, None, opened.append), daemon=True
    ).start()
    while not opened:
        pass
    pictures(opened[0])
