# SPDX-License-Identifier: MIT
"""Which images of an index a search is restricted to: by folder, name, date and id."""

from __future__ import annotations

import calendar
import datetime
import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from semcbir._files import absolute
from semcbir._validate import check_many, shown
from semcbir.index.catalog import Catalog
from semcbir.index.roots import Root, Roots, read_roots
from semcbir.index.rows import MAX_ID


@dataclass(frozen=True)
class Condition:
    """One condition: its kind, of KINDS, and what comes after the colon."""

    kind: str
    text: str


Where = str | Iterable["str | Condition"]
"""Conditions: ``folder:2019/summer``, ``name:*.png``, ``date:2019-05..2019-08``, ``ids:1,5-9``."""

KINDS = ("folder", "name", "date", "ids")
_EXPECTED = "folder:PATH, name:PATTERN, date:FROM..TO or ids:LIST"
_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_DAY_SECONDS = 86400
_EARLIEST, _LATEST = -(2**62), 2**62


def parse_where(where: Where) -> list[Condition]:
    """Return the conditions of ``where``.

    Raises TypeError or ValueError for what is no condition; whether folders are there is not looked at.
    """
    many = [where] if isinstance(where, str) else check_many("where", where, "conditions")
    found = []
    for one in many:
        if isinstance(one, Condition):
            found.append(one)
            continue
        kind, colon, text = one.partition(":") if isinstance(one, str) else ("", "", "")
        if kind not in KINDS or not colon or not text.strip():
            raise ValueError(f"where: expected {_EXPECTED}, got {shown(one)}")
        condition = Condition(kind, text.strip())
        _CHECKS[kind](condition.text)
        found.append(condition)
    return found


def ids_where(catalog: Catalog, conditions: Iterable[Condition]) -> npt.NDArray[np.int64]:
    """Return the ids, ascending, of the images that meet the conditions.

    Of conditions of the same kind, one is enough; of each kind that there is, one must be met.
    """
    chosen: dict[str, set[int]] = {}
    roots = read_roots(catalog)
    for condition in conditions:
        chosen.setdefault(condition.kind, set()).update(_ids(catalog, roots, condition))
    if not chosen:
        return np.array([key for key, _, _ in catalog.named()], np.int64)
    met = set.intersection(*chosen.values())
    return np.array(sorted(met), np.int64)


def _ids(catalog: Catalog, roots: Sequence[Root], condition: Condition) -> Iterator[int]:
    if condition.kind == "folder":
        for root, folder in _folders(roots, condition.text):
            yield from catalog.ids_below(root, folder)
    elif condition.kind == "date":
        yield from catalog.ids_dated(*parse_dates(condition.text))
    elif condition.kind == "ids":
        wanted = parse_ids(condition.text)
        yield from (key for key, _, _ in catalog.named() if any(a <= key <= b for a, b in wanted))
    else:
        fits = _pattern(condition.text)
        yield from (key for key, _, path in catalog.named() if fits(os.fsdecode(path)))


def _folders(roots: Sequence[Root], text: str) -> Iterator[tuple[int, bytes]]:
    """Yield (root, folder in it) for a path, which is absolute, or begins in each root."""
    plain = os.path.expanduser(text)  # noqa: PTH111 - a Path forgets what "./" says
    if plain.startswith(os.sep) or Path(plain).is_absolute() or plain.split("/", 1)[0] in (".", ".."):
        place = absolute(plain, "where")
        for root in roots:  # a folder above roots means all of them
            if root.folder == place or place in root.folder.parents:
                yield root.id, b""
        if found := Roots(roots).place(place / "photo"):
            yield found[0].id, os.path.dirname(found[0].relative(found[1]))  # noqa: PTH120 - of bytes
        return
    folder = os.fsencode(os.path.normpath(plain))
    for root in roots:
        yield root.id, folder


def _pattern(text: str) -> Callable[[str], bool]:
    """Return whether names, or with a "/" in the pattern paths in a root, fit; case does not matter."""
    fits = re.compile(fnmatch.translate(text.casefold())).match
    if "/" in text:
        return lambda path: fits(path.casefold()) is not None
    return lambda path: fits(path.rsplit("/", 1)[-1].casefold()) is not None


def parse_ids(text: str) -> list[tuple[int, int]]:
    """Parse ids, joined by commas, and ranges of them: 1,5-9. Raises ValueError."""
    ranges = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,19})(?:\s*-\s*(\d{1,19}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last > MAX_ID:
            raise ValueError(f"where: expected ids such as ids:1,5-9, got {shown('ids:' + text)}")
        ranges.append((first, last))
    return ranges


def parse_dates(text: str) -> tuple[int, int]:
    """Parse a day, month or year, or a range of these, as its first and last second. Raises ValueError.

    2019; 2019-05; 2019-05-31; 2019-05..2019-08; ..2019; 2019-05.. - both ends belong to the range.
    """
    first, dots, last = text.partition("..")
    if not dots:
        last = first
    if not first.strip() and not last.strip():
        _refuse_date(text)
    start = _days(first.strip(), text)[0] if first.strip() else _EARLIEST
    end = _days(last.strip(), text)[1] if last.strip() else _LATEST
    if start > end:
        _refuse_date(text)
    return start, end


def _days(day: str, text: str) -> tuple[int, int]:
    found = _DAY.fullmatch(day)
    if found is None:
        _refuse_date(text)
    year, month, date = (int(part) if part else 0 for part in found.groups())
    try:
        first = datetime.date(year, month or 1, date or 1)
        if date:
            last = first
        elif month:
            last = first.replace(day=calendar.monthrange(year, month)[1])
        else:
            last = first.replace(month=12, day=31)
    except ValueError:
        _refuse_date(text)
    return _seconds(first), _seconds(last) + _DAY_SECONDS - 1


def _seconds(day: datetime.date) -> int:
    return calendar.timegm(day.timetuple())


def _refuse_date(text: str) -> NoReturn:
    raise ValueError(
        f"where: expected a date or a range such as date:2019-05..2019-08, got {shown('date:' + text)}"
    )


_CHECKS: dict[str, Callable[[str], object]] = {
    "folder": str,
    "name": str,
    "date": parse_dates,
    "ids": parse_ids,
}
