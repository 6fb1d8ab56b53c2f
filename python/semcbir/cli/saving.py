# SPDX-License-Identifier: MIT
"""Saving sheets and pictures where the user asked for them, but never over a photo."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from semcbir._files import display_path

if TYPE_CHECKING:
    from PIL import Image

_SOFTWARE = 0x0131  # EXIF's and TIFF's tag for the program that made a picture
_OURS = "semcbir"


def check_place(option: str, place: Path | None) -> None:
    """Raise ValueError if ``place``, given with ``option``, holds anything but a picture saved by semcbir."""
    if place is not None and os.path.lexists(place) and not _is_ours(place):
        raise ValueError(
            f"{option} {display_path(place)} is there already, and semcbir did not make it: "
            "give another name, or remove it first"
        )


def save_picture(picture: Image.Image, place: Path) -> None:
    """Save ``picture`` with a mark that tells ``check_place`` that it may be replaced."""
    from PIL import Image

    exif = Image.Exif()
    exif[_SOFTWARE] = _OURS
    picture.save(place, exif=exif)


def _is_ours(place: Path) -> bool:
    from PIL import Image

    if not place.is_file():  # opening a named pipe would wait
        return False
    try:
        with warnings.catch_warnings(), Image.open(place) as picture:
            warnings.simplefilter("ignore")  # the file is not touched, so its problems do not matter
            return bool(picture.getexif().get(_SOFTWARE) == _OURS)
    except Exception:  # whatever it is, semcbir did not make it
        return False
