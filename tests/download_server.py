# SPDX-License-Identifier: MIT
"""A web server in a thread that serves files well or badly, and records the requests."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    headers: Message


class Answer:
    """The answer for a path; this base class serves a short body with a status and headers."""

    def __init__(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.body, self.status = body, status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def serve(self, handler: Handler, asked: Asked) -> None:
        handler.send_response(self.status)
        for name, value in {"Content-Length": str(len(self.body)), **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body)


@dataclass
class File(Answer):
    """A file.

    ``cuts``: the next answers end after these numbers of bytes of the body; later ones are complete.
    ``ignores_if_range``: the server continues with whatever it has now. ``says_length`` false: the file ends
    where the connection ends.
    """

    content: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    ignores_if_range: bool = False
    says_length: bool = True
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)
    silent: bool = False

    def serve(self, handler: Handler, asked: Asked) -> None:
        start = self._start(asked)
        total = len(self.content)
        if start and start >= total:
            Answer(status=416, Content_Range=f"bytes */{total}").serve(handler, asked)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        for name, value in (("ETag", self.etag), ("Last-Modified", self.modified)):
            if value:
                handler.send_header(name, value)
        handler.send_header("Content-Type", "application/octet-stream")
        if self.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        elif self.says_length:
            handler.send_header("Content-Length", str(total - start))
        handler.end_headers()
        body = self.content[start:]
        if self.cuts:
            body = body[: self.cuts.pop(0)]
            handler.close_connection = True
        elif self.chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        handler.wfile.write(body)
        if self.silent:
            handler.wfile.flush()
            time.sleep(2)

    def _start(self, asked: Asked) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
        if not (found and self.ranges):
            return 0
        condition = asked.headers.get("If-Range")
        if condition and condition not in (self.etag, self.modified) and not self.ignores_if_range:
            return 0
        return int(found[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        asked = Asked(address.path, query, self.headers)
        self.server.asked.append(asked)
        answers = self.server.answers.get(address.path, Answer(b"nothing here", 404))
        answer = answers
        if isinstance(answers, list):
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        assert isinstance(answer, Answer)
        answer.serve(self, asked)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """``answers`` maps paths to answers, or to lists of answers: one per request, the last one repeated."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[Asked] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep silent about clients that disconnected in the middle."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


@contextmanager
def running_server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
