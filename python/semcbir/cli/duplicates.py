# SPDX-License-Identifier: MIT
"""The command that finds near-duplicate photos."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import bytes_words, display_path
from semcbir._validate import counted
from semcbir.cli.console import command, note
from semcbir.cli.options import (
    FeatureName,
    Json,
    MaxPixels,
    Model,
    OnDevice,
    Target,
    Threads,
    UsedEncoder,
    parse_features,
    parse_picture,
    usage,
)
from semcbir.cli.saving import check_place, save_picture
from semcbir.cli.targets import open_index, ready_index
from semcbir.cli.text import write_json
from semcbir.images.limits import MAX_PIXELS
from semcbir.index.database import is_index
from semcbir.inference.runtime import DEVICES

if TYPE_CHECKING:
    from semcbir.index.index import Index
    from semcbir.near_duplicates import Duplicate, DuplicateGroup


def parse_distance(text: str) -> float:
    """Parse a distance."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise ValueError(f"expected a number of 0 or more, got {text!r}")
    return value


@command
def duplicates(
    target: Target,
    distance: Annotated[
        Any,
        typer.Option(
            "--distance",
            parser=usage(parse_distance),
            metavar="NUMBER",
            # DISTANCE of semcbir.near_duplicates, which loads NumPy
            help="Photos at most this far apart are near-duplicates (default: 0.35 for deep, which takes in "
            "shots of one scene; 0.05 finds little but the same picture).",
            show_default=False,
        ),
    ] = None,
    feature: FeatureName = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            parser=usage(parse_picture), metavar="PICTURE", help="Save the groups as a contact sheet."
        ),
    ] = None,
    paths: Annotated[
        bool,
        typer.Option(
            "--paths",
            help="Write all files but the largest, in bytes, of each group, one a line: look at them first.",
        ),
    ] = False,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="As --paths, with NUL after each: for xargs -0.")
    ] = False,
    model: Model = None,
    encoder: UsedEncoder = None,
    features: Annotated[
        str | None,
        typer.Option(
            parser=usage(parse_features),
            metavar="NAMES",
            help="Features for the first use of a folder (default: deep).",
        ),
    ] = None,
    device: OnDevice = DEVICES[0],
    threads: Threads = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    as_json: Json = False,
) -> int:
    """Find near-duplicate photos, in groups.

    Photos at most a distance apart are in one group, and those that a chain of such photos joins.
    """
    if as_json and (paths or null):
        raise typer.BadParameter("expected one of them, got both", param_hint="'--json' / '--paths'")
    check_place("--sheet", sheet)
    from semcbir.near_duplicates import chosen_distance, require_default
    from semcbir.near_duplicates import duplicates as find

    if distance is None:  # What is wrong must fail before any long work.
        require_default(feature or (features.split(",")[0] if features else None))
    opened, code = _open(target, model, encoder, features, feature, device, threads, max_pixels)
    bound = chosen_distance(distance, opened.recipe.for_feature(feature))
    groups = find(opened, bound, feature)
    if as_json:
        asked = {"index": opened.path, "feature": opened.recipe.feature(feature).name}
        asked |= {"distance": bound, "images": len(opened)}
        write_json({**asked, "groups": [_group_values(group) for group in groups]})
    elif paths or null:
        _write_paths([path for group in groups for path in group.spare()], null)
    elif groups:
        print(groups_text(groups))
    _note_groups(groups, bound, opened, target)
    if groups and (paths or null) and not sheet:
        note("look before you delete: shots of one scene may be among them; --sheet shows the groups")
    if sheet:
        from semcbir.pictures.duplicates import duplicates_sheet

        save_picture(duplicates_sheet(groups), sheet)
    return code


def _open(
    target: Path,
    model: str | None,
    encoder: str | None,
    features: str | None,
    feature: str | None,
    device: str,
    threads: int | None,
    max_pixels: int,
) -> tuple[Index, int]:
    """Return the index, and the exit code; a folder's own is refreshed, which alone may need a model."""
    if not is_index(target):
        opened, _, code = ready_index(target, model, encoder, features, feature, device, threads, max_pixels)
        return opened, code
    from semcbir.index.ready import stale_words

    opened = open_index(target)
    if stale := stale_words(opened):
        note(stale)
    return opened, 0


def _group_values(group: DuplicateGroup) -> dict[str, Any]:
    return {
        "photos": [
            {"id": photo.id, "path": photo.path, "distance": photo.distance}
            | {"size": photo.size, "changed": photo.changed}
            for photo in group.photos
        ]
    }


def groups_text(groups: Sequence[DuplicateGroup]) -> str:
    """Return a line for each photo: number of its group, distance to the group's largest, size, path."""
    lines = [f"{'group':>5}  {'distance':>9}  {'size':>10}  path"]
    for number, group in enumerate(groups, 1):
        for photo in group.photos:
            distance = "largest" if photo is group.largest else f"{photo.distance:.4f}"
            words = f"{number:>5}  {distance:>9}  {_file_words(photo):>10}"
            lines.append(f"{words}  {display_path(photo.path)}")
    return "\n".join(lines)


def _file_words(photo: Duplicate) -> str:
    if photo.size is None:
        return "gone"
    return "changed" if photo.changed else bytes_words(photo.size)


def _write_paths(paths: Sequence[Path], null: bool) -> None:
    """Write paths as they are, byte for byte, to stdout."""
    names = [os.fsencode(path) for path in paths]
    if not null and (broken := [path for path in paths if {"\n", "\r"} & set(os.fspath(path))]):
        raise ValueError(f"--paths: {display_path(broken[0])} has a line break in its name; use -0")
    sys.stdout.flush()
    sys.stdout.buffer.write(b"".join(name + (b"\0" if null else b"\n") for name in names))
    sys.stdout.buffer.flush()


def _note_groups(groups: Sequence[DuplicateGroup], bound: float, opened: Index, target: Path) -> None:
    """Say on stderr how many there are, and what a user should know before files are deleted."""
    if not len(opened):
        note(f"there are no photos in {display_path(target)}")
    elif not groups:
        note(f"no duplicates within {bound:g}")
    if not groups:
        return
    photos = [photo for group in groups for photo in group.photos]
    spare = sum(photo.size or 0 for group in groups for photo in group.photos[1:])
    note(
        f"{counted(len(groups), 'group')} of {len(photos)} photos within {bound:g}; "
        f"all but the largest of each take {bytes_words(spare)}"
    )
    if far := sum(photo.distance > bound for photo in photos):
        are = "photo is" if far == 1 else "photos are"
        note(f"{far} {are} farther than that from the largest of the group, and joined to it by others")
    if gone := sum(photo.changed for photo in photos):
        have = "photo is gone or has" if gone == 1 else "photos are gone or have"
        note(
            f"{gone} {have} changed since they were indexed, and --paths leaves them out; "
            f"`semcbir refresh {display_path(target)}` brings the index up to date"
        )
