# SPDX-License-Identifier: MIT
"""The commands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semcbir._core import __version__
from semcbir._files import display_path
from semcbir.cli import models
from semcbir.cli.console import ERROR, SKIPPED, command, note, set_up
from semcbir.cli.options import (
    FOLDER_INDEX,
    Device,
    FeatureName,
    FeatureNames,
    Folders,
    Json,
    Model,
    MoreFolders,
    OnDevice,
    Place,
    Query,
    Target,
    Threads,
    parse_epsilon,
    parse_features,
    parse_picture,
    usage,
)
from semcbir.cli.pictures import check_place, save_picture
from semcbir.cli.progress import RunMeter
from semcbir.cli.reporting import (
    counted,
    explanation_text,
    explanation_values,
    hit_values,
    hits_text,
    index_text,
    index_values,
    run_text,
    run_values,
    segment_sizes,
    size,
    trouble_lines,
    write_json,
)
from semcbir.cli.targets import index_place, open_index, own_place, ready_index, rebase
from semcbir.networks.published import DEFAULT

if TYPE_CHECKING:
    from semcbir.index.index import Index
    from semcbir.index.run import Report
    from semcbir.searcher import Penalized

_HELP = "Find photos by what is in them and how it looks."
_CODES = """\b
Exit codes:
  0    done
  1    error; one line on stderr says what is wrong (check: the index is not sound)
  2    wrong usage
  3    done, but images were skipped in this run, or folders were not there
  130  interrupted; what was committed is kept, and the same command goes on from there"""

app = typer.Typer(
    help=_HELP,
    epilog=_CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models.app, name="models")


def _version(asked: bool) -> None:
    if asked:
        print(f"semcbir {__version__}")
        raise typer.Exit


@app.callback()
def _semcbir(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
@command
def index(
    folders: Folders,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="INDEX",
            help=f"Where the index goes. For one folder: FOLDER/{FOLDER_INDEX}, unless given.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="A network: its .onnx file, its card, or a name of `semcbir models list`.",
        ),
    ] = DEFAULT,
    features: FeatureNames = "kaze",
    long_side: Annotated[
        int, typer.Option(min=1, max=65536, help="Bound on the longer side of a photo, in pixels.")
    ] = 512,
    device: OnDevice = Device.auto,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Index the photos below folders.

    An index that is there already is completed, say after an interruption.
    """
    from semcbir.index.index import Index

    if output is None:
        if len(folders) > 1:
            raise typer.BadParameter("needed for several folders", param_hint="'-o' / '--output'")
        output = own_place(folders[0])
    with RunMeter() as meter:
        built = Index.build(
            folders,
            output,
            model=model,
            features=features,
            long_side=long_side,
            device=device.value,
            threads=threads,
            on_progress=meter,
        )
    return _tell(built, built.report, meter.seconds, as_json)


@app.command()
@command
def refresh(
    place: Place,
    folders: MoreFolders = None,
    model: Model = None,
    device: OnDevice = Device.auto,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Bring an index up to date with its folders.

    New and changed photos are read, vanished ones dropped.
    """
    opened = open_index(place)
    with RunMeter() as meter:
        extractor = None
        if model or threads or device is not Device.auto:
            extractor = opened.extractor(model=model, device=device.value, threads=threads)
        report = opened.refresh(folders or (), extractor=extractor, on_progress=meter)
    return _tell(opened, report, meter.seconds, as_json)


@app.command()
@command
def search(
    query: Query,
    target: Target,
    k: Annotated[int, typer.Option("-k", min=1, max=2**31 - 1, help="How many hits.")] = 20,
    epsilon: Annotated[
        float,
        typer.Option(
            parser=usage(parse_epsilon),
            metavar="NUMBER",
            help="Photos of a larger histogram distance are penalised: ranked last; none: no such filter.",
        ),
    ] = 0.9,
    drop: Annotated[bool, typer.Option("--drop", help="Leave penalised photos out.")] = False,
    feature: FeatureName = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            parser=usage(parse_picture), metavar="PICTURE", help="Save query and hits as a contact sheet."
        ),
    ] = None,
    model: Model = None,
    features: Annotated[
        str | None,
        typer.Option(
            parser=usage(parse_features),
            metavar="NAMES",
            help="Features for the first use of a folder (kaze).",
        ),
    ] = None,
    device: OnDevice = Device.auto,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Find the photos most like a photo.

    Ranked by the distance between signatures, nearest first.
    """
    from semcbir.images.decode import load_image
    from semcbir.query import search as find

    # Before any long work: a query that cannot be read, or a photo that would be overwritten, ends it here.
    load_image(query, 64)
    check_place("--sheet", sheet)
    opened, extractor, code = ready_index(target, model, features, device.value, threads)
    bound = None if math.isinf(epsilon) else epsilon
    penalized: Penalized = "drop" if drop else "last"
    (results,) = find(extractor.extract([query], feature), opened, k, bound, penalized, feature)
    if as_json:
        asked = {"query": query, "index": opened.path, "feature": opened.recipe.feature(feature).name}
        asked |= {"k": k, "epsilon": bound, "penalized": penalized, "images": len(opened)}
        write_json({**asked, "kept": results.kept, "hits": [hit_values(hit) for hit in results]})
    else:
        print(hits_text(results))
    if not len(opened):
        note(f"there is no photo in {display_path(target)}")
    elif bound is not None:
        note(f"{results.kept} of {len(opened)} images pass the semantic filter")
    if sheet:
        from semcbir.pictures.sheet import contact_sheet

        save_picture(contact_sheet(query, results), sheet)
    return code


@app.command()
@command
def explain(
    query: Query,
    hit: Annotated[str, typer.Argument(help="A photo in the index: its path, or its id.", metavar="HIT")],
    target: Target,
    feature: FeatureName = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            parser=usage(parse_picture), metavar="PICTURE", help="Save photos, label maps and legend."
        ),
    ] = None,
    model: Model = None,
    device: OnDevice = Device.auto,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Show what keeps two photos apart.

    For each class of either photo: how much of them it covers, and its part of their distance.
    """
    from semcbir.explanation import explain as take_apart

    opened = open_index(target)
    check_place("--picture", picture)
    extractor = opened.extractor(model=model, device=device.value, threads=threads)
    # No image file is called by digits alone, so that those are an id.
    image = int(hit) if hit.isascii() and hit.isdigit() else hit
    explanation = take_apart(query, image, opened, feature, extractor=extractor)
    if explanation.hit_analysis is None:
        note(f"{display_path(explanation.hit.path)} cannot be read any more; the numbers are the index's")
    if as_json:
        write_json(explanation_values(explanation))
    else:
        print(explanation_text(explanation))
    if picture:
        from semcbir.pictures.explanation import explanation_picture

        save_picture(explanation_picture(explanation), picture)


@app.command()
@command
def info(
    place: Place,
    root: Annotated[
        str | None,
        typer.Option(
            metavar="NEW or OLD=NEW", help="First, tell the index where its folder of photos is now."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what an index holds and how it was made."""
    opened = open_index(place)
    if root is not None:
        rebase(opened, root)
    if as_json:
        write_json(index_values(opened))
    else:
        print(index_text(opened))


@app.command()
@command
def check(place: Place, as_json: Json = False) -> int:
    """Verify an index, checksums included.

    The exit code is 1 where something is wrong.
    """
    from semcbir.index.check import check_index

    found = check_index(index_place(place))
    if as_json:
        write_json({"problems": found})
    else:
        print("\n".join(map(display_path, found)) if found else f"{display_path(place)} is sound")
    return ERROR if found else 0


@app.command()
@command
def compact(place: Place) -> None:
    """Make an index as small as it can be.

    Its segments become one, without what removed photos left behind.
    """
    opened = open_index(place)
    before = segment_sizes(opened)
    opened.compact()
    after = segment_sizes(opened)
    was = f"{counted(len(before), 'segment')} of {size(sum(before))}"
    print(f"{display_path(opened.path)}: {was}, now {counted(len(after), 'segment')} of {size(sum(after))}")


def _tell(opened: Index, report: Report, seconds: float, as_json: bool) -> int:
    """Write what a run did to stdout, and the files it skipped to stderr; return the exit code."""
    if as_json:
        write_json(run_values(opened, report, seconds))
    else:
        print(run_text(opened, report, seconds))
        for line in trouble_lines(report, opened.path):
            note(line)
    return SKIPPED if report.skipped or report.missing or report.unreadable else 0


def run() -> None:
    """Run the command that the process's arguments name, and exit."""
    set_up()
    app(prog_name="semcbir")
