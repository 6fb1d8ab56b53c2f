# SPDX-License-Identifier: MIT
"""Google Drive's web pages: the form before a large file, and the pages that come when it is refused.

Drive does not scan large files for viruses, and asks whether to download them anyway. ``web`` makes the
requests; this module knows the address to start from and where each page leads.
"""

from __future__ import annotations

import contextlib
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

from semcbir.errors import ModelError

ADDRESS = "https://drive.usercontent.google.com/download?id={id}&export=download"
_HOSTS = (".google.com", ".googleusercontent.com")


def file_address(gdrive_id: str) -> str:
    """Return the address to download the file ``gdrive_id`` from."""
    return ADDRESS.format(id=gdrive_id)


class _Page(HTMLParser):
    """Finds a page's title, and the form with Drive's question."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.title = ""
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._tag = ""
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._tag = tag
        if tag == "form":
            self._inside = given.get("id") == "download-form"
            if self._inside:
                self.action = given.get("action", "")
        elif tag == "input" and self._inside and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""
        if tag == "form":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._tag == "title":
            self.title += data


def confirmed_address(came_from: str, page: str) -> str:
    """Return the address that the form with Drive's question leads to.

    ``page`` is what came from ``came_from`` instead of a file. Raises ModelError if it is any other page: the
    quota is used up, signing in is required, or it is not Drive's.
    """
    found = _Page(page)
    said = " ".join(page.lower().split())
    if "quota exceeded" in said or "too many users have" in said:
        raise ModelError(
            f"cannot download {came_from}: Google Drive says that too many users have downloaded it lately. "
            "Try again after a day, or download it with a browser and use `semcbir models export NAME "
            "--checkpoint FILE`"
        )
    if found.action is not None and "confirm" in found.fields:
        with contextlib.suppress(ValueError):  # The action may not be a valid address.
            target = urljoin(came_from, found.action)
            host, home = urlsplit(target).hostname or "", urlsplit(came_from).hostname
            if host == home or host.endswith(_HOSTS):
                path = target.partition("?")[0].partition("#")[0]
                return f"{path}?{urlencode(found.fields)}"
    title = " ".join(found.title.split())
    raise ModelError(
        f"cannot download {came_from}: a web page came instead of the file"
        + (f", titled {title[:80]!r}" if title else "")
        + "; open the address in a browser to see it"
    )
