# SPDX-License-Identifier: MIT
"""What the page refuses: other hosts and sites, paths, too much, too slow; names are never markup."""

from __future__ import annotations

import io
import os
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the page needs the extra web")
pytest.importorskip("jinja2", reason="the page needs the extra web")
pytest.importorskip("starlette", reason="the page needs the extra web")

from semcbir import Index
from semcbir.cli.app import app as command
from semcbir.web import asking, patience
from semcbir.web.collection import Collection
from semcbir.web.safety import HEADERS
from semcbir.web.uploads import MAX_BYTES
from served import Served
from tiny_models import tiny_model

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index of photos, and a network, whose names are meant to hurt."""
    folder = tmp_path_factory.mktemp("web")
    photos = folder / "photos"
    photos.mkdir()
    names = ["plain.png", "' onerror=alert(1) x='.png", '"><img src=x onerror=alert(1)>.png', "a&lt;b.png"]
    if sys.platform != "win32":
        names += ["two\r\nSet-Cookie: a=b\r\n.png", "{{7*7}}.png", os.fsdecode(b"\xff\xfe.png")]
    for number, name in enumerate(names):
        with (photos / name).open("wb") as file:
            Image.new("RGB", (60, 40), (200, 30 * number, 10)).save(file, "PNG")
    (photos / "broken<b>.jpg").write_bytes(b"no image")
    model = tiny_model(folder / "tiny.onnx", classes=["nothing", SCRIPT, "green", "blue", "dark"])
    return Index.build(photos, folder / "index", model=model, features="hog", device="cpu")


@pytest.fixture(scope="module")
def page(index: Index) -> Iterator[Served]:
    with Served(Collection(index.path)) as served:
        yield served


PAGES = [
    "/",
    "/search?q=1",
    "/find?words=green",
    "/explain?q=1&hit=2",
    "/collection",
    "/duplicates?distance=9",
]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "10.0.0.1"]
)
def test_a_foreign_host_is_refused(page: Served, host: str) -> None:
    for path in [*PAGES, "/api/v1/info", "/static/page.js"]:
        answer = page.ask(path, headers={"Host": host})
        message = "this address is not one that semcbir answers"
        said = answer.json["error"] if path.startswith("/api/") else answer.text
        assert (answer.status, said) == (421, message), path


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:80", "LOCALHOST:9", "127.9.9.9"])
def test_names_of_this_machine_are_answered(page: Served, host: str) -> None:
    assert page.ask("/api/v1/info", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_requests_of_other_sites_are_refused(page: Served, index: Index, headers: dict[str, str]) -> None:
    data = index[0].path.read_bytes()
    for path in ("/api/v1/uploads", "/api/v1/search", "/search", "/download"):
        answer = page.ask(path, "POST", data, headers)
        said = answer.json["error"] if path.startswith("/api/") else answer.text
        assert (answer.status, said) == (403, "this request comes from another site"), path


def test_a_link_from_elsewhere_opens_the_page_and_nothing_else_does(page: Served) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.ask("/", headers=link).status == 200
    assert page.ask("/api/v1/images/1/photo", headers=link | {"Sec-Fetch-Mode": "no-cors"}).status == 403
    own = {"Origin": page.place, "Sec-Fetch-Site": "same-origin"}
    assert (
        page.ask(
            "/download", "POST", b"id=1", own | {"Content-Type": "application/x-www-form-urlencoded"}
        ).status
        == 200
    )


def test_every_answer_says_what_it_may_load(page: Served) -> None:
    for path in [
        *PAGES,
        "/api/v1/info",
        "/static/page.js",
        "/nothing",
        "/search?q=x",
        "/api/v1/images/1/photo",
    ]:
        answer = page.ask(path)
        for name, value in HEADERS.items():
            assert answer.headers[name.lower()] == value, path
        assert "access-control-allow-origin" not in answer.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    refused = page.ask("/", headers={"Host": "evil.example"})
    assert refused.headers["content-security-policy"] == policy


@pytest.mark.parametrize(
    "path",
    [
        "/static/../serve.py",
        "/static/..%2fserve.py",
        "/static/%2e%2e/serve.py",
        "/static//etc/passwd",
        "/thumbnails/..%2f..%2fcatalog.sqlite/x.webp",
        "/thumbnails/1/..%2f..%2fcatalog.sqlite",
        "/api/v1/images/%2fetc%2fpasswd/photo",
        "/api/v1/images/1%00/photo",
        "/catalog.sqlite",
        "//etc/passwd",
    ],
)
def test_no_file_is_reached_by_a_path(page: Served, path: str) -> None:
    answer = page.ask(path)
    assert answer.status in (404, 400), path
    assert b"SPDX" not in answer.body
    assert b"root:" not in answer.body


def test_photos_are_encoded_anew(index: Index, tmp_path: Path, page: Served) -> None:
    """What a file has become since, or has beside its pixels, is not given away."""
    before = index[1].path.read_bytes()
    index[1].path.write_bytes(b"secret of another file")
    try:
        for path in ("/api/v1/images/1/photo", page.ask("/api/v1/images/1").json["thumbnail"]):
            answer = page.ask(path)
            assert (answer.status, b"secret" in answer.body) == (422, False)
    finally:
        index[1].path.write_bytes(before)


def test_names_are_never_markup_nor_headers(page: Served) -> None:
    for path in [
        *PAGES,
        f"/find?words={'%3Cscript%3Ealert(1)%3C/script%3E'}",
        "/search?q=%3Cscript%3E",
        "/%3Cscript%3E",
    ]:
        answer = page.ask(path)
        for bad in (SCRIPT, "<script>", "<img src=x", "onerror=alert(1) x='", "broken<b>"):
            text = answer.text.replace('<script type="module" src="/static/page.js">', "")
            raw = bad.replace("onerror=alert(1) x='", "' onerror=alert(1) x='")
            assert raw not in text, (path, bad)
        assert "49.png" not in answer.text, "a name is no template"
        assert "set-cookie" not in answer.headers
    assert "&lt;script&gt;alert(1)" in page.ask("/collection").text


def test_a_list_of_paths_has_a_line_for_each(page: Served, index: Index) -> None:
    ids = "&".join(f"id={record.id}" for record in index)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = page.ask("/download", "POST", f"{ids}&as=list".encode(), form)
    assert len(answer.text.splitlines()) == len(index)
    assert answer.headers["content-disposition"] == 'attachment; filename="photos.txt"'
    import zipfile

    packed = page.ask("/download", "POST", f"{ids}&as=zip".encode(), form)
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == len(index)
        assert all("/" not in name and "\\\\" not in name and "\n" not in name for name in archive.namelist())
        assert archive.read(archive.namelist()[0]) == index[0].path.read_bytes()
    for body in (b"as=zip", b"id=x", b"id=-1", b"id=" + b"9" * 30, b"&".join([b"id=1"] * 2003)):
        assert page.ask("/download", "POST", body, form).status == 400, body[:20]
    assert page.ask("/download", "POST", b"id=999", form).status == 404


def test_too_much_is_refused(page: Served) -> None:
    head = "POST /api/v1/uploads HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: {MAX_BYTES + 2**20}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        block = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n"
        try:
            for _ in range(MAX_BYTES // 2**20 + 2):
                connection.sendall(block)
        except OSError:
            pass  # it was cut off
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_slow_upload_is_given_up(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SLOW", 0.3)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        connection.sendall(
            b"POST /api/v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    assert page.ask("/api/v1/info").status == 200, "others are not held up"


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n"])
def test_a_connection_that_does_not_say_what_it_wants_is_closed(
    page: Served, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(patience, "HEAD", 0.3)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        connection.sendall(said)
        assert connection.recv(100) == b""
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        whole = b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for part in (whole[:9], whole[9:]):
            connection.sendall(part)
            time.sleep(0.1)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /")  # and then no more, on a connection that was good
        while connection.recv(1000):
            pass


def bomb(side: int) -> bytes:
    """A PNG of a few kB that says it is ``side`` pixels each way."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("data", [b"no image", b"GIF89a", bomb(60_000), b"\x89PNG\r\n\x1a\n", b"<svg/>"])
def test_what_is_no_image_or_a_bomb_is_refused(page: Served, data: bytes) -> None:
    answer = page.ask("/api/v1/uploads", "POST", data)
    assert answer.status == 422
    assert answer.json["error"].startswith("what was sent cannot be read as a photo: ")
    assert page.form("/search", data).status == 422
    assert page.ask("/api/v1/uploads", "POST", b"").status == 400


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary="]
)
def test_broken_forms_are_refused(page: Served, kind: str) -> None:
    for body in (
        b"",
        b"--x\r\n",
        b"nonsense",
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
    ):
        for path in ("/api/v1/search", "/api/v1/uploads", "/search", "/download"):
            assert page.ask(path, "POST", body, {"Content-Type": kind}).status == 400, path


def test_methods_that_there_are_not(page: Served) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        assert page.ask("/api/v1/images/1", method, b"").status == 405
    assert page.ask("/", "HEAD").body == b""


def test_with_a_token_everything_needs_it(index: Index) -> None:
    token = "a-token-that-nobody-can-guess"
    with Served(Collection(index.path), token) as page:
        for path in ["/", "/api/v1/info", "/static/page.css", "/api/v1/images/1/photo"]:
            assert page.ask(path).status == 401, path
            assert page.ask(path, headers={"Cookie": "semcbir_token=wrong"}).status == 401
            assert page.ask(path, headers={"Authorization": "Bearer wrong"}).status == 401
            assert page.ask(f"{path}?token=wrong").status == 401
            assert page.ask(path, headers={"Authorization": f"Bearer {token}"}).status == 200
        opened = page.ask(f"/search?q=1&token={token}&k=3")
        assert (opened.status, opened.headers["location"]) == (303, "/search?q=1&k=3")
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        given = {"Cookie": cookie.split(";")[0], "Host": "photos.example:8427"}
        assert page.ask("/search?q=1&k=3", headers=given).status == 200
        assert (
            page.ask("/api/v1/uploads", "POST", b"x", given | {"Origin": "http://evil.example"}).status == 403
        )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "0.0.0.0 can be reached from other machines, so the page needs --token"),
        (["--host", "192.168.1.9"], 2, "so the page needs --token (--token new makes one)"),
        (["--token", "short"], 2, "expected 16 characters or more"),
        (["--port", "65536"], 2, "65536"),
        (["--host", "no.such.host.invalid", "--token", "new"], 1, "no.such.host.invalid, port 8427:"),
    ],
)
def test_what_cannot_be_served_is_said(
    index: Index, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        command(["browse", str(index.path), *arguments, "--no-open"], "semcbir")
    assert stop.value.code == code
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_port_that_is_taken_is_said(index: Index, page: Served, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command(["browse", str(index.path), "--port", str(page.port), "--no-open"], "semcbir")
    assert stop.value.code == 1
    assert (
        f"127.0.0.1, port {page.port}: address already in use; --port takes another"
        in capsys.readouterr().err
    )
