# SPDX-License-Identifier: MIT
"""What a search asks for beside its photo: options, and the query that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir.cli.console import note
from semcbir.cli.options import integer_option, names_option, parse_path, parse_weights, usage

if TYPE_CHECKING:
    from semcbir.extractor import Extractor
    from semcbir.signatures import Signatures

UNLIKE = -0.5
"""What a photo of --not weighs beside one of --also, and the query itself, which weigh 1."""


def parse_pixels(text: str, expected: str) -> tuple[int, ...]:
    """Parse whole numbers joined by commas: a pixel or a box, as ``check_region`` takes it."""
    from semcbir.regions import check_region

    parts = text.split(",")
    if len(parts) != expected.count(",") + 1 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"expected {expected} in pixels, got {text!r}")
    numbers = tuple(int(part) for part in parts)
    try:
        check_region(numbers)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("region: ")) from None
    return numbers


def parse_at(text: str) -> tuple[int, ...]:
    """Parse --at."""
    return parse_pixels(text, "X,Y")


def parse_box(text: str) -> tuple[int, ...]:
    """Parse --box."""
    return parse_pixels(text, "X0,Y0,X1,Y1")


def parse_condition(text: str) -> str:
    """Parse --where; which images it means is found out later."""
    from semcbir.index.where import parse_where

    try:
        parse_where(text)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("where: ")) from None
    return text


Only = Annotated[
    list[str] | None,
    names_option(
        "--only",
        "CLASSES",
        "Compare these classes alone, joined by commas (bus,road; animal: all animals; =animal: the class "
        "of that name alone). Photos that hold less than 2 % of them are ranked last.",
        show_default=False,
    ),
]
Without = Annotated[
    list[str] | None,
    names_option(
        "--without",
        "CLASSES",
        "Leave out photos that hold more than 1 % of one of these classes.",
        show_default=False,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        parser=usage(parse_weights),
        metavar="CLASS=NUMBER",
        show_default=False,
        help="How many times a class counts, joined by commas (horse=2,sky=0; default: once).",
    ),
]
Keep = Annotated[
    int | None,
    integer_option(
        "--keep",
        1,
        2**31 - 1,
        "In the place of --epsilon: let so many photos pass, those with the nearest histograms.",
        show_default=False,
    ),
]
At = Annotated[
    Any,
    typer.Option(
        "--at",
        parser=usage(parse_at),
        metavar="X,Y",
        show_default=False,
        help="Compare the class at this pixel of QUERY alone: x to the right, y down, from 0.",
    ),
]
Box = Annotated[
    Any,
    typer.Option(
        "--box",
        parser=usage(parse_box),
        metavar="X0,Y0,X1,Y1",
        show_default=False,
        help="Search for this part of QUERY: its pixels from X0 to X1 - 1 and from Y0 to Y1 - 1.",
    ),
]
Also = Annotated[
    list[Path] | None,
    typer.Option(
        "--also",
        parser=usage(parse_path),
        metavar="PHOTO",
        show_default=False,
        help="Another photo that hits should be like; may be given several times.",
    ),
]
Unlike = Annotated[
    list[Path] | None,
    typer.Option(
        "--not",
        parser=usage(parse_path),
        metavar="PHOTO",
        show_default=False,
        help="A photo that hits should be unlike; it weighs half. May be given several times.",
    ),
]
Expand = Annotated[
    int,
    integer_option(
        "--expand",
        0,
        1000,  # MAX_EXPAND of semcbir.expansion, which loads NumPy
        "Average QUERY with so many of its nearest photos (3, say), and search again.",
    ),
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        parser=usage(parse_condition),
        metavar="CONDITION",
        show_default=False,
        help="Search among some photos alone: folder:2019/summer (in the indexed folder), name:*.png, "
        "date:2019-05..2019-08 (when taken; of photos that do not say, when their file was changed), "
        "ids:1,5-9. May be given several times: of each kind one must be met.",
    ),
]


def joined(given: Sequence[Any] | None) -> tuple[str, ...] | None:
    """Return the names of an option that may be given several times; None if it was not."""
    return tuple(name for names in given for name in names) if given else None


def merged(given: Sequence[Any] | None) -> dict[str, float] | None:
    """Return the weights of an option that may be given several times; None if it was not."""
    return {name: weight for weights in given for name, weight in weights.items()} if given else None


def asked_lines(
    only: Sequence[str] | None,
    without: Sequence[str] | None,
    weights: Mapping[str, float] | None,
    at: Any,
    box: Any,
    also: Sequence[Path] | None,
    unlike: Sequence[Path] | None,
    where: Sequence[str] | None,
) -> str:
    """Return what is asked for beside the query, on one line for the sheet."""
    said = {
        "the class at ": ",".join(map(str, at or ())),
        "the part ": ",".join(map(str, box or ())),
        "only ": "" if at else ", ".join(only or ()),
        "without ": ", ".join(without or ()),
        "weights ": ", ".join(f"{name} {weight:g}" for name, weight in (weights or {}).items()),
        "also like ": ", ".join(path.name for path in also or ()),
        "unlike ": ", ".join(path.name for path in unlike or ()),
        "among ": ", ".join(where or ()),
    }
    return "; ".join(begin + rest for begin, rest in said.items() if rest)


def check_asked(at: Any, box: Any, only: Any, several: bool, listed: bool = False) -> None:
    """Refuse options that cannot be used together; ``listed``: beside --queries."""
    if listed and (at or box or several):
        flag = "--at" if at else "--box" if box else "--also"
        raise typer.BadParameter("expected one QUERY, got --queries", param_hint=flag)
    if at and box:
        raise typer.BadParameter("expected --at or --box, not both", param_hint="--at")
    if at and only:
        raise typer.BadParameter(
            "expected --at or --only, not both: --at compares the class at the pixel alone",
            param_hint="--at",
        )
    if (at or box) and several:
        flag = "--at" if at else "--box"
        raise typer.BadParameter("expected no --also and --not beside it", param_hint=flag)


def asked_signature(
    extractor: Extractor, photos: Sequence[Path], unlike: int, at: Any, box: Any, feature: str | None
) -> tuple[Signatures, str | None]:
    """Return the signature that is searched for, and the name of the class at ``at``.

    Hits should be unlike the last ``unlike`` of ``photos``.
    """
    from semcbir.regions import check_region, signatures_of_part
    from semcbir.several import at_length_one, mean_signature

    if at or box:
        try:
            signatures, name = signatures_of_part(extractor, photos[0], check_region(at or box), feature)
        except ValueError as error:
            flag = "--at" if at else "--box"
            raise ValueError(f"{flag}: {str(error).removeprefix('region: ')}") from None
        if name is not None:
            label = extractor.recipe.classes.index(name)
            share = dict(zip(signatures.classes.tolist(), signatures.proportions.tolist(), strict=True))
            note(f"at {at[0]},{at[1]}: {name}, {share[label]:.0%} of the photo")
        return signatures, name
    signatures = extractor.extract(photos, feature)
    if len(photos) > 1:
        weights = [1.0] * (len(photos) - unlike) + [UNLIKE] * unlike
        signatures = at_length_one(mean_signature(signatures, weights))
    return signatures, None
