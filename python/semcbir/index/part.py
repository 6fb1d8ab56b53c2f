# SPDX-License-Identifier: MIT
"""Parts: an index of some of the photos of its folders, so that many machines make one index together.

Which part a photo belongs to depends on nothing but its path in its folder and the number of parts: parts
are disjoint, and each stays what it is while the folder grows.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from semcbir._files import display_path
from semcbir._validate import shown
from semcbir.index.catalog import Catalog
from semcbir.index.roots import Root, Roots, read_roots
from semcbir.index.rows import RowError

MOST = 2**20
"""The most parts of an index."""
KEY = "part"
"""In the catalogue's ``meta``, of an index that is a part."""
_TEXT = re.compile(r"([0-9]{1,7})/([0-9]{1,7})")


@dataclass(frozen=True, order=True)
class Part:
    """The ``number``-th of so many parts, from 1 on; as text "number/parts"."""

    number: int
    parts: int

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"

    def has(self, relative: bytes) -> bool:
        """Return whether the file that the catalogue calls ``relative`` belongs to this part."""
        return part_of(relative, self.parts) == self

    @classmethod
    def of_index(cls, catalog: Catalog) -> Self | None:
        """Return which part an index is, None for a whole one."""
        stored = catalog.meta(KEY)
        if stored is None:
            return None
        try:
            return cls.parse(stored)
        except (TypeError, ValueError) as error:
            raise RowError(str(error)) from None

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the part that "I/N" names. Raises TypeError or ValueError for anything else."""
        if not isinstance(text, str):
            raise TypeError(f"part: expected I/N as text, as in '3/16', got {shown(text)}")
        found = _TEXT.fullmatch(text)
        number, parts = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= parts <= MOST:
            raise ValueError(f"part: expected I/N with I from 1 to N, as in '3/16', got {shown(text)}")
        return cls(number, parts)


def part_of(relative: bytes, parts: int) -> Part:
    """Return the part of so many that the file ``relative`` of a folder belongs to."""
    digest = hashlib.blake2b(relative, digest_size=8).digest()
    return Part(1 + int.from_bytes(digest, "little") % parts, parts)


def require_part(folder: Path, catalog: Catalog, part: Part | None) -> None:
    """Raise ValueError unless the index at ``folder`` is this ``part``; None: whatever it is."""
    held = Part.of_index(catalog)
    if part is not None and part != held:
        what = "all photos" if held is None else f"part {held}"
        raise ValueError(
            f"part: index {display_path(folder)} is of {what} of its folders, got {part}; "
            "choose another place for this part"
        )


def require_own(catalog: Catalog, files: Iterable[Path]) -> None:
    """Raise ValueError unless all single files belong to this index's part of folders that it follows."""
    held = Part.of_index(catalog)
    if held is None:
        return
    roots = Roots(read_roots(catalog))
    for file in files:
        place = roots.place(file)
        if place is None:
            raise ValueError(
                f"{display_path(file)} is in no folder of index {display_path(catalog.folder)}, which is "
                f"part {held} of its folders; nothing was added"
            )
        if held != (other := part_of(place[0].relative(place[1]), held.parts)):
            raise ValueError(
                f"{display_path(file)} belongs to part {other} of its folder, and index "
                f"{display_path(catalog.folder)} is part {held}; nothing was added"
            )


def require_apart(catalog: Catalog, folders: Iterable[Path]) -> None:
    """Raise ValueError if a folder holds one that this part follows: its photos' paths would be others."""
    if Part.of_index(catalog) is None:
        return
    roots = read_roots(catalog, forgotten=True)
    for folder in folders:
        outer = Root(-1, folder, "scanned")
        for root in roots:
            if outer.way_to(os.fspath(root.folder), root.real):
                raise ValueError(
                    f"{display_path(folder)} holds {display_path(root.folder)}, which index "
                    f"{display_path(catalog.folder)} follows: a part of another folder is another index"
                )
