# SPDX-License-Identifier: MIT
"""What pages and the API have in common: requests to questions, questions to answers, errors to statuses."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect, Request

from semcbir._printable import printable
from semcbir._validate import listed
from semcbir.errors import ImageError, SemcbirError
from semcbir.web.asked import Asked
from semcbir.web.collection import ORDERS, Collection, NotThereError
from semcbir.web.safety import TooLargeError
from semcbir.words import Words, parse_words

AT_ONCE = 4
"""Questions that are answered at a time; others wait."""
MAX_CHOSEN = 2000
"""The most photos that are chosen."""
SLOW = 60.0
"""Seconds in which a photo must be sent."""
_Answer = TypeVar("_Answer")


class RefusedError(Exception):
    """A request that cannot be answered, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal(error: Exception) -> RefusedError:
    """Return what is answered to a request that raised ``error``."""
    if isinstance(error, RefusedError):
        return error
    message = printable(str(error))
    if isinstance(error, NotThereError):
        return RefusedError(404, message)
    if isinstance(error, TooLargeError):
        return RefusedError(413, message)
    if isinstance(error, ImageError):
        return RefusedError(422, message)
    if isinstance(error, SemcbirError):
        return RefusedError(503, message)
    if isinstance(error, (ValueError, TypeError)):
        return RefusedError(400, message)
    if isinstance(error, KeyError):
        return RefusedError(404, "the index has no such photo")
    if isinstance(error, OSError):
        return RefusedError(503, "a file of the index cannot be read now")
    raise error


class Desk:
    """Answers questions in threads, so many at a time."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._limit = anyio.CapacityLimiter(AT_ONCE)
        self._long = anyio.CapacityLimiter(1)

    async def answer(
        self, question: Callable[..., _Answer], *arguments: Any, is_long: bool = False
    ) -> _Answer:
        """Return what a question comes to. Raises RefusedError.

        One that ``is_long`` may take minutes: there is one at a time, which takes no other's place.
        """
        limit = self._long if is_long else self._limit
        try:
            # When the server ends, it does not wait for an answer that takes minutes.
            return await anyio.to_thread.run_sync(
                partial(question, *arguments), limiter=limit, abandon_on_cancel=True
            )
        except Exception as error:
            raise refusal(error) from error

    async def wait(self, coming: Awaitable[_Answer]) -> _Answer:
        """Return what comes of something that is not this desk's work. Raises RefusedError."""
        try:
            return await coming
        except Exception as error:
            raise refusal(error) from error

    async def receive_photo(self, request: Request) -> str:
        """Hold the photo of a request, its body or the only file of its form, and return its name."""
        async with arriving():
            if request.headers.get("content-type", "").startswith("multipart/form-data"):
                async with request.form(max_files=1, max_fields=50, max_part_size=2**16) as form:
                    files = [value for value in form.values() if not isinstance(value, str)]
                    if len(files) != 1:
                        raise RefusedError(400, f"image: expected one file, got {len(files)}")
                    data = await files[0].read()
                    request.state.fields = [(k, v) for k, v in form.multi_items() if isinstance(v, str)]
            else:
                data = await request.body()
        if not data:
            raise RefusedError(400, "image: expected a photo, got nothing")
        return await self.answer(self.collection.uploads.put, data)


@asynccontextmanager
async def arriving() -> AsyncIterator[None]:
    """Receive what a request sends, within SLOW seconds. Raises RefusedError for what is damaged."""
    try:
        async with asyncio.timeout(SLOW):
            yield
    except TimeoutError:
        raise RefusedError(408, f"what was sent took longer than {SLOW:g} s to come") from None
    except TooLargeError as error:
        raise refusal(error) from None
    except FormParserError as error:  # older versions of Starlette let it through
        raise RefusedError(400, f"the form is damaged: {error}") from None
    except ClientDisconnect:
        raise RefusedError(400, "the connection was closed") from None


def asked_of(request: Request, fields: Sequence[tuple[str, str]] = (), apart: Sequence[str] = ()) -> Asked:
    """Return what the parameters of a request, but those ``apart``, and ``fields`` ask for.

    Raises RefusedError.
    """
    given = [pair for pair in request.query_params.multi_items() if pair[0] not in apart]
    try:
        return Asked.parse([*given, *fields])
    except ValueError as error:
        raise refusal(error) from None


def explained(request: Request) -> tuple[int, Asked]:
    """Return which hit is to be explained, and of which search. Raises RefusedError."""
    hit = integer(request, "hit", 0, 0, 2**62)
    return hit, asked_of(request, apart=("hit",))


def words_of(request: Request) -> tuple[str, Words, int, int]:
    """Return the words of a request as they came and as they are meant, and its page of how many photos."""
    text = request.query_params.get("words", "")
    try:
        page = integer(request, "page", 1, 1, 2**31 - 1)
        return text, parse_words([text]), page, integer(request, "k", 60, 1, 500)
    except ValueError as error:
        raise RefusedError(400, f"words: {error}") from None


def integer(request: Request, name: str, usual: int, low: int, high: int) -> int:
    """Return a parameter that is an integer. Raises RefusedError."""
    text = request.query_params.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and low <= int(text) <= high):
        raise RefusedError(400, f"{name}: expected an integer from {low} to {high}, got {text[:60]!r}")
    return int(text)


def order_of(request: Request, usual: str) -> tuple[str, int, int]:
    """Return in which order the collection is asked for, its seed, and how many come before.

    Raises RefusedError.
    """
    order = request.query_params.get("order", usual)
    if order not in ORDERS:
        raise RefusedError(400, f"order: expected {listed(ORDERS)}, got {order[:60]!r}")
    return order, integer(request, "seed", 0, 0, 2**31), integer(request, "offset", 0, 0, 2**31)


async def chosen_ids(request: Request) -> list[int]:
    """Return the ids of a form, each once, 1 to MAX_CHOSEN of them. Raises RefusedError."""
    async with arriving(), request.form(max_files=0, max_fields=MAX_CHOSEN + 2) as form:
        texts = [text for text in form.getlist("id") if isinstance(text, str)]
        request.state.fields = [(k, v) for k, v in form.multi_items() if isinstance(v, str) and k != "id"]
    if not 1 <= len(texts) <= MAX_CHOSEN or not all(
        text.isascii() and text.isdigit() and len(text) < 19 for text in texts
    ):
        raise RefusedError(400, f"id: expected 1 to {MAX_CHOSEN} ids, got {len(texts)}")
    return list(dict.fromkeys(map(int, texts)))


def distance_of(request: Request) -> float | None:
    """Return the distance that a request names, None if it names none. Raises RefusedError."""
    text = request.query_params.get("distance", "")
    try:
        distance = float(text) if text else 0.0
    except ValueError:
        distance = math.nan
    if not 0 <= distance < math.inf:
        raise RefusedError(400, f"distance: expected a number of 0 or more, got {text[:60]!r}")
    return distance if text else None


def key_of(text: str) -> int | str:
    """Return an image's id, or the name of a photo that was sent. Raises RefusedError."""
    try:
        (photo,) = Asked.parse([("q", text)]).photos
    except ValueError as error:
        raise RefusedError(404, str(error)) from None
    return photo.key
