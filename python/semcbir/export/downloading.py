# SPDX-License-Identifier: MIT
"""Download one large file into a part file, in several tries if need be, without starting over each time.

``download`` knows nothing about checkpoints: ``fetching`` decides what to download and whether it is right,
and ``web`` makes each request. Beside the part file, a small JSON file records the address and the version of
the file (RFC 9110: a strong entity tag, or the date of the last change). A later try asks for the rest of
exactly that version (Range, If-Range). If the server has another version, or cannot send just the rest, the
download starts over.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from semcbir._files import sync
from semcbir.errors import ModelError
from semcbir.export.web import Cut, Session, Stale

TRIES = 8
PAUSE = 1.0
"""Seconds before the second try; doubled for each further try, up to LONGEST_PAUSE."""
LONGEST_PAUSE = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Transfer:
    """How far a download has come, in bytes; ``total`` is None if the server did not say."""

    done: int
    total: int | None


OnProgress = Callable[[Transfer], None] | None


@dataclass(frozen=True)
class Version:
    """The file that a part file is the beginning of.

    ``validator`` is what If-Range takes: a strong entity tag, a date, or None if the server gave neither.
    """

    address: str
    validator: str | None
    total: int | None


def download(address: str, part: Path, *, on_progress: OnProgress = None) -> None:
    """Download ``address`` into ``part``, continuing where an earlier try stopped.

    Raises ModelError if the server does not have the file, sends something else, or cuts the connection TRIES
    times; what has arrived until then is kept.
    """
    session = Session()
    for number in range(TRIES):
        try:
            _attempt(session, address, part, on_progress)
            return
        except Cut as cut:
            if isinstance(cut, Stale):
                discard(part)
            if number == TRIES - 1 or cut.final:
                kept = ""
                if _size(part):
                    kept = " What has arrived is kept, and the same command goes on from there."
                raise ModelError(f"cannot download {address}: {cut}.{kept}") from cut.__cause__
            time.sleep(min(LONGEST_PAUSE, cut.wait or PAUSE * 2**number))


def discard(part: Path) -> None:
    """Remove a part file and its record."""
    for file in (part, _record(part)):
        file.unlink(missing_ok=True)


def _attempt(session: Session, address: str, part: Path, on_progress: OnProgress) -> None:
    old = _read_record(part) or Version("", None, None)
    kept = _size(part) if old.address == address else 0
    if kept and kept == old.total:
        return
    headers = {}
    if kept and old.validator:
        headers = {"Range": f"bytes={kept}-", "If-Range": old.validator}
    with session.open_file(address, headers) as response:
        if response.status == http.client.PARTIAL_CONTENT:
            start, new = kept, _rest(response, old, kept)
        else:
            start, new = 0, _whole(response, address)
        _require_room(part, (new.total or 0) - _size(part))
        _store(response, part, start, new, on_progress)
    if new.total is not None and _size(part) < new.total:
        raise Cut(f"the connection was cut after {_size(part)} of {new.total} bytes")


def _rest(response: http.client.HTTPResponse, old: Version, start: int) -> Version:
    """Return ``old`` if the answer is its rest, from byte ``start`` on. Raises Stale if it is not."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", (response.headers["Content-Range"] or "").strip())
    if (
        not found
        or int(found[1]) != start
        or old.total not in (None, int(found[2]))
        or _validator(response) not in (None, old.validator)
    ):
        raise Stale("the file changed on the server")
    return replace(old, total=int(found[2]))


def _whole(response: http.client.HTTPResponse, address: str) -> Version:
    """Return the version of the file that the answer holds from its beginning."""
    if response.length is None and not response.chunked:
        raise ModelError(
            f"cannot download {address}: the server does not say how long the file is, so a cut connection "
            "would look like its end"
        )
    return Version(address, _validator(response), response.length)


def _validator(response: http.client.HTTPResponse) -> str | None:
    tag: str | None = response.headers["ETag"]
    return tag if tag and not tag.startswith("W/") else response.headers["Last-Modified"]


def _require_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise ModelError(f"cannot write {part}: {needed} more bytes are needed there, and {free} are free")


def _store(
    response: http.client.HTTPResponse, part: Path, start: int, version: Version, on_progress: OnProgress
) -> None:
    """Append what arrives to ``part``, or replace it if ``start`` is 0; an interrupt keeps what arrived."""
    done = start
    with part.open("ab" if start else "wb") as file:
        _record(part).write_text(json.dumps(asdict(version)), encoding="utf-8")
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            if on_progress:
                on_progress(Transfer(done, version.total))
        file.flush()
        sync(file.fileno())


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Cut(f"the connection was cut ({str(error) or type(error).__name__})") from error


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _record(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_record(part: Path) -> Version | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Version(**json.loads(_record(part).read_text(encoding="utf-8")))
    return None
