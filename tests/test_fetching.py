# SPDX-License-Identifier: MIT
"""Downloads from a real server on this machine: cut, slow, moved, changed, refused, or simply wrong."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import socket
import sys
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from download_server import Answer, File, Server, closed_port, running_server
from semcbir.errors import ModelError
from semcbir.export import downloading, drive, web
from semcbir.export.downloading import Transfer
from semcbir.export.fetching import fetch, is_downloaded
from semcbir.networks.cache import checkpoint_file, fetch_lock
from semcbir.networks.published import PublishedModel, published

CONTENT = b"\x80\x02" + bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"\x80\x02" + bytes(range(255, -1, -1)) * 2000
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "PAUSE", 0.0)
    monkeypatch.setattr(web, "TIMEOUT", 5.0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def model(server: Server, path: str = "/file.pth", **facts: Any) -> PublishedModel:
    """A model whose checkpoint is at ``path``; only ``facts`` are published about it."""
    given = published("hrnet-w48-cocostuff")
    nothing = {
        "size": None,
        "sha256": None,
        "sha256_prefix": None,
        "gdrive_id": None,
        "url": server.url(path),
    }
    return dataclasses.replace(given, checkpoint=dataclasses.replace(given.checkpoint, **nothing | facts))


def part_of(wanted: PublishedModel, cache: Path) -> Path:
    place = checkpoint_file(cache, wanted)
    return place.with_name(place.name + ".part")


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {"fetch.lock"}


def ranges(server: Server) -> list[str | None]:
    return [asked.headers.get("Range") for asked in server.asked]


# --- what comes, and where it goes --------------------------------------------------------------------------


def test_a_checkpoint_is_downloaded_once(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    assert not is_downloaded(wanted, cache)
    seen: list[Transfer] = []
    place = fetch(wanted, cache, on_progress=seen.append)
    assert place == checkpoint_file(cache, wanted)
    assert place.read_bytes() == CONTENT
    assert is_downloaded(wanted, cache)
    assert seen[-1] == Transfer(len(CONTENT), len(CONTENT))
    assert [each.done for each in seen] == sorted({each.done for each in seen})
    assert names(place.parent) == {place.name, f"{place.name}.json"}
    assert fetch(wanted, cache) == place
    assert len(server.asked) == 1


def test_the_server_is_told_who_asks(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    fetch(model(server), cache)
    assert server.asked[0].headers["User-Agent"].startswith("semcbir/")
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "facts",
    [{"sha256": DIGEST}, {"sha256_prefix": DIGEST[:8]}, {"size": len(CONTENT)}],
    ids=["sha256", "prefix", "size"],
)
def test_what_is_published_is_checked(server: Server, cache: Path, facts: dict[str, Any]) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    assert fetch(model(server, **facts), cache).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"sha256": "0" * 64}, "not the published file"),
        ({"sha256_prefix": "00000000"}, f"its sha256 is {DIGEST[:8]}, expected 00000000"),
        ({"size": 5}, f"{len(CONTENT)} bytes, expected 5"),
    ],
    ids=["sha256", "prefix", "size"],
)
def test_another_file_than_the_published_is_refused(
    server: Server, cache: Path, facts: dict[str, Any], said: str
) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server, **facts)
    with pytest.raises(ModelError, match=said):
        fetch(wanted, cache)
    assert names(checkpoint_file(cache, wanted).parent) == set()
    assert len(server.asked) == 1


def test_the_first_download_pins_the_file(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    place = fetch(wanted, cache)
    pin = place.with_name(place.name + ".json")
    assert json.loads(pin.read_text()) == {
        "sha256": DIGEST,
        "size": len(CONTENT),
        "source": server.url("/file.pth"),
    }
    place.unlink()
    server.answers["/file.pth"] = File(OTHER)
    with pytest.raises(ModelError, match=f"not the file of the first download.*delete {pin}"):
        fetch(wanted, cache)
    assert names(place.parent) == {pin.name}
    pin.unlink()
    assert fetch(wanted, cache).read_bytes() == OTHER


def test_a_damaged_copy_is_downloaded_again(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    place = fetch(wanted, cache)
    place.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(wanted, cache).read_bytes() == CONTENT


@pytest.mark.parametrize("damage", ["", "[]", '{"sha256": 3}'], ids=["empty", "list", "short"])
def test_a_damaged_pin_is_named_and_does_not_count(server: Server, cache: Path, damage: str) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    pin = fetch(wanted, cache).with_name(wanted.checkpoint.file + ".json")
    pin.write_text(damage)
    assert not is_downloaded(wanted, cache)
    with pytest.raises(ModelError, match=f"{pin} is damaged"):
        fetch(wanted, cache)


def test_a_pin_is_whole_or_not_there(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stopped while writing the pin: half a pin must not make the next fetch fail.
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    pin = checkpoint_file(cache, wanted).with_name(wanted.checkpoint.file + ".json")
    written = Path.write_text

    def stopped(path: Path, data: str, **settings: Any) -> int:
        if ".part" in path.name:
            return written(path, data, **settings)
        written(path, data[:10], **settings)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(wanted, cache)
    assert not pin.exists()
    place = fetch(wanted, cache)
    assert place.read_bytes() == CONTENT
    assert names(place.parent) == {place.name, pin.name}


@pytest.mark.parametrize("beginning", [b"", b"{}", b"version https://git-lfs.github.com/spec/v1"])
def test_what_is_not_a_checkpoint_is_refused(server: Server, cache: Path, beginning: bytes) -> None:
    server.answers["/file.pth"] = File(beginning)
    wanted = model(server)
    with pytest.raises(ModelError, match="not a PyTorch checkpoint"):
        fetch(wanted, cache)
    assert not is_downloaded(wanted, cache)


# --- cut connections ----------------------------------------------------------------------------------------


def test_a_cut_download_asks_for_the_rest_only(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT, cuts=[HALF, 1000])
    seen: list[Transfer] = []
    place = fetch(model(server), cache, on_progress=seen.append)
    assert place.read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert [asked.headers.get("If-Range") for asked in server.asked] == [None, '"one"', '"one"']
    assert {each.total for each in seen} == {len(CONTENT)}


def test_a_date_replaces_a_missing_entity_tag(server: Server, cache: Path) -> None:
    date = "Mon, 01 Jun 2020 10:00:00 GMT"
    server.answers["/file.pth"] = File(CONTENT, etag='W/"weak"', modified=date, cuts=[HALF])
    assert fetch(model(server), cache).read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.asked[1].headers["If-Range"] == date


def test_without_either_it_begins_again(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT, etag=None, cuts=[HALF])
    assert fetch(model(server), cache).read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_a_server_without_ranges_begins_again(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT, ranges=False, cuts=[HALF])
    assert fetch(model(server), cache).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_file_that_changes_between_tries_is_not_joined(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = [File(CONTENT, cuts=[HALF]), File(OTHER, '"two"')]
    assert fetch(model(server), cache).read_bytes() == OTHER


@pytest.mark.parametrize("new", [OTHER, CONTENT + b"longer"], ids=["same length", "longer"])
def test_nor_by_a_server_that_ignores_if_range(server: Server, cache: Path, new: bytes) -> None:
    server.answers["/file.pth"] = [
        File(CONTENT, cuts=[HALF]),
        File(new, '"two"', ignores_if_range=True),
    ]
    assert fetch(model(server), cache).read_bytes() == new
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_a_damaged_part_makes_it_begin_again(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/file.pth"] = File(CONTENT, cuts=[HALF])
    wanted = model(server, sha256=DIGEST)
    with monkeypatch.context() as patch, pytest.raises(ModelError):
        patch.setattr(downloading, "TRIES", 1)
        fetch(wanted, cache)
    part_of(wanted, cache).write_bytes(bytes(HALF))
    assert fetch(wanted, cache).read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_a_rest_that_is_not_there_makes_it_begin_again(server: Server, cache: Path) -> None:
    shorter = CONTENT[:1000]
    server.answers["/file.pth"] = [
        File(CONTENT, cuts=[HALF]),
        File(shorter, ignores_if_range=True),
    ]
    assert fetch(model(server), cache).read_bytes() == shorter
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_cuts_without_end_are_given_up_and_kept(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "TRIES", 3)
    server.answers["/file.pth"] = File(CONTENT, cuts=[1000, 1000, 1000])
    wanted = model(server)
    with pytest.raises(ModelError, match=r"cut after 3000 of 512002 bytes.*goes on from there"):
        fetch(wanted, cache)
    assert part_of(wanted, cache).read_bytes() == CONTENT[:3000]
    assert not checkpoint_file(cache, wanted).exists()
    assert fetch(wanted, cache).read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=3000-"


def test_a_part_that_is_whole_needs_no_server(server: Server, cache: Path) -> None:
    # A crash between the last byte and the move.
    server.answers["/file.pth"] = File(CONTENT, cuts=[HALF])
    wanted = model(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloading, "TRIES", 1)
        with pytest.raises(ModelError):
            fetch(wanted, cache)
    part_of(wanted, cache).write_bytes(CONTENT)
    assert fetch(wanted, cache).read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("record", ["", "[]", '{"address": 5, "etag": "x"}'])
def test_a_part_of_unknown_origin_is_not_continued(server: Server, cache: Path, record: str) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    part = part_of(wanted, cache)
    part.parent.mkdir(parents=True)
    part.write_bytes(OTHER[:HALF])
    part.with_name(part.name + ".json").write_text(record)
    assert fetch(wanted, cache).read_bytes() == CONTENT
    assert ranges(server) == [None]


def test_a_short_file_without_a_length_is_not_taken_for_whole(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT, says_length=False, cuts=[HALF])
    wanted = model(server)
    with pytest.raises(ModelError, match="does not say how long the file is"):
        fetch(wanted, cache)
    assert not checkpoint_file(cache, wanted).exists()


def test_chunks_say_where_the_file_ends(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = [
        File(b"%x\r\n%s" % (len(CONTENT), CONTENT), chunked=True, cuts=[HALF]),
        File(CONTENT, chunked=True),
    ]
    assert fetch(model(server), cache).read_bytes() == CONTENT


def test_a_silent_server_does_not_hang_it(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    server.answers["/file.pth"] = [File(CONTENT, cuts=[HALF], silent=True), File(CONTENT)]
    assert fetch(model(server), cache).read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_passing_errors_are_tried_again(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(downloading.time, "sleep", waited.append)
    server.answers["/file.pth"] = [
        Answer(status=503, Retry_After="7"),
        Answer(status=429, Retry_After="86400"),
        Answer(status=500),
        File(CONTENT),
    ]
    assert fetch(model(server), cache).read_bytes() == CONTENT
    assert waited == [7.0, downloading.LONGEST_PAUSE, 0.0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_errors_are_not(server: Server, cache: Path, status: int) -> None:
    server.answers["/file.pth"] = Answer(status=status)
    with pytest.raises(ModelError, match=f"/file.pth: the server answered {status}"):
        fetch(model(server), cache)
    assert len(server.asked) == 1


def test_a_refused_connection_is_reported_at_once(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = model(server)
    nobody = dataclasses.replace(wanted.checkpoint, url=f"http://127.0.0.1:{closed_port()}/file.pth")
    monkeypatch.setattr(downloading.time, "sleep", lambda _seconds: pytest.fail("waited"))
    with pytest.raises(ModelError, match="127.0.0.1 cannot be reached"):
        fetch(dataclasses.replace(wanted, checkpoint=nobody), cache)


def test_an_unknown_host_is_reported_at_once(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_arguments: object, **_settings: object) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(web.urllib.request.OpenerDirector, "open", unknown)
    monkeypatch.setattr(downloading.time, "sleep", lambda _seconds: pytest.fail("waited"))
    with pytest.raises(ModelError, match="is there a network connection"):
        fetch(model(server), cache)


def test_an_interrupt_leaves_a_part_to_go_on_from(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)

    def interrupt(transfer: Transfer) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(wanted, cache, on_progress=interrupt)
    came = part_of(wanted, cache).stat().st_size
    assert 0 < came <= len(CONTENT)
    assert fetch(wanted, cache).read_bytes() == CONTENT
    assert ranges(server)[1:] == ([] if came == len(CONTENT) else [f"bytes={came}-"])


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN])
def test_an_unreachable_host_is_reported_at_once(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_way(*_arguments: object, **_settings: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(socket, "create_connection", no_way)
    monkeypatch.setattr(downloading.time, "sleep", lambda _seconds: pytest.fail("waited"))
    with pytest.raises(ModelError, match=f"127.0.0.1 cannot be reached.*{os.strerror(code)}"):
        fetch(model(server), cache)


# --- redirects ----------------------------------------------------------------------------------------------


def test_redirects_are_followed_with_the_range(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = Answer(status=302, Location="/there")
    server.answers["/there"] = File(CONTENT, cuts=[HALF])
    assert fetch(model(server), cache).read_bytes() == CONTENT
    assert [asked.path for asked in server.asked] == ["/file.pth", "/there"] * 2
    assert ranges(server)[-1] == f"bytes={HALF}-"


def test_a_redirect_loop_ends(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = Answer(status=302, Location="/back")
    server.answers["/back"] = Answer(status=302, Location="/file.pth")
    with pytest.raises(ModelError, match="redirects lead nowhere") as failed:
        fetch(model(server), cache)
    assert "\n" not in str(failed.value)
    assert len(server.asked) < 25


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/file.pth", "data:,x"])
def test_a_redirect_out_of_the_web_is_refused(server: Server, cache: Path, target: str) -> None:
    server.answers["/file.pth"] = Answer(status=302, Location=target)
    wanted = model(server)
    with pytest.raises(ModelError, match="redirects lead nowhere|expected an address"):
        fetch(wanted, cache)
    assert names(checkpoint_file(cache, wanted).parent) == set()


@pytest.mark.parametrize("target", ["http://[", f"http://{'a' * 64}.example/", "http://127.0.0.1:x/"])
def test_a_redirect_that_is_not_valid_is_refused_at_once(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    server.answers["/file.pth"] = Answer(status=302, Location=target)
    monkeypatch.setattr(downloading.time, "sleep", lambda _seconds: pytest.fail("waited"))
    with pytest.raises(ModelError, match="a redirect is not valid"):
        fetch(model(server), cache)
    assert len(server.asked) == 1


def test_the_server_that_failed_is_named(server: Server, cache: Path) -> None:
    there = server.url("/there").replace("127.0.0.1", "localhost")
    server.answers["/file.pth"] = Answer(status=302, Location=there)
    with pytest.raises(ModelError, match="/file.pth: localhost, redirected to, answered 404"):
        fetch(model(server), cache)
    server.answers["/file.pth"] = Answer(status=302, Location=f"http://localhost:{closed_port()}/there")
    with pytest.raises(ModelError, match="/file.pth: localhost cannot be reached"):
        fetch(model(server), cache)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = web.urllib.request.Request("https://example.org/file.pth")
    with pytest.raises(ModelError, match="begins with https://, got 'http://example.org/"):
        web._Redirects().redirect_request(request, None, 302, "", None, "http://example.org/x")  # type: ignore[arg-type]


def test_only_the_web_is_opened(server: Server, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file.pth").write_bytes(CONTENT)
    wanted = model(server, url=(tmp_path / "file.pth").as_uri())
    with pytest.raises(ModelError, match="begins with http:// or https://"):
        fetch(wanted, cache)


# --- web pages in place of files, Google Drive's among them -------------------------------------------------

WARNING = b"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="other" action="/wrong"><input type="hidden" name="confirm" value="no"></form>
<form id="download-form" action="/download?old=1" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="an-id"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="a&amp;b 1"></form>
</body></html>"""
QUOTA = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p>Sorry, you can't view or download this file at this time.</p></body></html>"""


@pytest.fixture
def on_drive(server: Server, monkeypatch: pytest.MonkeyPatch) -> PublishedModel:
    monkeypatch.setattr(drive, "ADDRESS", server.url("/uc?id={id}&export=download"))
    server.answers["/uc"] = Answer(WARNING, Content_Type="text/html; charset=utf-8")
    return model(server, url=None, gdrive_id="an-id")


def test_drives_question_is_answered(server: Server, cache: Path, on_drive: PublishedModel) -> None:
    server.answers["/download"] = File(CONTENT, cuts=[HALF])
    assert fetch(on_drive, cache).read_bytes() == CONTENT
    assert [asked.path for asked in server.asked] == ["/uc", "/download"] * 2
    answer = {"id": "an-id", "export": "download", "confirm": "t", "uuid": "a&b 1"}
    assert [server.asked[at].query for at in (0, 1)] == [{"id": "an-id", "export": "download"}, answer]
    assert server.asked[3].headers["Range"] == f"bytes={HALF}-"


def test_a_small_file_on_drive_comes_at_once(server: Server, cache: Path, on_drive: PublishedModel) -> None:
    server.answers["/uc"] = File(CONTENT)
    assert fetch(on_drive, cache).read_bytes() == CONTENT


def test_drives_quota_is_explained(server: Server, cache: Path, on_drive: PublishedModel) -> None:
    server.answers["/uc"] = Answer(QUOTA, Content_Type="text/html")
    with pytest.raises(ModelError, match="too many users have downloaded.*after a day.*models export"):
        fetch(on_drive, cache)
    assert names(checkpoint_file(cache, on_drive).parent) == set()


def test_a_question_without_end_ends(server: Server, cache: Path, on_drive: PublishedModel) -> None:
    server.answers["/download"] = server.answers["/uc"]
    with pytest.raises(ModelError, match="confirmation again and again"):
        fetch(on_drive, cache)
    assert len(server.asked) < 5


@pytest.mark.parametrize("target", [b"http://example.org/download", b"http://["])
def test_a_question_that_leads_elsewhere_is_not_answered(
    server: Server, cache: Path, on_drive: PublishedModel, target: bytes
) -> None:
    page = WARNING.replace(b"/download?old=1", target)
    server.answers["/uc"] = Answer(page, Content_Type="text/html")
    with pytest.raises(ModelError, match="a web page came instead of the file"):
        fetch(on_drive, cache)


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_web_page_is_never_saved(server: Server, cache: Path, kind: str) -> None:
    page = b"\n <html><head><title>Sign in\n please</title></head></html>"
    server.answers["/file.pth"] = Answer(page, Content_Type=kind)
    wanted = model(server)
    with pytest.raises(ModelError, match="a web page came instead of the file, titled 'Sign in please'"):
        fetch(wanted, cache)
    assert names(checkpoint_file(cache, wanted).parent) == set()


# --- the machine's own trouble ------------------------------------------------------------------------------


def test_a_disk_without_room_is_noticed_before_the_download(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cache.parent)._replace(free=1000)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _place: usage)
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    with pytest.raises(ModelError, match=f"{len(CONTENT)} more bytes are needed there, and 1000 are free"):
        fetch(wanted, cache)
    assert not part_of(wanted, cache).exists()


def test_a_disk_that_fills_up_leaves_a_part(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, file: BinaryIO) -> None:
            self.file, self.left = file, HALF

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_error: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: bytes) -> None:
            self.file.write(data[: self.left])
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **settings: Any) -> Any:
        file = opened(path, mode, *rest, **settings)
        return Full(file) if path.suffix == ".part" else file  # type: ignore[arg-type]

    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(ModelError, match="No space left.*SEMCBIR_CACHE"):
            fetch(wanted, cache)
    assert part_of(wanted, cache).read_bytes() == CONTENT[:HALF]
    assert fetch(wanted, cache).read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_cache_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=f"cannot write {tmp_path / 'file'}.*SEMCBIR_CACHE"):
        fetch(model(server), tmp_path / "file")
    assert server.asked == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_cache_that_cannot_be_written_is_named(server: Server, cache: Path) -> None:
    cache.mkdir(mode=0o500)
    with pytest.raises(ModelError, match=f"cannot write {cache}.*SEMCBIR_CACHE"):
        fetch(model(server), cache)


def test_a_second_fetch_of_the_same_is_told_of_the_first(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT)
    wanted = model(server)
    first = fetch_lock(checkpoint_file(cache, wanted).parent)
    with first, pytest.raises(ModelError, match="another process is fetching"):
        fetch(wanted, cache)
    assert fetch(wanted, cache).read_bytes() == CONTENT


def test_many_fetches_at_once_do_no_harm(server: Server, cache: Path) -> None:
    server.answers["/file.pth"] = File(CONTENT, cuts=[HALF])
    wanted = model(server)
    outcomes: list[bytes | str] = []

    def one() -> None:
        try:
            outcomes.append(fetch(wanted, cache).read_bytes())
        except ModelError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert CONTENT in outcomes
    assert all(each == CONTENT or "another process" in str(each) for each in outcomes)
    assert fetch(wanted, cache).read_bytes() == CONTENT


def test_importing_semcbir_does_not_import_the_web() -> None:
    import subprocess

    code = "import sys, semcbir, semcbir.cli.app; print({'urllib.request', 'ssl'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
