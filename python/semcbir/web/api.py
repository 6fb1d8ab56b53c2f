# SPDX-License-Identifier: MIT
"""The API: the page's questions, answered in JSON (``docs/api.md``, ``/api/v1/openapi.json``)."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from semcbir._core import __version__
from semcbir.images.given import read_image
from semcbir.index.lookup import Record
from semcbir.viewer import open_folder_of
from semcbir.web import values
from semcbir.web.asking import (
    Desk,
    RefusedError,
    asked_of,
    chosen_ids,
    distance_of,
    explained,
    integer,
    key_of,
    order_of,
    words_of,
)
from semcbir.web.openapi import description
from semcbir.web.safety import is_loopback
from semcbir.web.thumbnails import Thumbnails, encoded

PAGE = 500
"""The most images of a page of the collection."""
LARGE = 1600
"""The most pixels of the longer side of a photo that is shown large."""
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_FRESH = {"Cache-Control": "no-store"}


class Api:
    """The API on a collection."""

    def __init__(self, desk: Desk, thumbnails: Thumbnails, is_local: bool) -> None:
        self._desk = desk
        self._is_local = is_local
        self._thumbnails = thumbnails
        self._of = desk.collection

    def routes(self) -> list[Route]:
        """Return what is answered where."""
        return [
            Route("/api/v1/openapi.json", self.openapi),
            Route("/api/v1/info", self.info),
            Route("/api/v1/images", self.images),
            Route("/api/v1/images/{key}", self.image),
            Route("/api/v1/images/{key}/photo", self.photo),
            Route("/api/v1/images/{key}/segments", self.segments),
            Route("/api/v1/images/{key}/labels", self.labels),
            Route("/api/v1/search", self.search, methods=["GET", "POST"]),
            Route("/api/v1/find", self.find),
            Route("/api/v1/explain", self.explain),
            Route("/api/v1/contents", self.contents),
            Route("/api/v1/duplicates", self.duplicates),
            Route("/api/v1/skipped", self.skipped),
            Route("/api/v1/uploads", self.upload, methods=["POST"]),
            Route("/api/v1/images/{key}/open", self.open_folder, methods=["POST"]),
            Route("/api/v1/copies", self.copy, methods=["POST"]),
            Route("/thumbnails/{key}/{version}.webp", self.thumbnail),
        ]

    async def openapi(self, request: Request) -> Response:
        """Return the API's description."""
        return JSONResponse(description())

    async def info(self, request: Request) -> Response:
        """Return what the index is, and how far a run is that makes it."""
        state = await self._desk.answer(lambda: self._of.state)
        said: dict[str, Any] = {"version": __version__, "collection": self._of.where(), **vars(state)}
        if state.ready:
            index = await self._desk.answer(self._of.index)
            said |= {"images": len(index), "features": list(index.features), "classes": list(index.classes)}
        return JSONResponse(said, headers=_FRESH)

    async def images(self, request: Request) -> Response:
        """Return a part of the collection, in an order."""
        order, seed, offset = order_of(request, "folder")
        limit = integer(request, "limit", 100, 1, PAGE)
        part = await self._desk.answer(values.part_values, self._of, order, seed, offset, limit)
        return JSONResponse(part, headers=_FRESH)

    async def _record(self, request: Request) -> Record:
        key = key_of(request.path_params["key"])
        if isinstance(key, str):
            raise RefusedError(404, "expected the id of a photo of the index")
        return await self._desk.answer(self._of.record, key)

    async def image(self, request: Request) -> Response:
        """Return what is known of an image."""
        record = await self._record(request)
        said = await self._desk.answer(lambda: values.image_values(record, self._of.index()))
        return JSONResponse(said, headers=_FRESH)

    async def photo(self, request: Request) -> Response:
        """Return a photo, of at most LARGE pixels a side, decoded and encoded anew."""
        key = key_of(request.path_params["key"])

        def large() -> bytes:
            return encoded(Image.fromarray(read_image(self._of.source(key), LARGE)), 88)

        return Response(await self._desk.answer(large), media_type="image/webp", headers=_FRESH)

    async def segments(self, request: Request) -> Response:
        """Return which classes a photo shows, and in which colours they are drawn."""
        key = key_of(request.path_params["key"])
        other = request.query_params.get("beside")
        other_key = key_of(other) if other else None

        def seen() -> dict[str, Any]:
            beside = None if other_key is None else self._of.analysis(other_key)
            analysis, size = self._of.analysis(key), self._of.size(key)
            return values.segments_values(analysis, self._of.index(), size, beside)

        return JSONResponse(await self._desk.answer(seen), headers=_FRESH)

    async def labels(self, request: Request) -> Response:
        """Return a photo's label map: a PNG whose red and green are the label's low and high byte."""
        key = key_of(request.path_params["key"])

        def drawn() -> bytes:
            labels = self._of.analysis(key).label_map.astype(np.uint16)
            scale = min(1.0, 512 / max(labels.shape))
            size = max(1, round(labels.shape[1] * scale)), max(1, round(labels.shape[0] * scale))
            small = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint16)
            pixels = np.stack([small & 255, small >> 8, np.zeros_like(small)], axis=2).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            return buffer.getvalue()

        return Response(await self._desk.answer(drawn), media_type="image/png", headers=_FRESH)

    async def search(self, request: Request) -> Response:
        """Search for photos; with POST for the photo that is sent."""
        fields: list[tuple[str, str]] = []
        if request.method == "POST":
            token = await self._desk.receive_photo(request)
            fields = [("q", token), *getattr(request.state, "fields", ())]
        asked = asked_of(request, fields)

        def found() -> dict[str, Any]:
            results = self._of.search(asked)
            return {"query": asked.parameters()} | values.results_values(self._of, results)

        long = asked.smooth is not None  # the first such search compares every photo with every other
        return JSONResponse(await self._desk.answer(found, is_long=long), headers=_FRESH)

    async def find(self, request: Request) -> Response:
        """Find photos by the classes that they show."""
        _, words, page, k = words_of(request)

        def found() -> dict[str, Any]:
            images = self._of.find(words.only, words.without, words.shares, k, page)
            return values.found_values(self._of, images)

        return JSONResponse(await self._desk.answer(found), headers=_FRESH)

    async def explain(self, request: Request) -> Response:
        """Say why an image is as far from a photo as it is."""
        hit, asked = explained(request)
        why = await self._desk.answer(lambda: values.explanation_values(self._of.explain(asked, hit)))
        return JSONResponse(why, headers=_FRESH)

    async def contents(self, request: Request) -> Response:
        """Return which classes the photos show."""
        return JSONResponse(await self._desk.answer(lambda: values.contents_values(self._of.contents())))

    async def duplicates(self, request: Request) -> Response:
        """Return groups of near-duplicates."""
        distance = distance_of(request)

        def groups() -> list[Any]:
            return [values.group_values(self._of, group) for group in self._of.duplicates(distance)]

        return JSONResponse({"groups": await self._desk.answer(groups, is_long=True)}, headers=_FRESH)

    async def skipped(self, request: Request) -> Response:
        """Return the files that could not be read, and why."""

        def files() -> list[dict[str, str]]:
            return [values.skipped_values(one) for one in self._of.index().skipped]

        return JSONResponse({"skipped": await self._desk.answer(files)}, headers=_FRESH)

    async def open_folder(self, request: Request) -> Response:
        """Open the folder of a photo in the viewer of the machine that serves, for who sits before it."""
        record = await self._record(request)
        if not (self._is_local and request.client and is_loopback(request.client.host)):
            raise RefusedError(403, "a folder is opened on this machine alone, for a page that it alone sees")
        try:
            await self._desk.answer(open_folder_of, record.path)
        except RefusedError as error:
            raise RefusedError(error.status, f"{error}; its path can be copied") from None
        return Response(status_code=204, headers=_FRESH)

    async def copy(self, request: Request) -> Response:
        """Copy photos into the folder that the page was started with."""
        ids = await chosen_ids(request)
        return JSONResponse(await self._desk.answer(self._of.copy, ids, is_long=True), headers=_FRESH)

    async def upload(self, request: Request) -> Response:
        """Hold a photo that is sent; return its name."""
        return JSONResponse({"key": await self._desk.receive_photo(request)}, 201, headers=_FRESH)

    async def thumbnail(self, request: Request) -> Response:
        """Return a small photo; its address changes with its file."""
        record = await self._record(request)
        if values.version_of(record) != request.path_params["version"]:
            raise RefusedError(404, "the photo has changed")
        data = await self._desk.wait(self._thumbnails.get(record))
        return Response(data, media_type="image/webp", headers=_FOR_EVER)
