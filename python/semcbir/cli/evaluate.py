# SPDX-License-Identifier: MIT
"""The command that measures how well searches find: ``semcbir evaluate``."""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from semcbir._files import absolute, display_path
from semcbir._validate import counted
from semcbir.cli.console import SKIPPED, command, note
from semcbir.cli.examples import ending
from semcbir.cli.interrupts import keep_nothing
from semcbir.cli.options import (
    Encoder,
    Json,
    Model,
    OnDevice,
    Threads,
    Weighting,
    integer_option,
    names_option,
    parse_features,
    parse_path,
    usage,
)
from semcbir.cli.progress import PhotoMeter, RunMeter
from semcbir.cli.text import write_json
from semcbir.inference.runtime import DEVICES
from semcbir.networks.cache import cache_folder
from semcbir.networks.packaged import DEFAULT

app = typer.Typer(
    help="Measure how well searches find, on labelled photos.",
    epilog=ending("evaluate"),
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DATASETS = {
    "wang": "Wang (Corel-1000): 0.jpg to 999.jpg.",
    "msrc-v1": "MSRC v1: R_N_s.bmp, 240 photos.",
    "msrc-v2": "MSRC v2: R_N_s.bmp, 591 photos.",
    "linnaeus": "Linnaeus 5: train/CLASS and test/CLASS.",
    "folder": "Your own: a sub-folder for each class.",
}


def parse_epsilons(text: str) -> tuple[float, ...]:
    """Parse numbers of 0 or more, joined by commas."""
    found: list[float] = []
    for one in text.split(","):
        try:
            found.append(float(one))
        except ValueError:
            found.append(math.nan)
        if not 0 <= found[-1] < math.inf:
            raise ValueError(f"expected a number of 0 or more, or some joined by commas, got {text!r}")
    return tuple(found)


def parse_table(text: str) -> int:
    """Parse the number of one of the paper's tables."""
    if text not in ("3", "4", "5", "6"):
        raise ValueError(f"expected 3, 4, 5 or 6, got {text!r}")
    return int(text)


_PATH = {"parser": usage(parse_path)}
Folder = Annotated[Path, typer.Argument(help="Where the photos were unpacked.", metavar="FOLDER", **_PATH)]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model: its .onnx file, its card, or a name from `semcbir models list`; may be repeated.",
        show_default=False,
    ),
]
Features = Annotated[
    str,
    typer.Option("--features", parser=usage(parse_features), metavar="NAMES", help="Joined by commas."),
]
Epsilon = Annotated[
    float,
    typer.Option(
        "--epsilon",
        parser=usage(lambda text: _one(parse_epsilons(text))),
        metavar="NUMBER",
        help="Of the filter.",
    ),
]
Sweep = Annotated[
    Any,
    typer.Option(
        "--sweep",
        parser=usage(parse_epsilons),
        metavar="NUMBERS",
        show_default=False,
        help="Other epsilons, joined by commas: ap for each.",
    ),
]
Smooth = Annotated[
    int | None,
    integer_option(
        "--smooth", 1, 1000, "Measure searches that smooth with so many neighbours, too.", show_default=False
    ),
]
Parts = Annotated[
    bool, typer.Option("--parts", help="Of deep, measure the class rows and the whole row alone, too.")
]
Baselines = Annotated[
    Any,
    names_option(
        "--baselines",
        "NAMES",
        "What to compare with, joined by commas: bovw, ngrams, phrases, vlad, fisher (of every local "
        "feature named), colour, cedd, phash, dhash. Needs the extra eval.",
        show_default=False,
    ),
]
Classifiers = Annotated[
    list[str] | None,
    typer.Option(
        "--classifier",
        metavar="MODEL",
        show_default=False,
        help="An image classification network to compare with: its card or .onnx file "
        "(docs/baselines.md); may be repeated.",
    ),
]
Whiten = Annotated[
    int | None,
    integer_option(
        "--whiten",
        1,
        2**16,
        "Measure vectors of bags and networks whitened to so many numbers, too.",
        show_default=False,
    ),
]
Words = Annotated[
    int | None,
    integer_option(
        "--words",
        2,
        2**20,
        "Words of vocabularies, or Gaussians of Fisher vectors (default: 1000 of bovw, 100 of ngrams and "
        "phrases, 64 of vlad and fisher).",
        show_default=False,
    ),
]
Root = Annotated[
    bool, typer.Option("--root", help="Square-root descriptors for baselines first, as RootSIFT does.")
]
Asked = Annotated[
    Any,
    names_option(
        "--queries",
        "CLASSES",
        "Ask photos of these classes only, joined by commas (a name with a comma in double quotes); all stay "
        "in the database.",
        show_default=False,
    ),
]
Distractors = Annotated[
    list[Path] | None,
    typer.Option(
        "--distractors",
        metavar="FOLDER",
        show_default=False,
        parser=usage(parse_path),
        help="Photos that are searched, relevant to nothing and never asked; may be repeated.",
    ),
]
Tables = Annotated[
    list[int] | None,
    typer.Option(
        "--table",
        parser=usage(parse_table),
        metavar="<3|4|5|6>",
        show_default=False,
        help="One of the paper's tables, with its figures; may be repeated.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FOLDER",
        show_default=False,
        parser=usage(parse_path),
        help="Also write there, outside of the photos: results.md, figures.json, figures.csv, the worst "
        "queries as contact sheets, and, with the extra eval, plots. Older results there are replaced.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        show_default=False,
        parser=usage(parse_path),
        help="Where label maps, features and signatures are kept; about 1 MB a photo. "
        "Default: evaluation in the user's cache (`semcbir models list` says where that is).",
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep nothing.")]
LongSide = Annotated[
    int, integer_option("--long-side", 1, 2**16, "The bound on a photo's longer side, in pixels.")
]


def _one(values: tuple[float, ...]) -> float:
    if len(values) != 1:
        raise ValueError(f"expected one number, got {len(values)}")
    return values[0]


def _add(name: str, explained: str) -> None:
    """Add the command of a data set; all have the same options."""

    @app.command(
        name,
        help=f"{explained} Every query is asked by every feature, and judged by every measure: without "
        "the semantic filter, with it, and with what it penalises left out."
        + (" Photos that cannot be read are left out." if name == "folder" else ""),
        short_help=explained,
        epilog=ending(f"evaluate {name}"),
    )
    @command
    def evaluate(
        folder: Folder,
        models: Models = None,
        features: Features = "deep,kaze,surf,hog,sift",
        encoder: Encoder = None,
        weighting: Weighting = None,
        epsilon: Epsilon = 0.9,
        sweep: Sweep = None,
        smooth: Smooth = None,
        parts: Parts = False,
        baselines: Baselines = None,
        classifiers: Classifiers = None,
        words: Words = None,
        whiten: Whiten = None,
        root: Root = False,
        queries: Asked = None,
        distractors: Distractors = None,
        table: Tables = None,
        out: Output = None,
        as_json: Json = False,
        cache: Cache = None,
        no_cache: NoCache = False,
        long_side: LongSide = 512,
        device: OnDevice = DEVICES[0],
        threads: Threads = None,
    ) -> int | None:
        from semcbir.evaluation import datasets, layouts, paper, report
        from semcbir.evaluation.evaluate import evaluate as evaluated
        from semcbir.evaluation.plots import NO_PLOTS
        from semcbir.evaluation.store import Store
        from semcbir.evaluation.ways import Settings

        dataset = layouts.DATASETS[name](folder)
        if queries is not None:
            dataset = dataset.asking(queries)
        dataset = datasets.with_distractors(dataset, distractors or [])
        tables = tuple(dict.fromkeys(table or []))
        for number in tables:
            paper.check(number, name, features.split(","))
        if out is not None:
            report.check_place(out, dataset)
        settings = Settings(
            models=tuple(models or [None]),
            features=features,
            encoder=encoder,
            weighting=weighting,
            long_side=long_side,
            device=device,
            threads=threads,
            smooth=smooth,
            parts=parts,
            baselines=baselines or (),
            classifiers=tuple(classifiers or ()),
            words=words,
            whiten=whiten,
            root=root,
        )
        with ExitStack() as stack:
            kept = absolute(cache) if cache else cache_folder() / "evaluation"
            if no_cache:
                keep_nothing()
                kept = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = stack.enter_context(Store(kept))
            meter = stack.enter_context(PhotoMeter(len({*dataset.database, *dataset.queries})))
            found = evaluated(
                dataset,
                settings,
                store,
                epsilon,
                sweep=sweep or (),
                on_progress=meter.read,
                on_learning=lambda what: note(f"{what}: learning"),
            )
        said = report.text(found, tables)
        if out is not None:
            plotted = report.write(found, out, said)
            note(f"written to {display_path(out)}" + ("" if plotted else f", without plots: {NO_PLOTS}"))
        for path, why in found.unreadable.items():
            note(f"left out: {display_path(path)}: {why}")
        for way, why in found.unlearnt.items():
            note(f"left out: {way}: {why}")
        if as_json:
            write_json(found.to_dict())
        else:
            print(said, flush=True)
        return SKIPPED if found.unreadable or found.unlearnt else None


for _name, _explained in _DATASETS.items():
    _add(_name, _explained)


Figures = Annotated[Path, typer.Argument(help="A figures.json, or its folder.", metavar="FILE", **_PATH)]


@app.command(epilog=ending("evaluate compare"))
@command
def compare(
    first: Figures,
    second: Annotated[
        Path | None,
        typer.Argument(help="Another one (default: the same).", metavar="[FILE]", **_PATH),
    ] = None,
    way: Annotated[
        str | None,
        typer.Option(
            "--way",
            metavar="NAME",
            show_default=False,
            help='A way of ranking of the first file, with or without its mode: "kaze" or "kaze, drop".',
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME",
            show_default=False,
            help="What it is compared with, of the second file (default: the same).",
        ),
    ] = None,
    measures: Annotated[
        Any,
        names_option("--measures", "NAMES", "Joined by commas."),
    ] = "ap,p@20 in,paper",
) -> None:
    """Compare ways of ranking over the same queries: differences, intervals, and whether they are chance.

    Of two runs, all ways of the same name are compared, or those that are named; of one run two ways that are
    named. p is that of a paired randomisation test.
    """
    from semcbir.evaluation.comparison import comparison, read

    if second is None and (way is None or against is None):
        lacking = " and ".join(
            option for option, name in (("--way", way), ("--against", against)) if name is None
        )
        raise ValueError(f"way: expected --way and --against, of the one file or of two, got no {lacking}")
    one = read(first)
    print(comparison(one, one if second is None else read(second), way, against, measures))


@app.command(epilog=ending("evaluate copies"))
@command
def copies(
    folder: Annotated[Path, typer.Argument(help="Photos.", metavar="FOLDER", **_PATH)],
    model: Model = None,
    features: Features = "deep,kaze,surf,hog,sift",
    encoder: Encoder = None,
    weighting: Weighting = None,
    queries: Annotated[
        int | None,
        integer_option(
            "--queries", 1, 2**31, "Photos to make copies of (default: 100, or all).", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    long_side: LongSide = 512,
    device: OnDevice = DEVICES[0],
    threads: Threads = None,
) -> int | None:
    """Measure whether a photo's copy finds the photo.

    Copies of some photos are made, smaller, mirrored, compressed, brighter, cut, turned, and searched for:
    how often the original, or a photo with the same bytes, comes first, and is among the first ten. Photos
    that cannot be read are left out.
    """
    from semcbir.evaluation.copies import COPIES
    from semcbir.evaluation.finding import find_originals, usual_queries
    from semcbir.evaluation.tables import copies_markdown
    from semcbir.index.index import Index

    with tempfile.TemporaryDirectory() as scratch:
        keep_nothing()
        with RunMeter() as meter:
            index = Index.build(
                absolute(folder),
                Path(scratch) / "index",
                model=model or DEFAULT,
                features=features,
                encoder=encoder,
                weighting=weighting,
                long_side=long_side,
                device=device,
                threads=threads,
                on_progress=meter,
            )
        skipped = index.skipped
        for one in skipped:
            note(f"left out: {display_path(one.path)}: {one.reason}")
        count = usual_queries(index) if queries is None else queries
        with PhotoMeter(count * len(COPIES)) as copied:
            found = find_originals(index, count, copied.read)
        images = len(index)
    if as_json:
        kinds_of = {
            name: {kind: one.to_dict() for kind, one in kinds.items()} for name, kinds in found.items()
        }
        write_json({"photos": images, "copies of each kind": count, "found": kinds_of})
    else:
        print(copies_markdown(found))
        print(f"\n{counted(count, 'photo')} of {images} copied in each way.")
    return SKIPPED if skipped else None
