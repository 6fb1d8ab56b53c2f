# SPDX-License-Identifier: MIT
"""The pages, rendered here: every state has an address, and works without JavaScript as far as it can."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from semcbir._files import display_path
from semcbir._printable import printable
from semcbir.near_duplicates import chosen_distance
from semcbir.networks.groups import known_groups
from semcbir.web import values
from semcbir.web.asked import Asked, Photo
from semcbir.web.asking import (
    Desk,
    asked_of,
    chosen_ids,
    distance_of,
    explained,
    order_of,
    words_of,
)
from semcbir.web.collection import ORDERS, State
from semcbir.web.values import class_term

FIRST = 60
"""Photos of a page that come with it; the script fetches more."""
MAX_GROUPS = 200
"""The most groups of near-duplicates on a page."""


class Pages:
    """The pages on a collection."""

    def __init__(self, desk: Desk, is_local: bool) -> None:
        self._desk = desk
        self._of = desk.collection
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("semcbir.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "address": address,
            "without_photo": without_photo,
            "of": self._of,
            "is_local": is_local,
            "copies": "" if self._of.copies is None else display_path(self._of.copies),
        }

    def routes(self) -> list[Route]:
        """Return what is shown where."""
        return [
            Route("/", self.home),
            Route("/search", self.search),
            Route("/search", self.upload, methods=["POST"]),
            Route("/find", self.find),
            Route("/explain", self.explain),
            Route("/collection", self.collection),
            Route("/duplicates", self.duplicates),
            Route("/download", self.download, methods=["POST"]),
        ]

    async def home(self, request: Request) -> Response:
        """Show the collection, or how far its index is."""
        order, seed, offset = order_of(request, "random")

        def known() -> tuple[State, dict[str, Any]]:
            state = self._of.state
            ready = state.ready
            return state, values.part_values(self._of, order, seed, offset, FIRST) if ready else {}

        state, found = await self._desk.answer(known)
        if not state.ready:
            return self._render("waiting.html", 200 if state.running else 503, state=state)
        found |= {"order": order, "seed": seed, "first": FIRST, "orders": ORDERS}
        return self._render("home.html", state=state, **found)

    async def search(self, request: Request) -> Response:
        """Show a query and its hits."""
        asked = asked_of(request)
        if not asked.photos:
            return RedirectResponse("/", 303)
        long = asked.smooth is not None  # the first such search compares every photo with every other
        return self._render("search.html", **await self._desk.answer(self._searched, asked, is_long=long))

    def _searched(self, asked: Asked) -> dict[str, Any]:
        results, index = self._of.search(asked), self._of.index()
        photos = [self._photo(photo) for photo in asked.photos]
        shown = {"asked": asked, "photos": photos, "features": index.features}
        shown["feature"] = asked.feature or index.features[0]
        shown["chips"] = self._chips(asked)
        return shown | values.results_values(self._of, results)

    def _photo(self, photo: Photo) -> dict[str, Any]:
        if isinstance(photo.key, int):
            known = values.image_values(self._of.record(photo.key), self._of.index())
        else:
            known = {
                "name": "the photo that you chose",
                "path": "",
                "thumbnail": f"/api/v1/images/{photo.key}/photo",
            }
        return known | {"key": photo.key, "weight": photo.weight, "text": str(photo)}

    def _chips(self, asked: Asked) -> list[dict[str, Any]]:
        """Return the classes of the first photo, and others that are asked for, with what a click does."""
        shares = self._of.shares(asked.photos[0].key, asked.region)
        groups = known_groups(self._of.index().classes)
        shares = {class_term(name, groups): share for name, share in shares.items()}
        names = dict.fromkeys([*shares, *asked.only, *asked.without, *asked.weights])
        return [
            {
                "name": name.removeprefix("="),
                "term": name,
                "share": shares.get(name),
                "must": name in asked.only,
                "must_not": name in asked.without,
                "counts": not asked.only or name in asked.only,
                "weight": asked.weights.get(name, 1.0),
                "toggle_must": asked.among(_toggled(asked.only, name), _left(asked.without, name)),
                "toggle_must_not": asked.among(_left(asked.only, name), _toggled(asked.without, name)),
            }
            for name in names
        ]

    async def upload(self, request: Request) -> Response:
        """Take a photo that is sent, and show what is like it."""
        return RedirectResponse(f"/search?q={await self._desk.receive_photo(request)}", 303)

    async def find(self, request: Request) -> Response:
        """Show photos that were found by their classes."""
        if not request.query_params.get("words", "").strip():
            return RedirectResponse("/collection", 303)
        text, words, page, k = words_of(request)

        def found() -> dict[str, Any]:
            return values.found_values(
                self._of, self._of.find(words.only, words.without, words.shares, k, page)
            )

        return self._render("find.html", words=text, k=k, **await self._desk.answer(found))

    async def explain(self, request: Request) -> Response:
        """Show why a hit is as far from the query as it is."""
        hit, asked = explained(request)

        def why() -> dict[str, Any]:
            told = values.explanation_values(self._of.explain(asked, hit))
            photos = [self._photo(asked.photos[0]), self._photo(Photo(hit))]
            shown = [row for row in told["rows"] if row["weight"] > 0 or row["share"] > 0]
            classes = len(self._of.index().classes)
            return told | {"asked": asked, "photos": photos, "hit": hit, "rows": shown, "classes": classes}

        return self._render("explain.html", **await self._desk.answer(why))

    async def collection(self, request: Request) -> Response:
        """Show what is in the photos, where they are, and which could not be read."""

        def known() -> dict[str, Any]:
            index = self._of.index()
            return {
                **values.contents_values(self._of.contents()),
                "terms": {name: class_term(name, known_groups(index.classes)) for name in index.classes},
                "damaged": [values.skipped_values(one) for one in index.damaged],
                "where": self._of.where(),
                "folders": [printable(str(folder)) for folder in index.roots],
                "features": index.features,
                "skipped": [values.skipped_values(one) for one in index.skipped],
                "network": index.recipe.model["name"],
            }

        return self._render("collection.html", **await self._desk.answer(known))

    async def duplicates(self, request: Request) -> Response:
        """Show near-duplicates side by side; features without a default distance are asked for one."""
        distance = distance_of(request)

        def known() -> dict[str, Any]:
            index = self._of.index()
            try:
                bound = chosen_distance(distance, index.recipe.for_feature(None))
            except ValueError:
                return {"groups": [], "total": None, "distance": None}
            groups = self._of.duplicates(distance)
            shown = [values.group_values(self._of, group) for group in groups[:MAX_GROUPS]]
            return {"groups": shown, "total": len(groups), "distance": bound}

        return self._render("duplicates.html", **await self._desk.answer(known, is_long=True))

    async def download(self, request: Request) -> Response:
        """Give the chosen photos as a ZIP file, or the list of their paths."""
        ids = await chosen_ids(request)
        records = await self._desk.answer(self._of.held, ids)
        if ("as", "zip") not in request.state.fields:
            lines = "".join(f"{printable(str(record.path))}\n" for record in records)
            return PlainTextResponse(
                lines, headers={"Content-Disposition": 'attachment; filename="photos.txt"'}
            )
        names = {"Content-Disposition": 'attachment; filename="photos.zip"'}
        paths = [record.path for record in records]
        return StreamingResponse(_zipped(paths), media_type="application/zip", headers=names)

    def refuse(self, request: Request, status: int, message: str) -> Response:
        """Show what went wrong, and where to go from there."""
        words, photo = request.query_params.get("words", ""), request.query_params.get("q", "")
        known = {"words": words, "photo": photo if request.url.path == "/search" else ""}
        return self._render("error.html", status, status=status, message=message, **known)

    def _render(self, name: str, code: int = 200, **shown: Any) -> Response:
        text = self._templates.get_template(name).render(**shown)
        return HTMLResponse(text, code, {"Cache-Control": "no-store"})


def address(asked: Asked, **changes: Any) -> str:
    """Return the address of a search."""
    return "/search?" + urlencode(asked.changed(**changes).parameters(), safe=",:=")


def without_photo(asked: Asked, place: int) -> str:
    """Return the address of a search without one of its photos; of the others one must be liked."""
    left = [photo for number, photo in enumerate(asked.photos) if number != place]
    if left and sum(photo.weight for photo in left) <= 0:
        left[0] = Photo(left[0].key)
    return address(asked, photos=tuple(left))


def _toggled(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return _left(names, name) if name in names else (*names, name)


def _left(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)


def _zipped(paths: list[Path]) -> Iterator[bytes]:
    """Yield a ZIP file of photos, as they are, photo by photo."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(_Written(buffer), "w", zipfile.ZIP_STORED) as archive:
        for number, path in enumerate(paths, 1):
            try:
                archive.write(path, f"{number:03}_{printable(path.name)}")
            except (OSError, ValueError):
                continue  # gone since
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


class _Written(io.RawIOBase):
    """What a ZIP file is written to from beginning to end: it cannot be gone back in."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes."""
        return self._buffer.write(data)
