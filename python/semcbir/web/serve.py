# SPDX-License-Identifier: MIT
"""Serving the page: the address, the run that brings the index up to date, and an orderly end."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from semcbir.errors import SemcbirError
from semcbir.index.database import is_index
from semcbir.index.place import index_place
from semcbir.web.app import make_app
from semcbir.web.collection import Collection
from semcbir.web.patience import PatientProtocol
from semcbir.web.safety import is_loopback

MOST_AT_ONCE = 200
"""Connections that are served at a time; more are told to come again."""
NEW = "new"
"""The token that stands for one that nobody knows yet."""


def require_photos(target: Path) -> None:
    """Raise what ``index_place`` raises unless ``target`` is an index or a folder."""
    if not target.is_dir():
        index_place(target)


def serve(
    target: Path,
    host: str,
    port: int,
    token: str | None,
    on_ready: Callable[[str], None],
    copies: Path | None = None,
) -> None:
    """Serve the page on ``target`` until the process is interrupted.

    Photos can be copied into the folder ``copies``. ``on_ready`` is given the page's address when it can be
    opened. Port 0 is any that is free. Raises SemcbirError if the address cannot be used.
    """
    token = secrets.token_urlsafe(24) if token == NEW else token
    listening = _listen(host, port)
    collection = Collection(target, copies=copies)
    names = [] if host in ("0.0.0.0", "::") else [host]
    server = make_server(make_app(collection, token, names, is_loopback(host)))
    follower = threading.Thread(target=collection.follow, daemon=True)
    if not is_index(target):
        collection.begin()
        follower.start()
    shown = f"[{host}]" if ":" in host else host
    place = f"http://{shown}:{listening.getsockname()[1]}/"
    on_ready(place + (f"?token={token}" if token else ""))
    try:
        with suppress(KeyboardInterrupt):  # that is how it ends
            server.run(sockets=[listening])
    finally:
        collection.stop()
        if follower.is_alive():
            follower.join()
        listening.close()


def make_server(app: Starlette) -> uvicorn.Server:
    """Return what serves ``app``, within bounds."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        log_level="critical",
        access_log=False,
        lifespan="off",
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
        server_header=False,
        ws="none",
    )
    return uvicorn.Server(config)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends without delay (TCP_NODELAY): else each answer waits 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)  # Who comes before the server is up waits, and is not refused.
    except OSError as error:
        listening.close()
        raise SemcbirError(
            f"{host}, port {port}: {(error.strerror or str(error)).lower()}; --port takes another"
        ) from None
    return listening
