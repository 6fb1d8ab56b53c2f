# SPDX-License-Identifier: MIT
"""The commands that make an index, keep it up to date, and maintain it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import absolute, display_path
from semcbir._validate import counted
from semcbir.cli.console import ERROR, SKIPPED, command, note
from semcbir.cli.options import (
    Encoder,
    FeatureNames,
    Folders,
    Json,
    MaxPixels,
    Model,
    MoreFolders,
    OnDevice,
    Place,
    Threads,
    UsedEncoder,
    Weighting,
    integer_option,
    parse_path,
    parse_picture,
    usage,
)
from semcbir.cli.progress import RunMeter
from semcbir.cli.saving import check_place, save_picture
from semcbir.cli.targets import open_index, rebase
from semcbir.cli.text import (
    index_text,
    index_values,
    left_out_lines,
    run_text,
    run_values,
    segment_sizes,
    size,
    trouble_lines,
    write_json,
)
from semcbir.images.limits import MAX_PIXELS
from semcbir.index.database import FOLDER_INDEX
from semcbir.index.part import MOST, Part
from semcbir.index.place import index_place, own_place
from semcbir.inference.runtime import DEVICES
from semcbir.networks.packaged import DEFAULT

if TYPE_CHECKING:
    from semcbir.index.index import Index
    from semcbir.index.report import Report


def _parse_part(text: str) -> str:
    try:
        return str(Part.parse(text))
    except ValueError as error:
        raise ValueError(str(error).removeprefix("part: ")) from None


@command
def index(
    folders: Folders,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=usage(parse_path),
            metavar="INDEX",
            help=f"Where the index goes; for a single folder FOLDER/{FOLDER_INDEX} by default.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="A model: its .onnx file, its card, or a name from `semcbir models list`. "
            f"Default: that of the index; of a new one {DEFAULT!r}.",
            show_default=False,
        ),
    ] = None,
    features: FeatureNames = None,
    encoder: Encoder = None,
    weighting: Weighting = None,
    long_side: Annotated[
        int | None,
        integer_option(
            "--long-side",
            1,
            65536,
            "Bound on the longer side of a photo, in pixels. Default: that of the index; of a new one 512.",
            show_default=False,
        ),
    ] = None,
    device: OnDevice = DEVICES[0],
    threads: Threads = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            parser=usage(_parse_part),
            metavar="I/N",
            help="Index the I-th of N parts of the photos alone, as one of N machines; `semcbir merge` makes "
            "one index of the parts.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="ray",
            help="Make the index on the machines of a Ray cluster, which all see the folders (extra ray).",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --on ray: where the cluster is. Default: RAY_ADDRESS, or else one is started here.",
            show_default=False,
        ),
    ] = None,
    parts: Annotated[
        int | None,
        integer_option(
            "--parts",
            1,
            MOST,
            "With --on ray: into how many parts the photos are divided. Default: four for each that can be "
            "read at a time.",
            show_default=False,
        ),
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Bring back photos that `semcbir remove` took out.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Index the photos in folders and their sub-folders.

    An existing index is completed, for example after an interruption.
    """
    from semcbir.index.index import Index

    _check_on(on, {"--address": address, "--parts": parts}, {"--part": part, "--restore": restore or None})
    if output is None:
        if part is not None:
            raise typer.BadParameter("needed for a part", param_hint="'-o' / '--output'")
        if len(folders) > 1:
            raise typer.BadParameter("needed for several folders", param_hint="'-o' / '--output'")
        output = own_place(absolute(folders[0]))
    long = "auto" if long_side is None else long_side
    made: dict[str, Any] = {"model": model, "features": features, "encoder": encoder, "weighting": weighting}
    made |= {"long_side": long, "device": device, "threads": threads, "max_pixels": max_pixels}
    with RunMeter(part, about=on is not None) as meter:
        if on:
            from semcbir.distributed.building import index_on_ray

            built = index_on_ray(folders, output, address=address, parts=parts, on_progress=meter, **made)
            return _tell(built, built.report, meter.seconds, as_json)
        built = Index.build(folders, output, part=part, on_progress=meter, **made)
        if restore and built.report.left_out:
            built.report.added += built.add(folders, on_progress=meter).added
    return _tell(built, built.report, meter.seconds, as_json)


def _check_on(on: str | None, needing: dict[str, object], against: dict[str, object]) -> None:
    """Refuse options that need --on, or cannot be used beside it."""
    if on not in (None, "ray"):
        raise typer.BadParameter(f"expected ray, got {on!r}", param_hint="--on")
    for flag, value in (against if on else needing).items():
        if value is not None:
            raise typer.BadParameter("not with --on" if on else "needs --on ray", param_hint=flag)


@command
def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(parser=usage(parse_path), metavar="PART...", help="Indexes, as the parts of one."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", parser=usage(parse_path), metavar="INDEX", help="Where the index goes."
        ),
    ],
    partial: Annotated[
        bool, typer.Option("--partial", help="Merge the parts that there are, though others are missing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Make one index of several: of the parts of one, or of indexes of other folders.

    It is the same as if one machine had made it at once. The parts stay. A merge that was interrupted goes on
    if it is run again. A refresh keeps the merged index up to date; parts that were refreshed are merged
    elsewhere.
    """
    from semcbir.index.create import is_building
    from semcbir.index.index import Index

    with RunMeter() as meter:
        built = Index.merge([index_place(part) for part in parts], output, partial=partial, on_progress=meter)
    code = _tell(built, built.report, meter.seconds, as_json)
    if is_building(built.path):
        again = f"`semcbir refresh {display_path(built.path)}`"
        note(f"parts are missing; {again} reads their photos")
    return code


@command
def refresh(
    place: Place,
    folders: MoreFolders = None,
    model: Model = None,
    encoder: UsedEncoder = None,
    device: OnDevice = DEVICES[0],
    threads: Threads = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    as_json: Json = False,
) -> int:
    """Bring an index up to date with its folders.

    New and changed photos are read, vanished ones taken out.
    """
    opened = open_index(place)
    with RunMeter(opened.part) as meter:
        extractor = None
        if model or encoder or threads or device != DEVICES[0] or max_pixels != MAX_PIXELS:
            extractor = opened.extractor(
                model=model, encoder=encoder, device=device, threads=threads, max_pixels=max_pixels
            )
        report = opened.refresh(folders or (), extractor=extractor, on_progress=meter)
    return _tell(opened, report, meter.seconds, as_json)


@command
def info(
    place: Place,
    root: Annotated[
        str | None,
        typer.Option(
            metavar="NEW or OLD=NEW", help="First tell the index where its folder of photos is now."
        ),
    ] = None,
    classes: Annotated[
        bool,
        typer.Option(
            "--classes", help="Also show how much of the photos each class is, and how many hold 1 % of it."
        ),
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            parser=usage(parse_picture),
            metavar="PICTURE",
            help="Save the classes as bars.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what an index holds and how it was made."""
    from semcbir.cli.contents import contents_text, contents_values

    check_place("--picture", picture)
    opened = open_index(place)
    if root is not None:
        rebase(opened, root)
    found = opened.contents() if classes or picture else None
    told = found if classes else None
    if as_json:
        write_json(index_values(opened) | (contents_values(told) if told else {}))
    else:
        print("\n\n".join([index_text(opened), *([contents_text(told)] if told and told.classes else [])]))
    if found and not found.images:
        note(f"there are no photos in {display_path(place)}")
    if picture and found:
        from semcbir.pictures.contents import contents_picture

        save_picture(contents_picture(found, opened.recipe.classes), picture)


@command
def check(place: Place, as_json: Json = False) -> int:
    """Verify an index, checksums included.

    The exit code is 1 if something is wrong.
    """
    from semcbir.index.check import check_index
    from semcbir.index.database import REBUILD

    found = check_index(index_place(place))
    if as_json:
        write_json({"problems": found})
    else:
        print("\n".join(map(display_path, found)) if found else f"{display_path(place)} is sound")
    if found:
        note(REBUILD)
    return ERROR if found else 0


@command
def remove(
    place: Place,
    what: Annotated[
        list[str],
        typer.Argument(
            help="Photos in the index (paths or ids), or folders: all their photos.", metavar="WHAT"
        ),
    ],
    as_json: Json = False,
) -> None:
    """Take photos out of an index; their files stay.

    A refresh leaves them out, and no longer looks into folders of the index that are removed as a whole.
    """
    opened = open_index(place)
    # Image files have a suffix, so digits alone are an id.
    count = opened.remove([int(one) if one.isascii() and one.isdigit() else one for one in what])
    if as_json:
        write_json({"index": opened.path, "images": len(opened), "removed": count})
    else:
        print(f"{display_path(opened.path)}: {counted(count, 'image')} removed, {len(opened)} left")


@command
def compact(place: Place, as_json: Json = False) -> None:
    """Make an index as small as it can be.

    Merges its segments into one and drops what removed photos left behind.
    """
    opened = open_index(place)
    before = segment_sizes(opened)
    opened.compact()
    after = segment_sizes(opened)
    if as_json:
        write_json({"index": opened.path, "segments_before": before, "segments": after})
        return
    was = f"{counted(len(before), 'segment')} of {size(sum(before))}"
    print(f"{display_path(opened.path)}: {was}, now {counted(len(after), 'segment')} of {size(sum(after))}")


def _tell(opened: Index, report: Report, seconds: float, as_json: bool) -> int:
    """Write what a run did to stdout, and the files it skipped to stderr; return the exit code."""
    if as_json:
        write_json(run_values(opened, report, seconds))
    else:
        print(run_text(opened, report, seconds))
        for line in [*trouble_lines(report, opened.path), *left_out_lines(report, opened.path)]:
            note(line)
    return SKIPPED if report.skipped or report.missing or report.unreadable else 0
