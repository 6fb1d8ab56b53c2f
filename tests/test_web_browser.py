# SPDX-License-Identifier: MIT
"""The page in a real browser: Chromium, driven by Playwright. Pictures of it are kept in SEMCBIR_PICTURES."""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the page needs the extra web")
pytest.importorskip("jinja2", reason="the page needs the extra web")
pytest.importorskip("starlette", reason="the page needs the extra web")
pytest.importorskip("playwright", reason="needs Playwright")

from playwright import sync_api as playwright

from semcbir import Index
from semcbir.web.collection import Collection
from served import Served

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
WAIT = 20_000


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two halves: red, green, blue or black, in all pairs, and some of one colour."""
    folder = tmp_path_factory.mktemp("browser") / "photos"
    folder.mkdir()
    colours = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "dark": (10, 10, 10)}
    noise = np.random.default_rng(3)
    for left in colours:
        for right in colours:
            pixels = np.empty((120, 160, 3))
            pixels[:, :80], pixels[:, 80:] = colours[left], colours[right]
            pixels += noise.normal(0, 3, pixels.shape)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{left}-{right}.png")
    return folder


@pytest.fixture(scope="module")
def index(photos: Path, tiny_model: Path) -> Index:
    return Index.build(photos, photos.parent / "index", model=tiny_model, features="hog", device="cpu")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def served(index: Index, copies: Path) -> Iterator[Served]:
    with Served(Collection(index.path, copies=copies)) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(browser: Any, served: Served, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page; what its script or its policy complains of fails the test, and so does any other host."""
    wrong: list[str] = []
    context = browser.new_context(base_url=served.place, viewport={"width": 1200, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    one = context.new_page()
    one.set_default_timeout(WAIT)
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" and not refused(said.text) else None,
    )
    one.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((served.place, "data:", "blob:")) else wrong.append(asked.url)
        ),
    )
    yield one
    if pictures := os.environ.get("SEMCBIR_PICTURES"):
        Path(pictures).mkdir(parents=True, exist_ok=True)
        one.screenshot(path=Path(pictures) / f"{request.node.name}.png")
    context.close()
    assert wrong == []


def refused(said: str) -> bool:
    """Whether the browser says that the server refused what it was asked, as some tests mean it to."""
    return "422" in said or "400" in said


def key(index: Index, name: str) -> int:
    return index[index.roots[0] / f"{name}.png"].id


def names(page: Any) -> list[str]:
    return [name.removesuffix(".png") for name in page.locator("#hits .tile .name").all_inner_texts()]


def look(page: Any, photo: int) -> Any:
    """Open the hits of a photo, and wait until its segments are there."""
    page.goto(f"/search?q={photo}")
    page.wait_for_selector("#pinned[data-ready=true]")
    return page.locator("#pinned canvas").bounding_box()


def test_a_click_on_a_photo_searches_with_it(page: Any, index: Index) -> None:
    page.goto("/?order=folder")
    page.wait_for_selector("#collection[data-laid=true]")
    assert page.locator("h1").inner_text() == f"{len(index)} photos"
    assert page.locator(".tile").count() == len(index)
    page.locator(".tile", has_text="red-blue.png").locator(".photo").click()
    page.wait_for_url("**/search?q=*")
    assert names(page)[0] == "red-blue"
    assert len(names(page)) == len(index)


def test_under_the_pointer_is_a_class_and_a_click_asks_for_it(page: Any, index: Index) -> None:
    box = look(page, key(index, "red-blue"))
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    assert re.fullmatch(r"red, 5\d %|red, 4\d %", page.locator("#seen").inner_text())
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    assert page.locator("#seen").inner_text().startswith("blue, ")
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    page.wait_for_url("**only=*")
    with_blue = [name for name in names(page) if "blue" in name]
    assert names(page)[: len(with_blue)] == with_blue, "photos without it come last"
    page.wait_for_selector("#pinned[data-ready=true]")
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    page.keyboard.down("Alt")
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    page.keyboard.up("Alt")
    page.wait_for_url("**without=*")
    assert not any("red" in name for name in names(page))
    page.go_back()
    page.wait_for_url(lambda address: "without" not in address)
    assert any("red" in name for name in names(page))


def test_a_box_is_dragged(page: Any, index: Index) -> None:
    box = look(page, key(index, "red-blue"))
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] - 8)
    page.mouse.up()
    page.wait_for_url("**region=*")
    x0, y0, x1, y1 = map(int, re.search(r"region=(\d+)%2C(\d+)%2C(\d+)%2C(\d+)", page.url).groups())
    assert 80 <= x0 < x1 <= 160
    assert 0 <= y0 < y1 <= 120
    assert names(page)[0] == "blue-blue", "the part is all blue"


def test_chips_say_what_hits_must_and_must_not_show(page: Any, index: Index) -> None:
    page.goto(f"/search?q={key(index, 'red-blue')}")
    page.get_by_label("only blue", exact=True).click()
    page.wait_for_url("**only=blue*")
    assert page.get_by_label("only blue", exact=True).get_attribute("aria-current") == "true"
    page.get_by_label("without red", exact=True).click()
    page.wait_for_url("**without=red*")
    assert not any("red" in name for name in names(page))
    page.get_by_label("without red", exact=True).click()
    page.wait_for_url(lambda address: "without" not in address)
    weight = page.get_by_label("weight of red")
    page.get_by_label("only blue", exact=True).click()
    page.wait_for_url(lambda address: "only" not in address)
    weight.fill("3")
    weight.press("Enter")
    page.wait_for_url("**weights=red%3D3*")
    assert weight.input_value() == "3"


def test_the_filter_counts_while_it_moves(page: Any, index: Index) -> None:
    photo = key(index, "red-blue")
    page.goto(f"/search?q={photo}")
    page.locator("#epsilon").fill("0.5")
    (some,) = [
        sum(abs(one - two).sum() <= 0.5 for two in index.signatures().histograms())
        for one in index.signatures(ids=[photo]).histograms()
    ]
    page.wait_for_function(
        f"document.querySelector('#kept').textContent === '{some} of {len(index)} photos pass'"
    )
    page.locator("#filter select[name=penalized]").select_option("drop")
    page.locator("#filter button").click()
    page.wait_for_url("**epsilon=0.5**")
    assert len(names(page)) == some


def test_more_photos_like_and_unlike(page: Any, index: Index) -> None:
    page.goto(f"/search?q={key(index, 'red-red')}")
    page.get_by_label("also like blue-blue.png").click()
    page.wait_for_url("**q=*&q=*")
    assert page.locator(".several li").count() == 2
    page.get_by_label("unlike green-green.png").click()
    page.wait_for_selector(".several li >> nth=2")
    assert page.locator(".several li span").all_inner_texts()[2].startswith("unlike")
    assert "green" in names(page)[-1]
    page.get_by_label("remove green-green.png").click()
    playwright.expect(page.locator(".several li")).to_have_count(2)


def test_why_a_hit_is_near(page: Any, index: Index) -> None:
    page.goto(f"/search?q={key(index, 'red-blue')}")
    page.get_by_label("why red-dark.png").click()
    page.wait_for_url("**/explain**")
    page.wait_for_selector(".pinned[data-ready=true] >> nth=1")
    rows = page.locator("tbody tr th").all_inner_texts()
    assert {"red", "blue", "dark"} <= set(rows)
    colours = [one.get_attribute("fill") for one in page.locator("tbody .swatch").all()]
    assert len(set(colours)) == len(colours) == len(rows), "a legend: each class has a colour of its own"
    page.locator("[data-copy]").last.click()
    playwright.expect(page.locator("#said")).to_have_text("The path is copied")
    assert page.evaluate("navigator.clipboard.readText()") == str(index.roots[0] / "red-dark.png")
    assert page.get_by_text("Open folder").count() == 2
    page.get_by_text("Back to the hits").click()
    page.wait_for_url("**/search?q=*")


def drop(page: Any, data: bytes, kind: str) -> None:
    """Drop a file on the page, or paste it."""
    page.evaluate(
        """([data, kind]) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "photo.png", { type: "image/png" }));
            const event = kind === "drop"
                ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
            document.body.dispatchEvent(event);
        }""",
        [base64.b64encode(data).decode(), kind],
    )


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_a_photo_is_dropped_pasted_or_chosen(page: Any, index: Index, way: str) -> None:
    path = index.roots[0] / "green-dark.png"
    page.goto("/")
    if way == "choose":
        page.locator("#file").set_input_files(path)
    else:
        drop(page, path.read_bytes(), way)
    page.wait_for_url("**/search?q=u*")
    assert names(page)[0] == "green-dark"
    page.wait_for_selector("#pinned[data-ready=true]")
    page.get_by_label("only green", exact=True).click()
    page.wait_for_url("**only=green*")


def test_an_upload_that_is_no_image_is_said(page: Any) -> None:
    page.goto("/")
    drop(page, b"no image at all", "drop")
    page.wait_for_selector("#problem")
    assert "not an image in a readable format" in page.locator("#problem").inner_text()
    assert page.locator("#problem").get_attribute("role") == "alert"


def test_keys(page: Any, index: Index) -> None:
    page.goto(f"/search?q={key(index, 'red-blue')}")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    second = names(page)[1]
    assert page.evaluate(
        "document.activeElement.closest('.tile').querySelector('.name').textContent"
    ).startswith(second)
    page.keyboard.press(" ")
    page.wait_for_selector("#compare[open]")
    assert page.locator("#compare img").count() == 2
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    assert page.locator("#count").inner_text() == "1 chosen"
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.wait_for_url("**/explain**")
    page.go_back()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.keyboard.type("blue -red")
    page.keyboard.press("Enter")
    page.wait_for_url("**/find?words=blue**")
    assert page.locator("h1").inner_text().endswith(" photos for: blue -red")
    assert page.locator(".grid .tile").count() == int(page.locator("h1").inner_text().split()[0]) > 0
    page.go_back()
    page.wait_for_selector("#hits .tile")
    page.locator("#hits .photo").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: f"q={key(index, 'red-blue')}" not in address)


def test_photos_are_chosen_and_taken_away(page: Any, index: Index, copies: Path) -> None:
    page.goto(f"/search?q={key(index, 'red-blue')}")
    for box in page.locator(".choose input").all()[:3]:
        box.check()
    assert page.locator("#count").inner_text() == "3 chosen"
    paths = [page.locator("#hits .tile").nth(place).get_attribute("data-path") for place in range(3)]
    page.locator("#copy").click()
    playwright.expect(page.locator("#said")).to_have_text("3 paths copied")
    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(paths)
    with page.expect_download() as download:
        page.get_by_text("Paths as a list").click()
    assert Path(download.value.path()).read_text().split() == paths
    page.get_by_text("Copy to").click()
    playwright.expect(page.locator("#said")).to_contain_text("3 copied to ")
    assert sorted(path.name for path in copies.iterdir()) == sorted(Path(path).name for path in paths)
    page.locator("#none").click()
    assert page.locator("#chosen").is_hidden()


def test_what_is_chosen_stays_from_page_to_page(page: Any, index: Index) -> None:
    page.goto(f"/search?q={key(index, 'red-blue')}")
    for box in page.locator(".choose input").all()[:2]:
        box.check()
    chosen = [page.locator("#hits .tile").nth(place).get_attribute("data-path") for place in range(2)]
    page.locator("#hits .photo").nth(4).click()
    page.wait_for_url(lambda address: f"q={key(index, 'red-blue')}" not in address)
    assert page.locator("#count").inner_text() == "2 chosen"
    page.locator(".choose input").first.check()
    page.go_back()
    page.wait_for_url(f"**/search?q={key(index, 'red-blue')}")
    assert page.locator("#count").inner_text() == "3 chosen"
    ticked = page.locator(".tile:has(input:checked)")
    assert set(chosen) <= {one.get_attribute("data-path") for one in ticked.all()}
    page.reload()
    assert page.locator("#count").inner_text() == "3 chosen"
    page.locator("#none").click()
    assert page.locator(".choose input:checked").count() == 0
    boxes = page.locator(".choose input")
    boxes.nth(1).click()
    boxes.nth(5).click(modifiers=["Shift"])
    assert page.locator("#count").inner_text() == "5 chosen"
    page.locator("#all").click()
    assert page.locator("#count").inner_text() == f"{len(index)} chosen"
    page.locator("#none").click()


def test_no_click_leads_to_a_dead_end(page: Any, index: Index) -> None:
    photo = key(index, "red-blue")
    page.goto(f"/search?q={photo}&weights=red=3")
    page.get_by_label("only blue", exact=True).click()
    page.wait_for_url("**only=blue**")
    assert page.locator("#hits .tile").count() > 0
    assert page.get_by_label("weight of red").is_disabled(), "what does not count has no weight"
    page.goto(f"/search?q={photo}&region=0,0,60,100")
    assert page.get_by_label("only red", exact=True).count() == 1
    assert page.get_by_label("only blue", exact=True).count() == 0, "the box has no blue"
    page.get_by_label("only red", exact=True).click()
    page.wait_for_url("**only=red**")
    assert page.locator("#hits .tile").count() > 0
    page.goto(f"/search?q={photo}&q={key(index, 'green-green')}:-0.5")
    page.get_by_label("remove red-blue.png").click()
    page.wait_for_url(f"**/search?q={key(index, 'green-green')}")
    assert names(page)[0] == "green-green"
    page.locator(".more input[required]").fill("blue")
    page.locator(".more button").click()
    page.wait_for_url("**without=blue**")
    assert not any("blue" in name for name in names(page))
    page.goto(f"/search?q={photo}&only=dark")
    assert "expected a class that the query has" in page.locator("main").inner_text()
    page.get_by_text("Search with the photo alone").click()
    page.wait_for_url(f"**/search?q={photo}")
    page.goto("/find?words=nonsense")
    assert page.locator("#words").input_value() == "nonsense"


def test_a_row_of_the_explanation_shows_its_class(page: Any, index: Index) -> None:
    page.goto(f"/explain?q={key(index, 'red-blue')}&hit={key(index, 'blue-dark')}")
    page.wait_for_selector(".pinned[data-ready=true] >> nth=1")
    painted = """(figures) => figures.map((figure) => {
        const canvas = figure.querySelector("canvas");
        const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return bytes.filter((_, i) => i % 4 === 3 && bytes[i] > 0).length / (bytes.length / 4);
    })"""
    whole = page.eval_on_selector_all(".pinned", painted)
    page.locator("tr[data-row]", has_text="red").hover()
    query, hit = page.eval_on_selector_all(".pinned", painted)
    assert min(whole) > 0.99
    assert 0.4 < query < 0.6, "red is half of the query"
    assert hit == 0, "and not in the hit"


def test_a_narrow_screen_and_a_dark_one(page: Any, index: Index) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    for path in (
        "/",
        f"/search?q={key(index, 'red-blue')}",
        "/collection",
        f"/explain?q=1&hit={key(index, 'red-blue')}",
    ):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_ten_thousand_photos_scroll(browser: Any, tiny_model: Path, tmp_path: Path) -> None:
    """Only those that can be seen are on the page, each at its place."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 30), "red").save(photos / "first.png")
    index = Index.build(photos, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
    batch = index.signatures()
    paths = []
    for number in range(10_000):
        path = photos / f"n{number:05}.png"
        os.link(photos / "first.png", path)
        paths.append(path)
    from semcbir import Signatures

    index.append(Signatures.concatenate([batch] * len(paths), ids=np.arange(len(paths))), paths)
    with Served(Collection(index.path)) as served:
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(f"{served.place}/?order=folder")
        page.wait_for_selector("#collection[data-laid=true]")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_selector(".tile[aria-posinset='10001']")
        assert page.locator(".tile").count() < 200
        assert page.locator(".tile[aria-posinset='10001'] .name").inner_text() == "n09999.png"
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_selector(".tile[aria-posinset='1']")
        page.close()


def test_a_folder_is_indexed_while_it_is_looked_at(browser: Any, photos: Path, tmp_path: Path) -> None:
    import threading

    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    collection = Collection(folder)
    collection.begin()
    with Served(collection) as served:
        page = browser.new_page()
        page.goto(served.place)
        assert page.locator("h1").inner_text() == "Reading the photos"
        runner = threading.Thread(target=collection.follow)
        runner.start()
        page.wait_for_selector("#collection .tile", timeout=60_000)
        runner.join()
        page.goto(served.place)
        assert page.locator("h1").inner_text() == "16 photos"
        shutil.copy(folder / "red-red.png", folder / "red-red again.png")
        collection.follow()
        page.reload()
        assert page.locator("h1").inner_text() == "17 photos"
        page.close()


AXE = os.environ.get("SEMCBIR_AXE", "")


@pytest.mark.skipif(not AXE, reason="needs axe-core: SEMCBIR_AXE=.../axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_fault_of_accessibility(browser: Any, served: Served, scheme: Any) -> None:
    context = browser.new_context(base_url=served.place, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found = []
    for path in (
        "/",
        "/search?q=1",
        "/search?q=1&q=2&without=red&keep=3",
        "/find?words=blue",
        "/explain?q=1&hit=2",
        "/collection",
        "/duplicates?distance=9",
        "/nothing",
    ):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        page.evaluate(Path(AXE).read_text("utf-8"))
        found += [
            (path, one["id"], one["nodes"][0]["html"]) for one in page.evaluate("axe.run()")["violations"]
        ]
    context.close()
    assert found == []


def test_our_own_files_are_small() -> None:
    import semcbir.web

    folder = Path(semcbir.web.__file__).parent
    files = [*(folder / "static").iterdir(), *(folder / "templates").iterdir()]
    assert sum(path.stat().st_size for path in files) < 60_000
    assert not any(re.search(rb"https?://(?!www\.w3\.org)", path.read_bytes()) for path in files)
