# SPDX-License-Identifier: MIT
"""Who may ask: the right host, no other site, with the token where one is needed; and what pages may load."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semcbir.web.uploads import MAX_BYTES

COOKIE = "semcbir_token"
_MAX_BODY = MAX_BYTES + 2**16
"""The most bytes of a request: a photo, and what stands around it in a form."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Return whether an address, or a name of one, is of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class TooLargeError(Exception):
    """A request has more bytes than it may have."""


class Safety:
    """Lets through what this machine's user asks for, and adds HEADERS to all answers.

    Without ``token`` only names of this machine are answered, so that no other site can be given its address
    (DNS rebinding). Requests that change something, and any that a browser says come from another site, must
    come from these pages. With ``token`` every request needs it: as a cookie, which an address with
    ``?token=`` sets, or as ``Authorization: Bearer``.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = token
        self._hosts = {host.casefold() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, protected)
            return
        await self._app(scope, _bounded(receive), protected)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or (self._token is None and not self._is_ours(host)):
            return _said(scope, 421, "this address is not one that semcbir answers")
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.casefold() != host.casefold()
        site = headers.get("sec-fetch-site", "none")
        changes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        navigates = headers.get("sec-fetch-mode") == "navigate" and not changes
        if foreign or (site in ("cross-site", "same-site") and not navigates):
            return _said(scope, 403, "this request comes from another site")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            return _said(scope, 400, "Content-Length: expected a number")
        if int(length) > _MAX_BODY:
            return _said(scope, 413, f"expected at most {_MAX_BODY} bytes")
        return None if self._token is None else self._without_token(scope, headers, self._token)

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        return name in self._hosts or is_loopback(name)

    def _without_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given and _same(given[-1], token) and scope["method"] == "GET":
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            answer = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if _same(_cookie(headers), token) or (scheme.lower() == "bearer" and _same(bearer, token)):
            return None
        said = "this page needs its token: open the address that `semcbir browse` printed"
        refused = _said(scope, 401, said)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused


def _said(scope: Scope, status: int, message: str) -> Response:
    """Return a refusal as the API says it, or as plain text."""
    if scope["path"].startswith("/api/"):
        return JSONResponse({"error": message}, status)
    return PlainTextResponse(message, status)


def _cookie(headers: Headers) -> str:
    try:
        cookie: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _bounded(receive: Receive) -> Receive:
    """Return what receives at most _MAX_BODY bytes, whatever the request's head says."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > _MAX_BODY:
            raise TooLargeError(f"expected at most {_MAX_BODY} bytes")
        return message

    return bounded
