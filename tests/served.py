# SPDX-License-Identifier: MIT
"""The page on an index, really served: on a port of this machine, in a thread."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from semcbir.web.app import make_app
from semcbir.web.collection import Collection
from semcbir.web.serve import make_server


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Served:
    """A collection that is served until the block ends."""

    def __init__(self, collection: Collection, token: str | None = None, is_local: bool = True) -> None:
        self.collection = collection
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.place = f"http://127.0.0.1:{self.port}"
        self._server = make_server(make_app(collection, token, is_local=is_local))
        self._thread = threading.Thread(target=self._server.run, args=([self._listening],), daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._listening.close()

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, and return what comes back; nothing is followed or kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def form(self, path: str, data: bytes, fields: Mapping[str, str] | None = None) -> Answer:
        """Send a photo in a form, as a browser does."""
        edge = "----edge-of-a-part"
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
            for k, v in (fields or {}).items()
        ]
        head = 'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        body = (
            "".join(parts).encode() + f"--{edge}\r\n{head}".encode() + data + f"\r\n--{edge}--\r\n".encode()
        )
        return self.ask(path, "POST", body, {"Content-Type": f"multipart/form-data; boundary={edge}"})
