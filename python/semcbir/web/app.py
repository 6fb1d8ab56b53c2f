# SPDX-License-Identifier: MIT
"""The application: pages and API on a collection, behind what keeps others out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from semcbir.index.database import is_index
from semcbir.index.place import own_place
from semcbir.web.api import Api
from semcbir.web.asking import Desk, RefusedError
from semcbir.web.collection import Collection
from semcbir.web.pages import Pages
from semcbir.web.safety import Safety
from semcbir.web.thumbnails import Thumbnails

_STATIC = Path(__file__).with_name("static")


def make_app(
    collection: Collection, token: str | None = None, hosts: Iterable[str] = (), is_local: bool = False
) -> Starlette:
    """Return the application on a collection; ``token`` and ``hosts`` are those of Safety.

    ``is_local``: it is served to this machine alone, where folders may be opened.
    """
    desk = Desk(collection)
    target = collection.target
    pages = Pages(desk, is_local)
    thumbnails = Thumbnails(target if is_index(target) else own_place(target))
    api = Api(desk, thumbnails, is_local)

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, RefusedError) else getattr(error, "status_code", 500)
        message = (
            str(error)
            if isinstance(error, RefusedError)
            else getattr(error, "detail", "something went wrong")
        )
        if request.url.path.startswith(("/api/", "/thumbnails/")):
            return JSONResponse({"error": message}, status, {"Cache-Control": "no-store"})
        return pages.refuse(request, status, message)

    return Starlette(
        routes=[*pages.routes(), *api.routes(), Mount("/static", StaticFiles(directory=_STATIC))],
        middleware=[Middleware(Safety, token=token, hosts=list(hosts))],
        exception_handlers={RefusedError: refused, HTTPException: refused},
    )
