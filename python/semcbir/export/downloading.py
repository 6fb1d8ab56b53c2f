# SPDX-License-Identifier: MIT
"""Downloading one large file over HTTP, so that a cut connection costs nothing but the cut.

What has come is in a part file; a small file beside it says of what, and which version of it (RFC 9110: the
entity tag, or the date of the last change). A later try asks for the rest of that very version (Range,
If-Range); where the server has no ranges, or another version, it begins again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from semcbir.errors import ModelError
from semcbir.export.web import Cut, NoSuchRange, Session
from semcbir.networks.cache import cannot_write

TRIES = 8
PAUSE = 1.0
"""Seconds before the second try; they double from try to try, up to LONGEST_PAUSE."""
LONGEST_PAUSE = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Transfer:
    """How far a download has come, in bytes; ``total`` is None where the server did not say."""

    done: int
    total: int | None


OnProgress = Callable[[Transfer], None] | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a part file holds the beginning of."""

    address: str
    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range may be given: a strong entity tag, else a date."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.modified

    def is_older_than(self, other: Part) -> bool:
        """Tell whether ``other`` is known to be another version."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified), (self.total, other.total))
        return any(mine is not None and its is not None and mine != its for mine, its in pairs)


def download(
    address: str,
    part: Path,
    *,
    size: int | None = None,
    verified: bool = False,
    on_progress: OnProgress = None,
) -> bool:
    """Download ``address`` into ``part``, going on where an earlier try stopped.

    ``size`` is what the file must have, if known; ``verified`` says that the caller will check its sha256, so
    that servers may be trusted to go on where they left off and need not say how long the file is. Returns
    whether some of ``part`` came from an earlier try. Raises ModelError where the server has no such file,
    gives something else, or cuts the connection TRIES times; what has come so far is kept then.
    """
    session = Session()
    resumed = False
    for number in range(TRIES):
        try:
            resumed |= _attempt(session, address, part, size, verified, on_progress)
            return resumed
        except Cut as cut:
            if number == TRIES - 1 or cut.final:
                kept = (
                    " What has come is kept, and the same command goes on from there." if _size(part) else ""
                )
                raise ModelError(f"cannot download {address}: {cut}.{kept}") from cut.__cause__
            time.sleep(min(LONGEST_PAUSE, cut.wait or PAUSE * 2**number))
    raise AssertionError("TRIES is at least 1")


def discard(part: Path) -> None:
    """Remove a part file and what says what it is of."""
    for file in (part, _record(part)):
        file.unlink(missing_ok=True)


def _attempt(
    session: Session, address: str, part: Path, size: int | None, verified: bool, on_progress: OnProgress
) -> bool:
    """Try once; return whether it went on from an earlier try."""
    known = _read_record(part)
    start = _size(part) if known and known.address == address else 0
    headers = {}
    if known and start:
        if start == known.total:
            return True
        if known.validator:
            headers["If-Range"] = known.validator
        elif not verified:
            start = 0  # Nothing would tell that the rest is of another version.
    if start:
        headers["Range"] = f"bytes={start}-"
    with _open(session, address, headers, part) as response:
        begin, new = _offered(response, address)
        if begin not in (0, start) or (begin and known and known.is_older_than(new)):
            discard(part)
            raise Cut("the file changed on the server")
        _check_length(response, new, size, verified, address)
        _require_room(part, (new.total or 0) - _size(part))
        _store(response, part, begin, new, on_progress)
    if new.total is not None and _size(part) < new.total:
        raise Cut(f"the connection was cut after {_size(part)} of {new.total} bytes")
    return begin > 0


def _open(session: Session, address: str, headers: dict[str, str], part: Path) -> http.client.HTTPResponse:
    try:
        return session.open_file(address, headers)
    except NoSuchRange:
        discard(part)
        raise


def _offered(response: http.client.HTTPResponse, address: str) -> tuple[int, Part]:
    """Return from which byte on the answer is, and what of."""
    version = {"etag": response.headers["ETag"], "modified": response.headers["Last-Modified"]}
    if response.status == http.client.PARTIAL_CONTENT:
        said = response.headers["Content-Range"] or ""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", said.strip())
        if not found or int(found[2]) + 1 != int(found[3]):
            raise ModelError(f"cannot download {address}: asked for the rest of the file, got {said!r}")
        return int(found[1]), Part(address=address, total=int(found[3]), **version)
    return 0, Part(address=address, total=response.length, **version)


def _check_length(
    response: http.client.HTTPResponse, new: Part, size: int | None, verified: bool, address: str
) -> None:
    if new.total is not None and size is not None and new.total != size:
        raise ModelError(f"{address} is not the file it was: {new.total} bytes, expected {size}")
    if new.total is None and size is None and not verified and not response.chunked:
        raise ModelError(
            f"cannot download {address}: the server does not say how long the file is, so that a cut "
            "connection could not be told from its end"
        )


def _require_room(part: Path, needed: int) -> None:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(part.parent).free
    except OSError as error:
        raise cannot_write(part, error) from error
    if free < needed:
        raise ModelError(f"cannot write {part}: it needs {needed} bytes more, and {free} are free there")


def _store(
    response: http.client.HTTPResponse, part: Path, begin: int, new: Part, on_progress: OnProgress
) -> None:
    """Write what comes to ``part`` from byte ``begin`` on; an interrupt leaves what has come so far."""
    done = begin
    try:
        with part.open("r+b" if begin else "wb") as file:
            file.truncate(file.seek(begin))
            _record(part).write_text(json.dumps(asdict(new)), encoding="utf-8")
            while chunk := _read(response):
                file.write(chunk)
                done += len(chunk)
                if on_progress:
                    on_progress(Transfer(done, new.total))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(part, error) from error


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


def _read_record(part: Path) -> Part | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Part(**json.loads(_record(part).read_text(encoding="utf-8")))
    return None
