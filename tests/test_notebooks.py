# SPDX-License-Identifier: MIT
"""What notebooks show of results and explanations: HTML with its pictures in it, and no text as tags."""

from __future__ import annotations

import base64
import dataclasses
import io
import pickle
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semcbir import Explanation, Hit, Index, Results, explain, load_image, search
from semcbir.explanation import MAX_ROWS
from semcbir.pictures.colours import class_colour

EVIL = "\"><script>alert('&')</script>.jpg"


class Tags(HTMLParser):
    """The tags that are open at the end, and all that there were."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def images(text: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")


@pytest.fixture
def why(index: Index, photo_folder: Path) -> Explanation:
    return explain(photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg", index)


def test_an_explanation_shows_photos_label_maps_and_classes(why: Explanation) -> None:
    text = why._repr_html_()
    assert not Tags(text).open
    assert Tags(text).seen == {
        *("div", "figure", "figcaption", "img", "b", "span"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    shown = images(text)
    assert [picture.shape for picture in shown] == [(195, 260, 3)] * 4
    assert why.hit_analysis is not None
    for picture, analysis in zip(shown, (why.query_analysis, why.hit_analysis), strict=False):
        assert abs(picture.mean() - analysis.image.mean()) < 5
    assert text.count("<tr>") == 1 + len(why.rows)
    for row in why.rows:
        red, green, blue = class_colour(row.label, why.recipe.classes)
        assert f"background:rgb({red}, {green}, {blue})" in text
        assert f"</span> {row.name}</td>" in text
        assert f"{row.squared_distance:.5f}" in text
    assert f"distance {why.distance:.4f} (hog), histogram distance {why.histogram_distance:.4f}" in text
    assert "<b>query</b> beach/1.jpg" in text
    assert "<b>hit</b> meadow/1.jpg" in text
    assert "only in the" in text


def test_an_explanation_without_the_hits_file(why: Explanation) -> None:
    text = dataclasses.replace(why, hit_analysis=None, query_path=None)._repr_html_()
    assert not Tags(text).open
    assert len(images(text)) == 3
    assert "label map of the query" in text
    assert "label map of the hit" not in text
    assert "<b>query</b> <" in text


def test_an_explanation_escapes_every_text(why: Explanation) -> None:
    rows = tuple(dataclasses.replace(row, name=EVIL) for row in why.rows)
    hit = dataclasses.replace(why.hit, path=Path(EVIL))
    text = dataclasses.replace(why, rows=rows, hit=hit, query_path=Path(f"{EVIL}\n\udcff"))._repr_html_()
    assert not Tags(text).open
    assert "script" not in Tags(text).seen
    assert text.count("&lt;script&gt;") >= len(rows) + 4
    text.encode()


def test_an_explanations_table_has_an_end(why: Explanation) -> None:
    text = dataclasses.replace(why, rows=why.rows[:1] * (MAX_ROWS + 7))._repr_html_()
    assert text.count("<tr>") == 1 + MAX_ROWS
    assert "and 7 more" in text


def test_void_pixels_are_shown(why: Explanation) -> None:
    recipe = dataclasses.replace(why.recipe, model={**why.recipe.model, "void": 255})
    label_map = np.full(why.query_analysis.label_map.shape, 255, np.uint8)
    void = dataclasses.replace(why.query_analysis, label_map=label_map)
    assert len(images(dataclasses.replace(why, recipe=recipe, query_analysis=void)._repr_html_())) == 4


def test_results_show_the_query_first(index: Index, photo_folder: Path, tmp_path: Path) -> None:
    query = tmp_path / EVIL.replace("/", "")
    shutil.copy(photo_folder / "town" / "1.jpg", query)
    found = search(query, index, k=3)
    assert found.query == query
    text = found._repr_html_()
    tags = Tags(text)
    assert not tags.open
    assert "script" not in tags.seen
    shown = images(text)
    assert len(shown) == 4
    assert abs(shown[0].mean() - load_image(query).mean()) < 5
    assert text.index("<b>query</b>") < text.index("<b>1</b>")
    assert len(images(Results(found, found.kept)._repr_html_())) == 3


def test_the_query_of_results_is_the_path_that_was_asked(
    index: Index, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = photo_folder / "town" / "1.jpg"
    pixels, signatures = load_image(photo), index.signatures()[:2]
    monkeypatch.chdir(photo_folder)
    found = search([pixels, "town/1.jpg", signatures, photo, photo.read_bytes()], index, k=1)
    assert [results.query for results in found] == [None, photo, None, None, photo, None]
    assert search(photo, index)[:2].query == photo
    assert search(pixels, index).query is None


def test_the_query_changes_neither_equality_nor_the_hash(photo_folder: Path) -> None:
    hits = [Hit(1, 0, Path("a.jpg"), 0.0, 0.0, False)]
    one, other = Results(hits, 1), Results(hits, 1, query=photo_folder / "b.jpg")
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(other)).query == photo_folder / "b.jpg"
    old = Results(hits, 1)
    del old.__dict__["query"]  # as one that was pickled by an earlier version
    assert pickle.loads(pickle.dumps(old)).query is None
    assert "query" not in pickle.loads(pickle.dumps(old))._repr_html_()
    with pytest.raises(TypeError, match="query: expected a path, got 3"):
        Results(hits, 1, query=3)  # type: ignore[arg-type]


def test_a_query_that_is_gone_has_a_placeholder() -> None:
    text = Results([], 0, query="gone.jpg")._repr_html_()
    assert not Tags(text).open
    assert len(images(text)) == 1
    assert "gone.jpg" in text
