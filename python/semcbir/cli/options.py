# SPDX-License-Identifier: MIT
"""Arguments and options of the commands, and how their values are parsed."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from semcbir._files import display_path, expanded
from semcbir._validate import listed
from semcbir.cli.completion import completing
from semcbir.index.database import FOLDER_INDEX
from semcbir.inference.runtime import DEVICES
from semcbir.threads import MAX_THREADS

Value = TypeVar("Value")


def usage(parse: Callable[[str], Value]) -> Callable[[object], Value]:
    """Turn a ValueError from ``parse`` into a usage error that names the option."""

    def parsed(value: object) -> Value:
        if completing():
            return cast(Value, value)  # Nobody looks at it, and parsing imports what takes long.
        try:
            return parse(str(value))  # A default is passed as it is, not as text.
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


def parse_choice(text: str, choices: Sequence[str]) -> str:
    """Parse one of the texts ``choices``."""
    if text not in choices:
        raise ValueError(f"expected {listed(choices)}, got {text!r}")
    return text


def choice_option(flag: str, choices: Sequence[str], explained: str) -> Any:
    """Return the option ``flag`` that takes one of the texts ``choices``."""
    parser = usage(partial(parse_choice, choices=choices))
    return typer.Option(flag, parser=parser, metavar=f"<{'|'.join(choices)}>", help=explained)


def parse_integer(text: str, low: int, high: int) -> int:
    """Parse an integer from ``low`` to ``high``."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError(f"expected an integer from {low} to {high}, got {text!r}")
    return value


def integer_option(flag: str, low: int, high: int, explained: str, **more: Any) -> Any:
    """Return the option ``flag`` that takes an integer from ``low`` to ``high``."""
    parser = usage(partial(parse_integer, low=low, high=high))
    return typer.Option(flag, parser=parser, metavar="NUMBER", help=explained, **more)


def parse_epsilon(text: str) -> float | str:
    """Parse --epsilon: a number, "auto", or "none" (no filter), which becomes infinity here."""
    if text.lower() == "auto":
        return "auto"
    if text.lower() == "none":
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise ValueError(f"expected a number of 0 or more, auto or none, got {text!r}")
    return value


def parse_features(text: str) -> str:
    """Parse --features into the features' names, joined by commas."""
    from semcbir import features

    try:
        return ",".join(features.feature_names(text))
    except ValueError as error:
        raise ValueError(
            str(error).removeprefix("features: ")
        ) from None  # The option's name is said already.


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names joined by commas, as CSV has them: one that holds a comma stands in double quotes."""
    try:
        (names,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (ValueError, csv.Error):
        names = []
    if not names or not all(names):
        raise ValueError(f"expected names joined by commas, got {text!r}")
    return tuple(names)


def names_option(flag: str, metavar: str, explained: str, **more: Any) -> Any:
    """Return the option ``flag`` that takes names joined by commas."""
    return typer.Option(flag, parser=usage(parse_names), metavar=metavar, help=explained, **more)


def parse_weights(text: str) -> dict[str, float]:
    """Parse CLASS=NUMBER pairs joined by commas, names as ``parse_names`` takes them."""
    weights: dict[str, float] = {}
    for pair in parse_names(text):
        name, equals, number = pair.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            equals = ""
        if not name or not equals or not 0 <= weights[name] < math.inf:
            raise ValueError(f"expected CLASS=NUMBER (horse=2), or some joined by commas, got {text!r}")
    return weights


def parse_feature(text: str) -> str:
    """Parse the name of one feature."""
    from semcbir import features

    return parse_choice(text, tuple(features.FEATURES))


def parse_path(text: str) -> Path:
    """Parse a path. An empty one is a variable that is not set, not the current folder."""
    if not text:
        raise ValueError("expected a path, got ''")
    return Path(text)


NOT_THE_WEB = "photos are read from files, not from the web, so download it first"


def parse_query(text: str) -> Path:
    """Parse the path of a photo; an address of the web is none."""
    if text.lower().startswith(("http://", "https://")):
        raise ValueError(f"{NOT_THE_WEB}, got {text!r}")
    return parse_path(text)


def parse_picture(text: str) -> Path:
    """Parse the name of a picture to write; a wrong name is reported before the work, not after."""
    from PIL import Image

    path = Path(expanded(text))  # A shell leaves the "~" of --sheet=~/hits.jpg as it is.
    known = sorted(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.SAVE)
    if path.suffix.lower() not in known:
        raise ValueError(f"expected a picture's name such as out.png, got {text!r}")
    check_folder(path.parent)
    return path


def check_folder(folder: Path) -> None:
    """Raise ValueError if ``folder`` does not exist."""
    if not folder.is_dir():
        raise ValueError(f"folder {display_path(folder)} is not there")


_PATH = {"parser": usage(parse_path)}

Folders = Annotated[list[Path], typer.Argument(help="Folders of photos.", metavar="FOLDER", **_PATH)]
MoreFolders = Annotated[
    list[Path] | None,
    typer.Argument(help="More folders to add.", metavar="FOLDER", show_default=False, **_PATH),
]
Place = Annotated[
    Path, typer.Argument(help="An index, or a folder of photos that has its own.", metavar="INDEX", **_PATH)
]
Target = Annotated[
    Path,
    typer.Argument(
        help=f"An index, or a folder of photos, whose index is kept up to date in FOLDER/{FOLDER_INDEX}.",
        metavar="INDEX-or-FOLDER",
        **_PATH,
    ),
]
Query = Annotated[Path, typer.Argument(help="A photo.", metavar="QUERY", parser=usage(parse_query))]
Hits = Annotated[int, integer_option("-k", 1, 2**31 - 1, "How many hits.")]
SameHits = Annotated[
    int | None,
    typer.Option(
        "--top",
        "-n",
        "--limit",
        parser=usage(partial(parse_integer, low=1, high=2**31 - 1)),
        metavar="NUMBER",
        hidden=True,  # what other programs call -k
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model: its .onnx file, its card, or a name from `semcbir models list`; for a folder's first "
        "search, and where an index has no copy and the file has moved.",
        show_default=False,
    ),
]
FeatureNames = Annotated[
    str | None,
    typer.Option(
        "--features",
        parser=usage(parse_features),
        metavar="NAMES",
        help="One or more of deep, kaze, surf, sift, hog, joined by commas. Default: those of the "
        "index; of a new one deep.",
        show_default=False,
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="ENCODER",
        help="The encoder of feature deep: its .onnx file, its card, or a name from `semcbir models list`.",
        show_default=False,
    ),
]
UsedEncoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="ENCODER",
        help="An encoder: its .onnx file, its card, or a name from `semcbir models list`; for a folder's "
        "first search, and where an index has no copy and the file has moved.",
        show_default=False,
    ),
]
Weighting = Annotated[
    str | None,
    choice_option(
        "--weighting",
        ("none", "share"),
        "How the rows of a signature count: as in the paper, or by the share of their class. Default: share "
        "for deep, none for the others.",
    ),
]
FeatureName = Annotated[
    str | None,
    typer.Option(
        "--feature",
        parser=usage(parse_feature),
        metavar="NAME",
        help="The feature to compare by (default: the index's first).",
    ),
]
OnDevice = Annotated[
    str,
    choice_option("--device", DEVICES, "Where the model runs."),
]
Threads = Annotated[
    int | None,
    integer_option(
        "--threads", 1, MAX_THREADS, "Threads to use (default: every usable CPU).", show_default=False
    ),
]
MaxPixels = Annotated[
    int,
    integer_option(
        "--max-pixels",
        1,
        2**40,
        "Photos with more pixels are skipped before they are decoded, for the memory they would take; "
        "JPEGs count at the fraction of their size that they are decoded at. A higher number than "
        "in the run before tries photos again that were skipped.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
