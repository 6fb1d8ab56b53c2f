# SPDX-License-Identifier: MIT
"""When a photo was taken: what its EXIF data says."""

from __future__ import annotations

import calendar
import re
import time
from pathlib import Path

from semcbir._files import open_regular
from semcbir.images.kinds import HEAD_BYTES, kinds_of
from semcbir.images.pillow import open_image
from semcbir.images.reading import BoundedFile

_EXIF, _ORIGINAL, _DIGITIZED, _CHANGED = 0x8769, 0x9003, 0x9004, 0x0132
_WITH_EXIF = frozenset(("JPEG", "PNG", "TIFF", "WebP", "HEIC"))
_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


def taken_at(file: Path) -> int | None:
    """Return when the photo in ``file`` was taken, None if it does not say, or cannot be read.

    Seconds from 1970 on by the camera's clock: what it showed, read as if it were UTC, since cameras do not
    say where they are. The date of the original counts, then that of its digitisation, then the file's own.
    """
    try:
        with open_regular(file) as opened:
            (kind,) = _WITH_EXIF.intersection(kinds_of(opened.read(HEAD_BYTES)))
            exif = open_image(kind, BoundedFile(opened)).getexif()
            own = exif.get_ifd(_EXIF)
            dates = (own.get(_ORIGINAL), own.get(_DIGITIZED), exif.get(_CHANGED))
    except Exception:  # Pillow raises a dozen types for damaged files; then there is no date
        return None
    return next((at for date in dates if (at := seconds(date)) is not None), None)


def seconds(date: object) -> int | None:
    """Return an EXIF date as seconds from 1970 on; None for what is no date."""
    found = _DATE.match(date) if isinstance(date, str) else None
    if found is None:
        return None
    numbers = tuple(int(part) for part in found.groups())
    try:
        at = calendar.timegm((*numbers, 0, 0, 0))
    except (ValueError, OverflowError):
        return None
    # What is no day or time, such as 30 February or 2000:00:00, comes back as another.
    return at if time.gmtime(at)[:6] == numbers else None
