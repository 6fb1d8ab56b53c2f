# SPDX-License-Identifier: MIT
"""Reporting: what the commands found, as text for people and as values for JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcbir._files import bytes_words, display_path
from semcbir._validate import counted
from semcbir.index.catalog import read
from semcbir.networks.specs import InferenceSpec

if TYPE_CHECKING:
    from semcbir.explanation import ClassShare, Explanation
    from semcbir.features import Feature
    from semcbir.index.index import Index
    from semcbir.index.report import Damaged, Report, Skipped
    from semcbir.recipe import Recipe
    from semcbir.results import Hit

size = bytes_words

LISTED = 20
"""The most skipped files named in text; the rest are counted."""


def write_json(value: Any) -> None:
    """Write ``value`` to stdout as JSON; undecodable bytes of a path become escaped lone surrogates."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False, default=os.fspath))


def _finite(value: Any) -> Any:
    """Replace numbers that JSON cannot hold with null: a distance to a damaged signature is infinite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def duration(seconds: float) -> str:
    """Return a time as people write it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def elapsed(seconds: float) -> str:
    """Return how long something took, of some minutes with their seconds."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if 60 <= whole < 600 else duration(seconds)


def run_values(index: Index, report: Report, seconds: float) -> dict[str, Any]:
    """Return what a run over an index did."""
    return {
        "index": index.path,
        "images": len(index),
        "added": report.added,
        "updated": report.updated,
        "removed": report.removed,
        "moved": report.moved,
        "unchanged": report.unchanged,
        "left_out": report.left_out,
        "skipped": _reason_values(report.skipped),
        "damaged": _reason_values(report.damaged),
        "missing": report.missing,
        "unreadable": report.unreadable,
        "ignored": report.ignored,
        "seconds": round(seconds, 3),
    }


def run_text(index: Index, report: Report, seconds: float) -> str:
    """Return what a run over an index did, in one line."""
    read = report.added + report.updated + len(report.skipped)
    rate = f", {read / seconds:.1f} images/s" if read and seconds > 0 else ""
    moved = f"{report.moved} moved, " if report.moved else ""
    damaged = f", {len(report.damaged)} damaged" if report.damaged else ""
    return (
        f"{display_path(index.path)}: {counted(len(index), 'image')} ({report.added} added, {moved}"
        f"{report.updated} updated, {report.removed} removed, {report.unchanged} unchanged, "
        f"{len(report.skipped)} skipped{damaged}) in {elapsed(seconds)}{rate}"
    )


def left_out_lines(report: Report, index: Path) -> list[str]:
    """Return lines that say which files are passed over: removed ones, and those of unknown kinds."""
    lines = []
    if report.left_out:
        lines.append(
            f"{counted(report.left_out, 'photo')} left out because of `semcbir remove`; "
            f"`semcbir index FOLDER -o {display_path(index)} --restore` brings those of a folder back"
        )
    if report.ignored:
        kinds = ", ".join(f"{count} {kind}" for kind, count in report.ignored.items())
        lines.append(f"not read, as no decoder here knows their kinds: {kinds}")
    return lines


def trouble_lines(report: Report, index: Path) -> list[str]:
    """Return a line for each folder that was missing or could not be listed, each damaged or skipped file."""
    lines = [
        f"folder {display_path(folder)} is not there, or has no images left; its images stay in the index "
        f"until `semcbir remove {display_path(index)} {display_path(folder)}`"
        for folder in report.missing
    ]
    lines += [f"folder {display_path(folder)} cannot be listed" for folder in report.unreadable]
    lines += reason_lines("damaged", report.damaged, index)
    return lines + reason_lines("skipped", report.skipped, index)


def reason_lines(what: str, found: Sequence[Skipped | Damaged], index: Path) -> list[str]:
    """Return a line with the reason for each of the first LISTED files, and one for the rest."""
    lines = [f"{what} {display_path(one.path)}: {display_path(one.reason)}" for one in found[:LISTED]]
    if len(found) > LISTED:
        rest = len(found) - LISTED
        lines.append(f"{what} {rest} more; `semcbir info --json {display_path(index)}` lists all of them")
    return lines


def _reason_values(found: Sequence[Skipped | Damaged]) -> list[dict[str, Any]]:
    return [{"path": one.path, "reason": one.reason} for one in found]


def hit_values(hit: Hit) -> dict[str, Any]:
    """Return a hit's fields."""
    return {
        "rank": hit.rank,
        "id": hit.id,
        "path": hit.path,
        "distance": hit.distance,
        "histogram_distance": hit.histogram_distance,
        "penalized": hit.penalized,
    }


def explanation_values(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation's numbers; its pictures are left out."""
    return {
        "query": explanation.query_path,
        "hit": {"id": explanation.hit.id, "path": explanation.hit.path},
        "feature": explanation.recipe.feature().name,
        "distance": explanation.distance,
        "histogram_distance": explanation.histogram_distance,
        "classes": [vars(row) for row in explanation.rows],
    }


def explanation_text(explanation: Explanation) -> str:
    """Return the distances and a line for each class."""
    query, hit = explanation.query_path, explanation.hit
    head = [
        f"query               {display_path(query) if query else 'an array'}",
        f"hit                 {display_path(hit.path)} (id {hit.id})",
        f"distance            {explanation.distance:.4f} ({explanation.recipe.feature().name})",
        f"histogram distance  {explanation.histogram_distance:.4f}",
        "",
    ]
    wide = max([len("class"), *(len(display_path(row.name)) for row in explanation.rows)])
    title = f"{'class':<{wide}}  {'query':>7}  {'hit':>7}  {'histogram':>9}  {'distance^2':>10}  {'share':>7}"
    words = [
        "",
        "query, hit: the class's share of the photo; histogram: its part of the histogram distance",
        "distance^2: its part of the squared distance, share: that as a share of the whole",
    ]
    if any(row.query_proportion == row.hit_proportion == 0 for row in explanation.rows):
        words.append("whole image: how the photo looks as a whole, whatever is in it")
    return "\n".join([*head, title, *(_class_line(row, wide) for row in explanation.rows), *words])


def _class_line(row: ClassShare, wide: int) -> str:
    from semcbir.explanation import percent, proportions, remark

    where = f"  {said}" if (said := remark(row)) else ""
    in_query, in_hit = proportions(row)
    term = "" if in_query is None else f"{row.histogram_term:.4f}"
    shares = [percent(share) for share in (in_query, in_hit, row.share)]
    return (
        f"{display_path(row.name):<{wide}}  {shares[0]:>7}  {shares[1]:>7}  {term:>9}  "
        f"{row.squared_distance:>10.5f}  {shares[2]:>7}{where}"
    )


@dataclass(frozen=True)
class _Listed:
    """What the catalogue of an index lists: files with a reason, and the sizes of the segments.

    ``complete`` is false until all photos were read.
    """

    skipped: list[Skipped]
    damaged: list[Damaged]
    segments: list[int]
    complete: bool

    @classmethod
    def of(cls, index: Index) -> _Listed:
        from semcbir.index import lookup
        from semcbir.index.create import BUILDING

        with read(index.path) as catalog:
            sizes = [file.size for _, file in catalog.segments()]
            complete = catalog.meta(BUILDING) is None
            return cls(lookup.skipped(catalog), lookup.damaged(catalog), sizes, complete)


def segment_sizes(index: Index) -> list[int]:
    """Return the size in bytes of each segment."""
    with read(index.path) as catalog:
        return [file.size for _, file in catalog.segments()]


def index_values(index: Index) -> dict[str, Any]:
    """Return what an index holds and how it was made."""
    listed = _Listed.of(index)
    return {
        "index": index.path,
        "images": len(index),
        "complete": listed.complete,
        "skipped": _reason_values(listed.skipped),
        "damaged": _reason_values(listed.damaged),
        "roots": list(index.roots),
        "part": index.part,
        "segments": len(listed.segments),
        "bytes": _bytes_below(index.path),
        "bytes_mapped": index._snapshot.mapped_bytes(),
        "bytes_of_screens": {name: _screen_bytes(index, name) for name in index.features},
        "recipe": index.recipe.to_dict(),
    }


def index_text(index: Index) -> str:
    """Return what an index holds and how it was made, one line per item."""
    recipe, listed = index.recipe, _Listed.of(index)
    features = ", ".join(map(_feature_words, recipe.features))
    name, digest = display_path(recipe.model["name"]), recipe.model["sha256"][:12]
    bound = f"{recipe.long_side} pixels" if recipe.long_side else "unbounded"
    lines = [
        f"index      {display_path(index.path)}",
        f"images     {len(index)}",
        *(f"folder     {display_path(root)}" for root in index.roots),
        *([f"part       {index.part} of their photos"] if index.part else []),
        *([] if listed.complete else ["complete   no; `semcbir refresh` reads the other photos"]),
        f"model      {name} ({recipe.n_classes} classes, sha256 {digest}...)",
        *(f"inference  {words}" for words in _inference_words(recipe.model)),
        f"features   {features}",
        *(f"encoder    {words}" for words in _encoder_words(recipe)),
        f"long side  {bound}",
        f"segments   {len(listed.segments)}",
        f"on disk    {size(_bytes_below(index.path))}",
        f"in memory  {_memory_words(index)}",
        f"skipped    {len(listed.skipped)}",
        f"damaged    {len(listed.damaged)}",
    ]
    lines += reason_lines("damaged", listed.damaged, index.path)
    return "\n".join([*lines, *reason_lines("skipped", listed.skipped, index.path)])


def _screen_bytes(index: Index, feature: str) -> int:
    """Return about how many bytes of screens searches will have built after some queries."""
    from semcbir.index.snapshot import SCREENED

    return index._snapshot.screen_bytes(feature) if len(index) >= SCREENED else 0


def _memory_words(index: Index) -> str:
    """Return what a program that searches the index may have in memory."""
    snapshot, name = index._snapshot, index.features[0]
    mapped, later = f"{size(snapshot.mapped_bytes())} mapped", _screen_bytes(index, name)
    return f"{mapped}, about {size(later)} more after 32 queries by {name}" if later else mapped


def _feature_words(feature: Feature) -> str:
    weighting = "" if feature.weighting == "none" else f", weighting {feature.weighting}"
    return f"{feature.name} ({feature.dim}{weighting})"


def _encoder_words(recipe: Recipe) -> list[str]:
    """Return which encoder a recipe's deep feature has, if there is one."""
    from semcbir.index.model import deep_of

    deep = deep_of(recipe)
    if deep is None:
        return []
    return [f"{display_path(str(deep.encoder['name']))} (sha256 {deep.encoder['sha256'][:12]}...)"]


def _inference_words(model: Mapping[str, Any]) -> list[str]:
    """Return how photos go through the model of a recipe, if not once and as they are: a preset, settings."""
    from semcbir.networks.describe import inference_words
    from semcbir.networks.presets import PRESETS, inference_of

    spec = inference_of(model)
    if spec == InferenceSpec():
        return []
    name = next((f"{name}: " for name, preset in PRESETS.items() if preset == spec), "")
    return [name + inference_words(spec)]


def _bytes_below(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
