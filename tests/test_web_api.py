# SPDX-License-Identifier: MIT
"""The API of the page: the answers of ``semcbir.search`` and the like, in JSON, through a real server."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the page needs the extra web")
pytest.importorskip("jinja2", reason="the page needs the extra web")
pytest.importorskip("starlette", reason="the page needs the extra web")

import semcbir
from semcbir import Index
from semcbir.web.collection import Collection
from semcbir.web.openapi import description
from semcbir.web.thumbnails import MAX_KEPT, Thumbnails
from semcbir.web.uploads import Uploads
from served import Served


@pytest.fixture(scope="module")
def index(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    place = tmp_path_factory.mktemp("web") / "index"
    return Index.build(made_photos, place, model=tiny_model, features="hog,kaze", device="cpu")


@pytest.fixture(scope="module")
def page(index: Index) -> Iterator[Served]:
    with Served(Collection(index.path)) as served:
        yield served


def hits(answer: Any) -> list[tuple[Any, ...]]:
    names = ("rank", "id", "path", "distance", "histogram_distance", "penalized")
    return [tuple(hit[name] for name in names) for hit in answer["hits"]]


def expected(results: semcbir.Results) -> list[tuple[Any, ...]]:
    return [(h.rank, h.id, str(h.path), h.distance, h.histogram_distance, h.penalized) for h in results]


def fits(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value by a schema of the API's description: a small part of JSON Schema."""
    if "$ref" in schema:
        schema = description()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "allOf" in schema:
        return [wrong for part in schema["allOf"] for wrong in fits(value, part)]
    if "anyOf" in schema:
        return min((fits(value, part) for part in schema["anyOf"]), key=len)
    kinds: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    kind = schema["type"]
    if kind == "array":
        if not isinstance(value, list):
            return [f"{value!r} is no array"]
        return [wrong for one in value for wrong in fits(one, schema["items"])]
    if kind == "object":
        if not isinstance(value, dict):
            return [f"{value!r} is no object"]
        wrong = [f"{name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, part in schema.get("properties", {}).items():
            wrong += fits(value[name], part) if name in value else []
        if "additionalProperties" in schema:
            wrong += [bad for one in value.values() for bad in fits(one, schema["additionalProperties"])]
        return wrong
    good = isinstance(value, kinds[kind]) and (kind == "boolean") == isinstance(value, bool)
    in_range = not isinstance(value, (int, float)) or value >= schema.get("minimum", value)
    return [] if good and in_range else [f"{value!r} is no {kind} of {schema}"]


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("", {}),
        ("&k=4", {"k": 4}),
        ("&epsilon=0.4", {"epsilon": 0.4}),
        ("&epsilon=none", {"epsilon": None}),
        ("&epsilon=0.4&penalized=drop", {"epsilon": 0.4, "penalized": "drop"}),
        ("&keep=3", {"keep": 3}),
        ("&feature=kaze", {"feature": "kaze"}),
        ("&only=blue", {"only": "blue"}),
        ("&without=red&max_share=0.3", {"without": "red", "max_share": 0.3}),
        ("&weights=blue=3", {"weights": {"blue": 3}}),
        ("&expand=2", {"expand": 2}),
        ("&smooth=2", {"smooth": 2}),
        ("&where=ids:0-5", {"where": "ids:0-5"}),
    ],
)
def test_a_search_is_that_of_the_package(
    page: Served, index: Index, address: str, options: dict[str, Any]
) -> None:
    answer = page.ask(f"/api/v1/search?q=2{address}")
    assert answer.status == 200, answer.text
    (results,) = semcbir.search(
        index.signatures(options.get("feature"), ids=[2]), index, **{"k": 60} | options
    )
    assert hits(answer.json) == expected(results)
    assert (answer.json["kept"], answer.json["epsilon"]) == (results.kept, results.epsilon)


def test_several_photos_regions_and_photos_that_are_sent(page: Served, index: Index) -> None:
    batch = [index.signatures(ids=[key]) for key in (1, 4)]
    pairs = [(batch[0], 1.0), (batch[1], -0.5)]
    assert hits(page.ask("/api/v1/search?q=1&q=4:-0.5").json) == expected(semcbir.search(pairs, index, k=60))
    path = index[3].path
    for region in ((5, 6), (2, 2, 40, 30)):
        words = ",".join(map(str, region))
        found = semcbir.search(path, index, k=60, region=region)
        assert hits(page.ask(f"/api/v1/search?q=3&region={words}").json) == expected(found)
    sent = page.form("/api/v1/search", path.read_bytes(), {"k": "5", "epsilon": "0.5"})
    assert hits(sent.json) == expected(semcbir.search(path, index, k=5, epsilon=0.5))
    key = page.ask("/api/v1/uploads", "POST", path.read_bytes()).json["key"]
    assert sent.json["query"][0] == ["q", key]
    assert hits(page.ask(f"/api/v1/search?q={key}&k=5").json) == expected(semcbir.search(path, index, k=5))


def test_all_answers_are_as_they_are_described(page: Served) -> None:
    paths = {
        "/api/v1/info": "",
        "/api/v1/images": "?order=date&limit=3",
        "/api/v1/images/{key}": "",
        "/api/v1/images/{key}/segments": "",
        "/api/v1/search": "?q=1",
        "/api/v1/find": "?words=green",
        "/api/v1/explain": "?q=1&hit=2",
        "/api/v1/contents": "",
        "/api/v1/duplicates": "?distance=0.5",
        "/api/v1/skipped": "",
    }
    served = page.ask("/api/v1/openapi.json").json
    assert served == description()
    pictures = {"/api/v1/images/{key}/photo", "/api/v1/images/{key}/labels"}
    with_get = {path for path, ways in served["paths"].items() if "get" in ways}
    assert with_get == paths.keys() | pictures, "every path is tried"
    names = [way["operationId"] for ways in served["paths"].values() for way in ways.values()]
    assert len(names) == len(set(names))
    for path, query in paths.items():
        answer = page.ask(path.replace("{key}", "1") + query)
        (kind,) = served["paths"][path]["get"]["responses"]["200"]["content"].values()
        assert answer.status == 200, path
        assert fits(answer.json, kind["schema"]) == [], path
        assert answer.headers["content-type"] == "application/json"
    for path in pictures:
        answer = page.ask(path.replace("{key}", "1"))
        assert answer.headers["content-type"] in served["paths"][path]["get"]["responses"]["200"]["content"]
        assert Image.open(io.BytesIO(answer.body)).size[0] > 10
    wrong = page.ask("/api/v1/search?q=1&k=0")
    assert (wrong.status, fits(wrong.json, {"$ref": "#/components/schemas/Error"})) == (400, [])


def test_the_collection_comes_in_orders_and_parts(page: Served, index: Index) -> None:
    paths = [str(record.path) for record in index]
    whole = page.ask("/api/v1/images?order=folder&limit=500").json
    assert [image["path"] for image in whole["images"]] == sorted(paths)
    parts = [
        page.ask(f"/api/v1/images?order=random&seed=7&offset={at}&limit=5").json
        for at in range(0, len(index), 5)
    ]
    ids = [image["id"] for part in parts for image in part["images"]]
    assert sorted(ids) == sorted(record.id for record in index)
    assert ids != sorted(ids)
    again = page.ask("/api/v1/images?order=random&seed=7&limit=500").json
    assert [image["id"] for image in again["images"]] == ids
    other = page.ask("/api/v1/images?order=random&seed=8&limit=500").json
    assert [image["id"] for image in other["images"]] != ids


def test_latest_photos_come_first_by_date(tmp_path: Path, tiny_model: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, year in (("a", 2011), ("b", 2023), ("c", 2017)):
        exif = Image.Exif()
        exif[0x0132] = f"{year}:05:06 07:08:09"
        Image.new("RGB", (40, 30), "red").save(photos / f"{name}.jpg", exif=exif)
    index = Index.build(photos, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
    with Served(Collection(index.path)) as page:
        found = page.ask("/api/v1/images?order=date").json["images"]
    assert [image["name"] for image in found] == ["b.jpg", "c.jpg", "a.jpg"]


def test_segments_are_those_of_the_network(page: Served, index: Index) -> None:
    analysis = index.extractor().analyse(index[0].path)
    answer = page.ask("/api/v1/images/0/segments").json
    with Image.open(index[0].path) as photo:
        assert (answer["width"], answer["height"]) == photo.size
    pixels = np.asarray(Image.open(io.BytesIO(page.ask("/api/v1/images/0/labels").body))).astype(int)
    assert np.array_equal(pixels[..., 0] + 256 * pixels[..., 1], analysis.label_map)
    for one in answer["classes"]:
        assert one["name"] == index.classes[one["label"]]
        assert one["share"] == pytest.approx((analysis.label_map == one["label"]).mean())


def test_a_thumbnail_has_an_address_for_ever(page: Served, index: Index) -> None:
    image = page.ask("/api/v1/images/1").json
    answer = page.ask(image["thumbnail"])
    assert (answer.status, answer.headers["content-type"]) == (200, "image/webp")
    assert "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.body)) as small, Image.open(index[1].path) as photo:
        assert max(small.size) == min(320, max(photo.size))
    kept = index.path / "thumbnails"
    assert [one.name for one in kept.iterdir()].count(f"1-{index[1].mtime_ns}-{index[1].size}.webp") == 1
    assert page.ask(image["thumbnail"]).body == answer.body
    assert page.ask(image["thumbnail"].replace(image["version"], "0-0")).status == 404
    assert index.check() == [], "they are no damage"


def test_thumbnails_that_are_asked_for_together_are_made_once(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import asyncio

    from semcbir.web import thumbnails

    made: list[Path] = []
    busy, most = 0, 0
    lock, load = threading.Lock(), thumbnails.load_image

    def counted(path: Path, side: int) -> Any:
        nonlocal busy, most
        with lock:
            made.append(path)
            busy += 1
            most = max(most, busy)
        try:
            return load(path, side)
        finally:
            with lock:
                busy -= 1

    monkeypatch.setattr(thumbnails, "load_image", counted)
    folder = tmp_path / "index"
    folder.mkdir()

    async def together() -> list[bytes]:
        small = Thumbnails(folder)
        return await asyncio.gather(*(small.get(record) for record in list(index) * 5))

    pictures = asyncio.run(together())
    assert sorted(made) == sorted(record.path for record in index)
    assert most <= 4
    assert pictures[: len(index)] == pictures[len(index) : 2 * len(index)]


@pytest.mark.parametrize("bound", [MAX_KEPT, 20_000])
def test_thumbnails_are_kept_within_their_bound(index: Index, tmp_path: Path, bound: int) -> None:
    import asyncio

    async def all_of(small: Thumbnails) -> list[bytes]:
        return [await small.get(record) for record in index]

    folder = tmp_path / "index"
    folder.mkdir()
    first = asyncio.run(all_of(Thumbnails(folder, bound)))
    kept = sum(path.stat().st_size for path in (folder / "thumbnails").iterdir())
    whole = sum(map(len, first))
    assert whole > 20_000
    assert kept == whole if bound == MAX_KEPT else 0 < kept <= bound
    assert asyncio.run(all_of(Thumbnails(folder, bound))) == first
    lost = tmp_path / "gone"
    assert asyncio.run(all_of(Thumbnails(lost, bound))) == first, "where none can be kept, they are made"


def test_uploads_are_held_within_their_bound() -> None:
    def photo(shade: int) -> bytes:
        buffer = io.BytesIO()
        Image.effect_noise((64, 64), shade + 20).save(buffer, "PNG")
        return buffer.getvalue()

    photos = [photo(shade) for shade in range(4)]
    uploads = Uploads(max_held=sum(map(len, photos[:3])) + 9)
    names = [uploads.put(data) for data in photos[:3]]
    assert uploads.put(photos[0]) == names[0], "a photo has one name"
    uploads.get(names[1])
    uploads.put(photos[3])
    with pytest.raises(KeyError):
        uploads.get(names[2])
    assert uploads.get(names[1]) == photos[1]


def test_what_is_not_there_is_said(page: Served) -> None:
    for path, status, message in (
        ("/api/v1/images/999", 404, "the index has no photo 999"),
        ("/api/v1/images/u" + "0" * 32 + "/photo", 404, "the photo that was sent is not held any more"),
        ("/api/v1/images/..%2f..%2fetc%2fpasswd", 404, "Not Found"),
        ("/api/v1/images/etc", 404, "q: expected an id"),
        ("/api/v1/search?q=999", 404, "the index has no photo 999"),
        ("/api/v1/search", 400, "q: expected a photo, got none"),
        ("/api/v1/search?q=1&only=pink", 400, "only: expected the name of a class or a group, got 'pink'"),
        ("/api/v1/search?q=1&feature=surf", 400, "feature: expected"),
        ("/api/v1/find?words=", 400, "words: expected names of classes"),
        ("/api/v1/find?words=pink", 400, "words: expected the name of a class"),
        ("/api/v1/explain?hit=999&q=1", 404, "the index has no photo 999"),
        ("/api/v1/explain?hit=1&q=1&q=2", 400, "q: expected one photo to explain, got 2"),
        ("/api/v1/images?order=size", 400, "order: expected 'folder', 'date' or 'random', got 'size'"),
        ("/api/v1/images?limit=501", 400, "limit: expected an integer from 1 to 500, got '501'"),
        (
            "/api/v1/duplicates",
            400,
            "distance: expected a number of 0 or more, as feature 'hog' has no default",
        ),
        ("/api/v1/duplicates?distance=-1", 400, "distance: expected a number of 0 or more, got '-1'"),
        ("/api/v1/nothing", 404, "Not Found"),
    ):
        answer = page.ask(path)
        assert (answer.status, answer.json["error"][: len(message)]) == (status, message), path


def test_the_index_changes_under_the_page(made_photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    photos = tmp_path / "photos"
    shutil.copytree(made_photos, photos)
    index = Index.build(photos, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
    count = len(index)
    with Served(Collection(index.path)) as page:
        assert page.ask("/api/v1/info").json["images"] == count
        first = index[0].path
        shutil.copy(first, photos / "another.png")
        index.refresh()
        assert page.ask("/api/v1/info").json["images"] == count + 1
        index.remove([0])
        assert page.ask("/api/v1/images/0").status == 404
        index.compact()
        assert len(page.ask("/api/v1/search?q=1&k=500").json["hits"]) == count
        assert page.ask("/search?q=1").status == 200
        shutil.rmtree(tmp_path / "index")
        for path in ("/", "/search?q=1", "/collection", "/api/v1/search?q=1", "/api/v1/images"):
            answer = page.ask(path)
            assert answer.status == 503, path
        assert page.ask("/api/v1/info").json["ready"] is False
        Index.build(photos, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
        assert page.ask("/search?q=1").status == 200, "and it comes back"


def test_a_photo_that_is_gone_does_not_harm_the_others(
    made_photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import shutil

    photos = tmp_path / "photos"
    shutil.copytree(made_photos, photos)
    index = Index.build(photos, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
    index[2].path.unlink()
    with Served(Collection(index.path)) as page:
        image = page.ask("/api/v1/images/2").json
        for path in (image["thumbnail"], "/api/v1/images/2/photo", "/api/v1/images/2/segments"):
            assert page.ask(path).status == 422, path
        assert page.ask("/search?q=2").status == 200, "its signature is in the index"


def test_many_ask_at_once(page: Served, index: Index) -> None:
    answers: list[Any] = []
    (alone,) = semcbir.search(index.signatures(ids=[1]), index, k=60)

    def ask() -> None:
        for _ in range(5):
            answers.append(hits(page.ask("/api/v1/search?q=1").json))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected(alone)] * 60


def form(ids: list[int]) -> tuple[bytes, dict[str, str]]:
    body = "&".join(f"id={key}" for key in ids).encode()
    return body, {"Content-Type": "application/x-www-form-urlencoded"}


def test_photos_are_copied_into_the_folder_that_was_named(index: Index, tmp_path: Path) -> None:
    records, place = list(index)[:3], tmp_path / "new" / "copies"
    with Served(Collection(index.path, copies=place)) as page:
        body, kind = form([record.id for record in records])
        first = page.ask("/api/v1/copies", "POST", body, kind)
        assert (first.status, first.json["copied"], first.json["already"]) == (200, 3, 0)
        assert fits(first.json, {"$ref": "#/components/schemas/Copies"}) == []
        assert sorted(path.name for path in place.iterdir()) == sorted(one.path.name for one in records)
        for record in records:
            assert (place / record.path.name).read_bytes() == record.path.read_bytes()
        again = page.ask("/api/v1/copies", "POST", body, kind).json
        assert (again["copied"], again["already"], len(list(place.iterdir()))) == (0, 3, 3)
        other = place / records[0].path.name
        other.write_bytes(b"another file of this name")
        assert page.ask("/api/v1/copies", "POST", body, kind).json["copied"] == 1
        assert other.read_bytes() == b"another file of this name"
        second = place / f"{other.stem}-2{other.suffix}"
        assert second.read_bytes() == records[0].path.read_bytes()
        for wrong in (b"", b"id=x", b"id=1&id=-1"):
            assert page.ask("/api/v1/copies", "POST", wrong, kind).status == 400
        assert page.ask("/api/v1/copies", "POST", b"id=99999", kind).status == 404
        left = page.ask("/api/v1/copies", "POST", body + b"&id=99999", kind)
        assert (left.status, left.json["already"]) == (200, 3), "what has left the index since is passed over"


def test_copies_never_become_photos_of_the_index(index: Index, page: Served, tmp_path: Path) -> None:
    body, kind = form([index[1].id])
    refused = page.ask("/api/v1/copies", "POST", body, kind)
    assert (refused.status, "--copy DIR" in refused.json["error"]) == (400, True)
    inside = index.roots[0] / "copies"
    with Served(Collection(index.path, copies=inside)) as one:
        refused = one.ask("/api/v1/copies", "POST", body, kind)
    assert (refused.status, "whose photos are indexed" in refused.json["error"]) == (400, True)
    assert not inside.exists()


def test_a_photo_that_cannot_be_copied_is_named(made_photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(made_photos, photos)
    index = Index.build(photos, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
    gone, *others = list(index)[:3]
    gone.path.unlink()
    with Served(Collection(index.path, copies=tmp_path / "copies")) as page:
        said = page.ask("/api/v1/copies", "POST", *form([gone.id, *(one.id for one in others)])).json
    assert (said["copied"], [one["path"] for one in said["skipped"]]) == (2, [str(gone.path)])


@pytest.mark.skipif(os.name != "posix", reason="the system's opener is a program in the PATH")
def test_a_folder_is_opened_for_this_machine_alone(
    index: Index, page: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / ("open" if sys.platform == "darwin" else "xdg-open")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/opened"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    place = f"/api/v1/images/{index[1].id}/open"
    assert page.ask(place).status == 405
    assert page.ask(place, "POST", headers={"Origin": "http://evil.example"}).status == 403
    assert not (tmp_path / "opened").exists()
    with Served(Collection(index.path), is_local=False) as others:
        assert others.ask(place, "POST").status == 403
        assert "Open folder" not in others.ask("/search?q=1").text
    assert page.ask("/api/v1/images/99999/open", "POST").status == 404
    assert not (tmp_path / "opened").exists()
    assert page.ask(place, "POST").status == 204
    assert (tmp_path / "opened").read_text() == str(index[1].path.parent)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = page.ask(place, "POST")
    assert (refused.status, program.name in refused.json["error"]) == (503, True)


def test_names_with_numbers_are_in_the_order_of_the_numbers(tiny_model: Path, tmp_path: Path) -> None:
    names = ["a-1.png", "a/IMG_2.png", "a/IMG_10.png", "a/IMG_010b.png", "a/b/1.png", "b.png", "b/1.png"]
    names.append("b/" + "9" * 200 + ".png")
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), "red").save(tmp_path / "photos" / name)
    index = Index.build(tmp_path / "photos", tmp_path / "index", model=tiny_model, features="hog")
    ordered = [record.path for record in index.records(Collection(index.path).order("folder").tolist())]
    found = [path.relative_to(tmp_path / "photos").as_posix() for path in ordered]
    assert found.index("a/IMG_2.png") < found.index("a/IMG_10.png") < found.index("a/IMG_010b.png")
    assert [name for name in found if name.startswith("b/")] == names[-2:]
    folders = [name.rpartition("/")[0] for name in found]
    assert sum(a != b for a, b in itertools.pairwise(folders)) == len(set(folders)) - 1, "folder by folder"


def test_two_photos_side_by_side_have_one_colour_for_a_class(page: Served, index: Index) -> None:
    a, b = (record.id for record in list(index)[:2])
    colours: dict[int, str] = {}
    for key, beside in ((a, b), (b, a)):
        segments = page.ask(f"/api/v1/images/{key}/segments?beside={beside}").json
        assert fits(segments, {"$ref": "#/components/schemas/Segments"}) == []
        for one in segments["classes"]:
            assert colours.setdefault(one["label"], one["colour"]) == one["colour"]
    assert page.ask(f"/api/v1/images/{a}/segments?beside=x").status == 404
