# SPDX-License-Identifier: MIT
"""The hits' photos in a folder of their own, by rank: as copies, or as symbolic links."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from semcbir._files import display_path, open_regular, reason
from semcbir._validate import counted
from semcbir.cli.console import SKIPPED, note
from semcbir.copying import copy_photo, fitting

if TYPE_CHECKING:
    from semcbir.finding import FoundImages
    from semcbir.results import Results


class Planned(NamedTuple):
    """A hit's photo, and where it goes."""

    photo: Path
    place: Path


def plan_copies(option: str, folder: Path, results: Results | FoundImages) -> list[Planned]:
    """Return where the photos of ``results`` go in ``folder``.

    Raises ValueError, which names ``option``, if anything has one of these names already.
    """
    digits = max(3, len(str(len(results))))
    plan = [Planned(hit.path, folder / fitting(f"{hit.rank:0{digits}}_", hit.path)) for hit in results]
    for _, place in plan:
        if os.path.lexists(place):
            raise ValueError(
                f"{option}: {display_path(place)} is there already, so nothing is written; "
                "give another folder, or empty this one first"
            )
    return plan


def make_copies(folder: Path, plan: Sequence[Planned], *, link: bool) -> int:
    """Make the copies or links, and the folder if it is not there; return the exit code.

    Photos that cannot be read are said and skipped. Nothing is overwritten: FileExistsError if a name has
    been taken since.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = sum(_link(one) if link else _copy(one) for one in plan)
    what = counted(made, "link" if link else "photo")
    note(f"{what} {'made' if link else 'copied'} in {display_path(folder)}")
    return SKIPPED if made < len(plan) else 0


def _copy(one: Planned) -> bool:
    try:
        open_regular(one.photo).close()
    except OSError as error:
        return _skipped(one, error)
    copy_photo(one.photo, one.place)
    return True


def _link(one: Planned) -> bool:
    try:
        open_regular(one.photo).close()
    except OSError as error:
        return _skipped(one, error)
    one.place.symlink_to(one.photo)
    return True


def _skipped(one: Planned, error: OSError) -> bool:
    note(f"skipped {display_path(one.photo)}: {reason(error)}")
    return False
