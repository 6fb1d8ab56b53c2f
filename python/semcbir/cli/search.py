# SPDX-License-Identifier: MIT
"""The commands that search an index and explain why two photos are near or far."""

from __future__ import annotations

import math
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
    asked_signature,
    check_asked,
    photos_of,
)
from semcbir.cli.console import command, note
from semcbir.cli.options import (
    FeatureName,
    Json,
    MaxPixels,
    Model,
    OnDevice,
    Query,
    Target,
    Threads,
    UsedEncoder,
    integer_option,
    parse_epsilon,
    parse_features,
    parse_picture,
    usage,
)
from semcbir.cli.saving import check_place, save_picture
from semcbir.cli.targets import open_index, open_models_ahead, ready_index
from semcbir.cli.text import explanation_text, explanation_values, hit_values, hits_text, write_json
from semcbir.images.limits import MAX_PIXELS
from semcbir.inference.runtime import DEVICES

if TYPE_CHECKING:
    from semcbir.searcher import Penalized


@command
def search(
    query: Query,
    target: Target,
    k: Annotated[int, integer_option("-k", 1, 2**31 - 1, "How many hits.")] = 20,
    epsilon: Annotated[
        Any,
        typer.Option(
            parser=usage(parse_epsilon),
            metavar="NUMBER",
            help="Photos with a larger histogram distance are penalised (ranked last); none: no filter; "
            "auto: 0.9 for local features.",
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
    sheet: Annotated[
        Path | None,
        typer.Option(
            parser=usage(parse_picture), metavar="PICTURE", help="Save query and hits as a contact sheet."
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
    as_json: Json = False,
) -> int:
    """Find the photos most like a photo.

    Hits are ranked by the distance between signatures, nearest first.
    """
    photos = photos_of(query, also, unlike)
    check_asked(at, box, only, len(photos) > 1)
    open_models_ahead(target, model, encoder, device, threads)
    from semcbir.images.decode import load_noted
    from semcbir.query import search as find

    # A query that cannot be read, or a photo that would be overwritten, must fail before any long work.
    for photo in photos:
        _, damage = load_noted(photo, 64, max_pixels)
        if damage:
            note(f"{display_path(photo)} is damaged: {display_path(damage)}")
    check_place("--sheet", sheet)
    opened, extractor, code = ready_index(
        target, model, encoder, features, feature, device, threads, max_pixels
    )
    penalized: Penalized = "drop" if drop else "last"
    signature, name = asked_signature(extractor, photos, len(unlike or ()), at, box, feature)
    if name is not None:
        only = (f"={name}",)
    (results,) = find(
        signature,
        opened,
        k,
        None if epsilon == math.inf else epsilon,
        penalized,
        feature,
        smooth,
        only=only,
        without=without,
        weights=weights,
        keep=keep,
        expand=expand,
        where=where,
    )
    bound = results.epsilon
    if as_json:
        asked = {"query": query, "index": opened.path, "feature": opened.recipe.feature(feature).name}
        asked |= {"k": k, "epsilon": bound, "penalized": penalized, "smooth": smooth}
        asked |= {"only": only, "without": without, "weights": weights, "keep": keep}
        asked |= {"at": at, "box": box, "also": also, "not": unlike, "expand": expand, "where": where}
        asked |= {"images": len(opened)}
        write_json({**asked, "kept": results.kept, "hits": [hit_values(hit) for hit in results]})
    else:
        print(hits_text(results))
    if not len(opened):
        note(f"there are no photos in {display_path(target)}")
    elif only:
        names = name or ", ".join(only)
        note(f"{results.kept} of {len(opened)} images hold 2 % or more of {names}")
    elif bound is None and drop:
        note("--drop leaves out what the semantic filter penalises, and there is none; --epsilon sets one")
    elif bound is not None:
        note(
            f"{results.kept} of {len(opened)} images pass the semantic filter"
            + (f", whose epsilon came to {bound:.3g}" if keep else "")
        )
    if sheet:
        from semcbir.pictures.sheet import contact_sheet

        save_picture(contact_sheet(query, results), sheet)
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
    check_asked(at, box, only, several=False)
    open_models_ahead(target, model, encoder, device, threads)
    from semcbir.explanation import explain as take_apart

    opened = open_index(target)
    check_place("--picture", picture)
    extractor = opened.extractor(model=model, encoder=encoder, device=device, threads=threads)
    # Image files have a suffix, so digits alone are an id.
    image = int(hit) if hit.isascii() and hit.isdigit() else hit
    explanation = take_apart(
        query, image, opened, feature, only=only, weights=weights, region=at or box, extractor=extractor
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
