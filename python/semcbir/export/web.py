# SPDX-License-Identifier: MIT
"""One request for a file: redirects, time limits, and what it means if something else comes.

A failure becomes a ``Cut`` if another try may help, and ``downloading`` decides whether to make one;
otherwise it becomes a ModelError. A web page that comes instead of the file is passed to ``drive``.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import IO
from urllib.parse import urlsplit

from semcbir._core import __version__
from semcbir.errors import ModelError
from semcbir.export.drive import confirmed_address

TIMEOUT = 30.0
"""Seconds that a server may take to answer, or pause in the middle."""
_PAGE = 1 << 20
_CONFIRMATIONS = 2
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_NO_WAY = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}


class Cut(Exception):  # noqa: N818 -- not an error yet: the next try may succeed
    """A try failed for a reason that may pass, after ``wait`` seconds if the server named a time.

    ``final``: it is unlikely to pass while the command runs (there is no network, for example), so do not
    wait.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, final: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.final = final


class Stale(Cut):
    """What has arrived so far is not the beginning of the file that the server has now."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, at most ten, to HTTP and HTTPS only, and never from HTTPS to HTTP.

    ``last`` is where the last one led.
    """

    last = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _require_web(newurl, encrypted=urlsplit(req.full_url).scheme == "https")
        self.last = newurl
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_web(address: str, *, encrypted: bool = False) -> None:
    allowed = ("https://",) if encrypted else ("http://", "https://")
    if not address.lower().startswith(allowed):
        raise ModelError(f"expected an address that begins with {' or '.join(allowed)}, got {address!r}")


class Session:
    """A series of requests that share cookies. Nothing but HTTP and HTTPS is ever opened."""

    def __init__(self) -> None:
        self._redirects = _Redirects()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), self._redirects)

    def open_file(self, address: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Open the file at ``address``, answering Google Drive's question whether to download it.

        The status is 200 or 206. Raises Cut for failures that may pass, and ModelError for others: the file
        does not exist, a web page comes in its place, redirects never end.
        """
        place = address
        for _ in range(_CONFIRMATIONS + 1):
            response = self._open(place, headers)
            try:
                page = _read_page(response)
            except BaseException:
                response.close()
                raise
            if page is None:
                return response
            response.close()
            place = confirmed_address(response.url, page)
            _require_web(place, encrypted=urlsplit(response.url).scheme == "https")
        raise ModelError(f"cannot download {address}: the server asks for confirmation again and again")

    def _open(self, address: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        _require_web(address)
        standing = {"User-Agent": f"semcbir/{__version__}", "Accept-Encoding": "identity"}
        self._redirects.last = address
        try:
            request = urllib.request.Request(address, headers=standing | headers)
            response: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(address, self._redirects.last, error) from error
        except urllib.error.URLError as error:
            raise _unreachable(address, self._redirects.last, error.reason) from error
        except (ValueError, http.client.InvalidURL) as error:
            raise ModelError(f"cannot download {address}: a redirect is not valid ({error})") from error
        except (OSError, http.client.HTTPException) as error:
            who = _server(address, self._redirects.last)
            raise Cut(f"{who} does not answer ({str(error) or type(error).__name__})") from error
        return response


def _server(address: str, last: str) -> str:
    """Return what to call the server that failed: its name if a redirect led there."""
    host = urlsplit(last).hostname
    return "the server" if host == urlsplit(address).hostname else f"{host}, redirected to,"


def _refused(address: str, last: str, error: urllib.error.HTTPError) -> Exception:
    """Return the error for a status other than success: a Cut if it may pass, else a ModelError."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return Stale("the server does not have the rest of the file")
    if error.code in _PASSING:
        wait = error.headers.get("Retry-After", "")
        said = f"{_server(address, last)} answered {error.code} {error.reason}"
        return Cut(said, wait=float(wait) if wait.isdecimal() else 0.0)
    if 300 <= error.code < 400:
        reason = str(error.reason).partition("\n")[0]
        return ModelError(f"cannot download {address}: the server's redirects lead nowhere ({reason})")
    gone = "; it may have been moved" if error.code in (404, 410) else ""
    said = f"{_server(address, last)} answered {error.code} {error.reason}{gone}"
    return ModelError(f"cannot download {address}: {said}")


def _unreachable(address: str, last: str, reason: object) -> Exception:
    """Return the error for a server that could not be connected to."""
    host = urlsplit(last).hostname or "the server"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ModelError(f"cannot download {address}: {host} does not prove who it is ({reason})")
    if isinstance(reason, socket.gaierror):
        return Cut(f"{host} was not found (is there a network connection?)", final=True)
    final = isinstance(reason, ConnectionRefusedError) or getattr(reason, "errno", None) in _NO_WAY
    return Cut(f"{host} cannot be reached ({reason})", final=final)


def _read_page(response: http.client.HTTPResponse) -> str | None:
    """Return the text of the answer if it is a web page, or None if it is a file.

    A checkpoint never begins with "<", so an answer that does is a page, whatever type the server gives.
    """
    try:
        named = response.headers.get_content_type() in ("text/html", "application/xhtml+xml")
        looks = (
            response.status == http.client.OK and response.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
        )
        if not (named or looks):
            return None
        return response.read(_PAGE).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise Cut(f"the connection was cut ({str(error) or type(error).__name__})") from error
