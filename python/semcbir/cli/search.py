# SPDX-License-Identifier: MIT
"""The commands that search an index and explain why two photos are near or far."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import display_path
from semcbir.cli.asking import (
    Also,
    At,
    Box,
    Conditions,
    Expand,
    Keep,
    Only,
    Unlike,
    Weights,
    Without,
    asked_lines,
    asked_signature,
    check_asked,
    joined,
    merged,
)
from semcbir.cli.console import ERROR, command, note
from semcbir.cli.filtered import asked_words, epsilon_note, keep_note, kept_note
from semcbir.cli.hits import Answers
from semcbir.cli.options import (
    FeatureName,
    Hits,
    Json,
    MaxPixels,
    Model,
    OnDevice,
    Query,
    SameHits,
    Target,
    Threads,
    UsedEncoder,
    integer_option,
    parse_epsilon,
    parse_features,
    parse_path,
    parse_picture,
    usage,
)
from semcbir.cli.outputs import Copy, Csv, Link, Null, Open, Outputs, Paths, Sheet, Terminal
from semcbir.cli.queries import Queries, check_there, extracted, given_photos
from semcbir.cli.saving import check_place, save_picture
from semcbir.cli.targets import open_index, open_models_ahead, ready_index, require_feature
from semcbir.cli.text import explanation_text, explanation_values, write_json
from semcbir.errors import ImageError
from semcbir.images.limits import MAX_PIXELS
from semcbir.inference.runtime import DEVICES

if TYPE_CHECKING:
    from semcbir.results import Results
    from semcbir.searcher import Epsilon, Penalized
    from semcbir.signatures import Signatures


@command
def search(
    *,
    query: Queries = None,
    target: Target,
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries",
            parser=usage(parse_path),
            metavar="FILE",
            help="In the place of QUERY: search for each photo that a file lists, one a line (-: stdin).",
            show_default=False,
        ),
    ] = None,
    k: Hits = 20,
    top: SameHits = None,
    epsilon: Annotated[
        Any,
        typer.Option(
            parser=usage(parse_epsilon),
            metavar="NUMBER",
            help="Photos with a larger histogram distance are penalised (ranked last); none: no filter; "
            "auto: 0.9 for local features, none for deep.",
        ),
    ] = "auto",
    only: Only = None,
    without: Without = None,
    weights: Weights = None,
    keep: Keep = None,
    at: At = None,
    box: Box = None,
    also: Also = None,
    unlike: Unlike = None,
    expand: Expand = 0,
    where: Conditions = None,
    drop: Annotated[bool, typer.Option("--drop", help="Leave penalised photos out.")] = False,
    feature: FeatureName = None,
    smooth: Annotated[
        int | None,
        integer_option(
            "--smooth",
            0,
            1000,  # MAX_SMOOTH of semcbir.smoothing, which loads NumPy
            "Compare photos averaged with this many of their nearest (10, say; default: none). It finds more "
            "of a kind, and takes as long as a search for each photo.",
            show_default=False,
        ),
    ] = None,
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
    paths: Paths = False,
    null: Null = False,
    as_csv: Csv = False,
    as_json: Json = False,
    sheet: Sheet = None,
    copy: Copy = None,
    link: Link = None,
    show: Open = False,
    terminal: Terminal = False,
) -> int:
    """Find the photos most like a photo.

    Hits are ranked by the distance between signatures, nearest first.
    """
    names, left_out, counts = joined(only), joined(without), merged(weights)
    if keep is not None and epsilon != "auto":
        raise typer.BadParameter("expected --keep or --epsilon, not both", param_hint="--keep")
    photos = given_photos(query or (), target, queries)
    beside = [*(also or ()), *(unlike or ())]
    check_asked(at, box, names, bool(beside), queries is not None)
    outputs = Outputs(as_json, paths, null, as_csv, terminal, sheet, copy, link, show)
    outputs.check(len(photos))
    open_models_ahead(target, model, encoder, device, threads)
    from semcbir.images.decode import load_noted
    from semcbir.query import search as find
    from semcbir.results import penalised_words
    from semcbir.terms import named_terms, require_classes

    # A query that cannot be read must fail before any long work.
    check_there([*photos, *beside])
    for photo in [*photos, *beside] if queries is None else ():
        _, damage = load_noted(photo, 64, max_pixels)
        if damage:
            note(f"{display_path(photo)} is damaged: {display_path(damage)}")
    if said := epsilon_note(epsilon):
        note(said)
    opened, extractor, code = ready_index(
        target, model, encoder, features, feature, device, threads, max_pixels
    )
    k, classes = top or k, opened.classes
    named_terms(classes, names, left_out, counts)  # a name that nothing has is no query's fault
    penalized: Penalized = "drop" if drop else "last"
    there = len(opened) if where is None else len(opened.select(where))
    each = extracted(extractor, photos, feature)
    if at or box or beside:
        many = [photos[0], *beside]
        signature, name = asked_signature(extractor, many, len(unlike or ()), at, box, feature)
        names = names if name is None else (f"={name}",)
        each = iter([(photos[0], signature)])

    def searched(signatures: Signatures, keep: int | None = keep, epsilon: Epsilon = epsilon) -> Results:
        (results,) = find(
            signatures,
            opened,
            k,
            None if epsilon == math.inf else epsilon,
            penalized,
            feature,
            smooth,
            only=names,
            without=left_out,
            weights=counts,
            keep=keep,
            expand=expand,
            where=where,
        )
        return results

    beside_it = asked_lines(names, left_out, counts, at, box, also, unlike, where)
    answers = Answers(outputs, opened.roots, many=queries is not None, asked=beside_it)
    for photo, found in each:
        try:
            if isinstance(found, ImageError):
                raise found
            if queries:
                require_classes(found, classes, names, counts)
        except (ImageError, ValueError) as error:
            answers.fail(photo, error)
            code = ERROR
            continue
        results = searched(found)
        asked = {"query": photo, "index": opened.path, "feature": opened.recipe.feature(feature).name}
        asked |= {"k": k, "epsilon": results.epsilon, "penalized": penalized, "smooth": smooth}
        asked |= {"only": names, "without": left_out, "weights": counts, "keep": keep}
        asked |= {"at": at, "box": box, "also": also, "not": unlike, "expand": expand, "where": where}
        asked |= {"images": len(opened)}
        more = None if keep else keep_note(results, there, k, partial(searched, found, epsilon="auto"))
        said = kept_note(results, there, names, keep, drop)
        if not there:
            meet = f" that meet {' and '.join(where)}" if where and len(opened) else ""
            said = f"there are no photos in {display_path(target)}{meet}"
            if any(one.startswith("folder:") for one in where or ()):
                said += "; a folder is named by its path in the indexed one, or from the root"
        below = penalised_words(results, None if left_out else there - results.kept, asked_words(names))
        added = answers.add(photo, results, asked, below, filter(None, (said, more)))
        code = code or added
    answers.finish()
    return code


@command
def explain(
    query: Query,
    hit: Annotated[str, typer.Argument(help="A photo in the index: its path, or its id.", metavar="HIT")],
    target: Target,
    feature: FeatureName = None,
    only: Only = None,
    weights: Weights = None,
    at: At = None,
    box: Box = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            parser=usage(parse_picture), metavar="PICTURE", help="Save photos, label maps and legend."
        ),
    ] = None,
    model: Model = None,
    encoder: UsedEncoder = None,
    device: OnDevice = DEVICES[0],
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Show how two photos differ.

    For each class in either photo: how much of each photo it covers, and its part of their distance.
    """
    names, counts = joined(only), merged(weights)
    check_asked(at, box, names, several=False)
    open_models_ahead(target, model, encoder, device, threads)
    from semcbir.explanation import explain as take_apart

    require_feature(target, feature)
    opened = open_index(target)
    check_place("--picture", picture)
    check_there([query])
    extractor = opened.extractor(model=model, encoder=encoder, device=device, threads=threads)
    # Image files have a suffix, so digits alone are an id.
    image = int(hit) if hit.isascii() and hit.isdigit() else hit
    explanation = take_apart(
        query, image, opened, feature, only=names, weights=counts, region=at or box, extractor=extractor
    )
    if explanation.hit_analysis is None:
        note(f"{display_path(explanation.hit.path)} cannot be read any more; the numbers are the index's")
    if as_json:
        write_json(explanation_values(explanation))
    else:
        print(explanation_text(explanation))
    if picture:
        from semcbir.pictures.explanation import explanation_picture

        save_picture(explanation_picture(explanation), picture)
