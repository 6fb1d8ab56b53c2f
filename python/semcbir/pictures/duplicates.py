# SPDX-License-Identifier: MIT
"""The contact sheet of near-duplicates: a row or more of photos for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from semcbir._files import bytes_words, short_name
from semcbir._validate import check_integer, counted
from semcbir.pictures.draw import FAINT, INK, LINE, MARGIN, PAPER, place_photo, thumbnail, write
from semcbir.pictures.grid import TILE, corners, height_of, width_of
from semcbir.results import MAX_HITS, distance_words

if TYPE_CHECKING:
    from semcbir.near_duplicates import Duplicate, DuplicateGroup

_HEAD, _TITLE = 56, 34


def duplicates_sheet(groups: Sequence[DuplicateGroup], *, columns: int = 5) -> Image.Image:
    """Return groups of near-duplicates as one RGB picture, ``columns`` photos to a row.

    Each photo shows its distance to the group's largest, which is labelled, its file's size and its name. A
    photo that cannot be read is replaced by a placeholder. At most MAX_HITS photos are shown.

    Raises TypeError or ValueError unless ``columns`` is an integer from 1 to 50.
    """
    columns = check_integer("columns", columns, 1, 50)
    shown = _shown(groups)
    heights = [_TITLE + height_of(len(photos), columns) for photos in shown]
    width = width_of(columns)
    sheet = Image.new("RGB", (width, _HEAD + sum(heights) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN), _head_words(groups, shown), size=18, width=width - 2 * MARGIN)
    top = _HEAD
    for number, (group, photos, height) in enumerate(zip(groups, shown, heights, strict=False), 1):
        draw.line((MARGIN, top, width - MARGIN, top), fill=LINE)
        write(draw, (MARGIN, top + 9), f"group {number}: {_group_words(group, photos)}", fill=FAINT)
        for photo, corner in zip(photos, corners(len(photos), columns, top + _TITLE), strict=True):
            _tile(sheet, draw, corner, photo, largest=photo is group.largest)
        top += height
    return sheet


def _shown(groups: Sequence[DuplicateGroup]) -> list[tuple[Duplicate, ...]]:
    """Return the photos to show of the first groups, as many as there is room for."""
    shown: list[tuple[Duplicate, ...]] = []
    room = MAX_HITS
    for group in groups:
        if not room:
            break
        shown.append(group.photos[:room])
        room -= len(shown[-1])
    return shown


def _head_words(groups: Sequence[DuplicateGroup], shown: Sequence[Sequence[Duplicate]]) -> str:
    photos = sum(map(len, groups))
    words = f"{counted(len(groups), 'group')} of near-duplicates, {counted(photos, 'photo')}"
    return words if sum(map(len, shown)) == photos else f"{words}, the first {MAX_HITS} shown"


def _group_words(group: DuplicateGroup, photos: Sequence[Duplicate]) -> str:
    words = counted(len(group), "photo")
    return words if len(photos) == len(group) else f"{words}, the first {len(photos)} shown"


def _tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], photo: Duplicate, *, largest: bool
) -> None:
    left, top = corner
    x, y = place_photo(sheet, thumbnail(photo.path, TILE), corner, TILE)
    if largest:
        draw.rectangle((x, y, x + 60, y + 20), fill=INK)
        write(draw, (x + 30, y + 10), "largest", size=13, fill=PAPER, anchor="mm")
    base = top + TILE[1] + 6
    write(draw, (left, base), f"d {distance_words(photo.distance)}", size=13)
    size = "" if photo.size is None else bytes_words(photo.size)
    write(draw, (left + TILE[0], base), size, size=13, anchor="ra")
    write(draw, (left, base + 21), short_name(photo.path), size=12, fill=FAINT, width=TILE[0])
