# SPDX-License-Identifier: MIT
"""Roots: the folders in which an index found its images.

No root lies inside a scanned one (``claims`` sees to it), so every file has one place in the catalogue.
Folders are compared by their real paths too: a root keeps the name that the user gave it, and is the same
root under any other name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from semcbir.index.catalog import Catalog
from semcbir.index.whereabouts import find_root


@dataclass(frozen=True)
class Root:
    """A folder that images were found in, with its number and its state in the catalogue.

    ``lost`` is true if nobody knows where it is now: ``folder`` is where it was, and may be another one.
    """

    id: int
    folder: Path
    state: str
    lost: bool = False

    @property
    def scanned(self) -> bool:
        """Whether it is followed as a whole; of other roots a refresh looks at single files only."""
        return self.state == "scanned"

    @cached_property
    def real(self) -> str:
        """The folder's path without symbolic links."""
        return os.path.realpath(self.folder)

    def relative(self, file: Path) -> bytes:
        """Return the catalogue's name for ``file``."""
        return os.fsencode(file.relative_to(self.folder).as_posix())

    def file(self, relative: bytes) -> Path:
        """Return the file that the catalogue calls ``relative``."""
        return self.folder / os.fsdecode(relative)

    def way_to(self, folder: str, real: str) -> bytes | None:
        """Return the catalogue's name for a folder at or below this one (b"": this one itself), or None.

        ``folder`` is its path, ``real`` the same without symbolic links.
        """
        rest = path_below(folder, os.fspath(self.folder))
        if rest is None:
            rest = path_below(real, self.real)
        return None if rest is None else os.fsencode(Path(rest).as_posix() if rest else "")


class Roots:
    """Roots of an index at one moment, oldest first, and which of them a path belongs to."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self._roots = tuple(roots)
        # A lost root comes last: the folder where it was may belong to another one by now.
        self._found_first = sorted(self._roots, key=lambda root: root.lost)
        self._by_name = _by_path((os.fspath(root.folder), root) for root in self._found_first)

    def __iter__(self) -> Iterator[Root]:
        return iter(self._roots)

    @cached_property
    def _by_real(self) -> dict[str, list[Root]]:
        return _by_path((root.real, root) for root in self._found_first)

    def around(self, folder: str, real: str) -> list[Root]:
        """Return the roots at or above a folder, the nearest first."""
        found: dict[Root, None] = {}
        for path, roots in ((folder, self._by_name), (real, self._by_real)):
            for place in (path, *parents(path)):
                found.update(dict.fromkeys(roots.get(place, ())))
        return list(found)

    def inside(self, folder: Path) -> list[Root]:
        """Return the roots that are ``folder``, or that lie in it."""
        name, real = os.fspath(folder), os.path.realpath(folder)
        return [
            root
            for root in self._roots
            if path_below(os.fspath(root.folder), name) is not None or path_below(root.real, real) is not None
        ]

    def place(self, path: Path) -> tuple[Root, Path] | None:
        """Return the root that a file or folder belongs to, and its path there; None if it has none.

        A file belongs to the scanned root around it, or to the root that is its folder; a folder to the
        scanned root that it is, or that is around it.
        """
        name, is_folder = os.fspath(path), path.is_dir()
        if found := _nearest(self._by_name, name, is_folder):
            return found
        # A file keeps its own name: a link to a photo is a photo.
        parent, own = os.path.split(name)
        other = os.path.realpath(name) if is_folder else os.path.join(os.path.realpath(parent), own)  # noqa: PTH118
        return _nearest(self._by_name, other, is_folder) or _nearest(self._by_real, other, is_folder)


def _by_path(pairs: Iterable[tuple[str, Root]]) -> dict[str, list[Root]]:
    found: dict[str, list[Root]] = {}
    for path, root in pairs:
        found.setdefault(path, []).append(root)
    return found


def _nearest(roots: dict[str, list[Root]], path: str, is_folder: bool) -> tuple[Root, Path] | None:
    for steps, place in enumerate((path, *parents(path))):
        for root in roots.get(place, ()):
            if root.scanned or (steps == 1 and not is_folder):
                return root, root.folder / (path_below(path, place) or "")
    return None


def parents(path: str) -> Iterator[str]:
    """Yield the folders above an absolute path, the nearest first."""
    while (parent := os.path.dirname(path)) != path:  # noqa: PTH120 - many thousands of strings
        yield parent
        path = parent


def path_below(path: str, folder: str) -> str | None:
    """Return the rest of ``path`` below ``folder`` ("" for the folder itself); None if it is not in there."""
    if path == folder:
        return ""
    start = folder if folder.endswith(os.sep) else folder + os.sep
    return path[len(start) :] if path.startswith(start) else None


def read_roots(catalog: Catalog, *, forgotten: bool = False) -> tuple[Root, ...]:
    """Return the roots of an index, oldest first; forgotten ones only on request."""
    index = os.path.realpath(catalog.folder)
    rows = [row for row in catalog.roots() if forgotten or row.state != "forgotten"]
    places = [find_root(catalog, row, index) for row in rows]
    return tuple(
        Root(row.id, place.folder, row.state, place.lost) for row, place in zip(rows, places, strict=True)
    )


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that do not lie inside another of them, each once, under its first name."""
    chosen: dict[str, Path] = {}
    for folder in folders:
        chosen.setdefault(os.path.realpath(folder), folder)
    names = {os.fspath(folder) for folder in chosen.values()}
    return [
        folder
        for real, folder in chosen.items()
        if names.isdisjoint(parents(os.fspath(folder))) and chosen.keys().isdisjoint(parents(real))
    ]
