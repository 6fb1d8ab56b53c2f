# SPDX-License-Identifier: MIT
"""The photos that a search is for: which they are, and what is said of those that are none."""

from __future__ import annotations

import difflib
import itertools
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semcbir._files import display_path, expanded
from semcbir._validate import listed
from semcbir.cli.console import note
from semcbir.cli.options import NOT_THE_WEB, parse_query, usage
from semcbir.cli.usage import MissingParameter, OtherCommand
from semcbir.errors import ImageError
from semcbir.images.kinds import READ_SUFFIXES
from semcbir.index.database import is_index

if TYPE_CHECKING:
    from semcbir.extractor import Extractor
    from semcbir.signatures import Signatures

_NAMES = 20_000
"""Names of a folder that are looked at; more would take seconds."""
_ENDINGS = tuple(itertools.chain.from_iterable(READ_SUFFIXES.values()))


Queries = Annotated[
    list[Path] | None,
    typer.Argument(help="A photo.", metavar="QUERY", parser=usage(parse_query), show_default=False),
]
"""QUERY where it may be left out; Click fills the arguments after a list from the end."""


def given_photos(given: Sequence[Path], target: Path, queries: Path | None) -> list[Path]:
    """Return the photos to search for: the only one of ``given``, or those that the file ``queries`` lists.

    Raises a usage error if there are others or none, or if photo and ``target`` are the wrong way round,
    OSError for a list that cannot be read.
    """
    if queries is not None:
        if given:
            what = f"expected no QUERY beside it, got {display_path(given[0])}"
            raise typer.BadParameter(what, param_hint="--queries")
        photos = read_list(queries)
        if not photos:
            what = f"expected a path a line, got none in {display_path(queries)}"
            raise typer.BadParameter(what, param_hint="--queries")
        return photos
    if not given:
        missing = "QUERY" if _is_place(target) else "INDEX-or-FOLDER"
        raise MissingParameter("", param_hint=missing)
    if len(given) > 1:
        what = (
            f"expected one photo and one index, got {display_path(target)} too; --also takes another photo "
        )
        what += "that hits should be like, --queries a list of photos to search for each"
        raise typer.BadParameter(what, param_hint="QUERY")
    (photo,) = given
    if _is_place(photo) and Path(expanded(target)).is_file():
        words = ["semcbir", "search", os.fspath(target), os.fspath(photo)]
        command = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
        what = f"expected a photo, got a folder; did you mean: {display_path(command)}?"
        raise OtherCommand(what, param_hint="QUERY")
    return [photo]


def read_list(place: Path) -> list[Path]:
    """Return the paths that a file ("-": standard input) lists, a line each, or each ended by a NUL byte."""
    data = sys.stdin.buffer.read() if os.fspath(place) == "-" else Path(expanded(place)).read_bytes()
    data = data.removeprefix(b"\xef\xbb\xbf")  # as editors of Windows write it
    lines = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    # Not by Path: it would take the two slashes of an address for one.
    return [Path(os.fsdecode(line)) for line in lines if line]


def check_there(photos: Sequence[Path]) -> None:
    """Refuse, before any long work, a photo that is not there; of many, only if none is.

    Raises ImageError with the names most like it, a usage error for words in the place of a photo.
    """
    if any(os.path.lexists(expanded(photo)) for photo in photos):
        return
    said = not_there(photos[0])
    if len(photos) > 1:
        raise ImageError(f"none of the {len(photos)} photos is there; {said}")
    name = os.fspath(photos[0])
    if "did you mean" not in said and _is_words(name):
        what = f"there is no file '{display_path(name)}'; a query is a photo, words are for `semcbir find`"
        raise typer.BadParameter(what, param_hint="QUERY")
    raise ImageError(said)


def not_there(photo: Path) -> str:
    """Say that a photo is not there, with the names in its folder that are most like its own."""
    name = display_path(photo)
    if os.fspath(photo).lower().startswith(("http:/", "https:/")):
        return f"{name}: {NOT_THE_WEB}"
    near = near_names(Path(expanded(photo)))
    return f"{name}: there is no such file" + (f"; did you mean {listed(near)}?" if near else "")


def _is_words(name: str) -> bool:
    path = Path(name)
    return path.name == name and (" " in name or not path.suffix)


def near_names(path: Path) -> list[str]:
    """Return at most three names of photos in the folder of ``path`` that are most like its own."""
    try:
        with os.scandir(path.parent) as entries:
            names = sorted(entry.name for entry in itertools.islice(entries, _NAMES))
    except (OSError, ValueError):
        return []
    # Without their endings, by which all names are alike.
    stems: dict[str, list[str]] = {}
    for name in names:
        if name.lower().endswith(_ENDINGS):
            stems.setdefault(Path(name).stem.lower(), []).append(name)
    near = difflib.get_close_matches(path.stem.lower(), stems, n=3)
    return [name for stem in near for name in stems[stem]][:3]


def extracted(
    extractor: Extractor, photos: Sequence[Path], feature: str | None
) -> Iterator[tuple[Path, Signatures | ImageError]]:
    """Yield each photo with its signature, or with the error of one that cannot be read, in their order.

    Raises ImageError for the only photo.
    """
    if len(photos) == 1:
        yield photos[0], extractor.extract(photos, feature)
        return
    name = extractor.recipe.feature(feature).name
    for photo, found in zip(photos, extractor.stream(photos), strict=True):
        if isinstance(found, ImageError):
            yield photo, found if os.path.lexists(expanded(photo)) else ImageError(not_there(photo))
            continue
        if found.damage:
            note(f"{display_path(photo)} is damaged: {display_path(found.damage)}")
        yield photo, found[name]


def _is_place(path: Path) -> bool:
    return Path(expanded(path)).is_dir() or is_index(path)
