# SPDX-License-Identifier: MIT
"""What ``semcbir models list`` and ``show`` say of a model: its row in the list, and its facts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from semcbir.cli.facts import facts_text
from semcbir.cli.text import size
from semcbir.errors import ModelError
from semcbir.networks.cache import cache_folder, exports
from semcbir.networks.card_file import ModelKind
from semcbir.networks.packaged import DEFAULT, PackagedEncoder
from semcbir.networks.published import (
    FAMILIES,
    EncoderSpec,
    Published,
    PublishedEncoder,
    PublishedModel,
    ViTSpec,
)

if TYPE_CHECKING:
    from semcbir.networks.card import ModelCard
    from semcbir.networks.encoder_card import EncoderCard


OPTION: dict[ModelKind, str] = {"segmentation": "--model", "encoder": "--encoder"}
"""The option of other commands that takes a model of a kind."""


def default_row() -> dict[str, Any]:
    """Return the row of the model that ships with the package."""
    from semcbir.networks.names import resolve

    row: dict[str, Any] = {
        "name": DEFAULT,
        "kind": "segmentation",
        "classes": None,
        "download": None,
        "downloaded": False,
        "exports": [],
    }
    try:
        _, card = resolve()
    except ModelError:
        return row | {"trained_on": "not in this copy of semcbir"}
    return row | {"classes": card.n_classes, "exports": [DEFAULT], "trained_on": "ships with semcbir"}


def packaged_row(encoder: PackagedEncoder) -> dict[str, Any]:
    """Return the row of an encoder whose weights come with a package."""
    return {
        "name": encoder.name,
        "kind": "encoder",
        "classes": None,
        "download": None,
        "downloaded": False,
        "exports": [encoder.name] if _is_installed(encoder.package) else [],
        "trained_on": f"{encoder.trained_on}; from the package {encoder.package}",
    }


def _is_installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def row_of(model: Published) -> dict[str, Any]:
    """Return the row of a published model or encoder."""
    from semcbir.export.fetching import is_downloaded

    cache = cache_folder()
    return {
        "name": model.name,
        "kind": model.kind,
        "classes": None if isinstance(model, PublishedEncoder) else len(model.card.classes),
        "download": model.checkpoint.size or model.checkpoint.about,
        "downloaded": is_downloaded(model, cache),
        "exports": exports(cache, model.name),
        "trained_on": model.trained_on,
    }


def here(row: dict[str, Any]) -> str:
    """Return the end of a row's line: whether the model is on this machine."""
    if row["name"] == DEFAULT:
        return ""
    if row["exports"]:
        return f"; ready: {OPTION[row['kind']]} {', '.join(row['exports'])}"
    return "; downloaded" if row["downloaded"] else ""


def values_of(model: Published) -> dict[str, Any]:
    """Return what is known about a published model, for JSON."""
    card, checkpoint, row = model.card, model.checkpoint, row_of(model)
    return {
        "name": model.name,
        "kind": model.kind,
        "architecture": _architecture_values(model),
        "checkpoint": asdict(checkpoint) | {"licence": card.licence},
        "size": asdict(card.size),
        "mean": card.mean,
        "std": card.std,
        **(_encoder_values(model) if isinstance(model, PublishedEncoder) else _segmentation_values(model)),
        "trained_on": model.trained_on,
        "notes": card.notes,
        "source": checkpoint.source,
        "downloaded": row["downloaded"],
        "exports": row["exports"],
    }


def _architecture_values(model: Published) -> dict[str, Any]:
    if isinstance(model, PublishedEncoder):
        (family,) = [name for name, kind in FAMILIES.items() if type(model.architecture) is kind]
        return {"family": family} | asdict(model.architecture)
    return asdict(model.architecture) | {"final_align_corners": model.card.align_corners}


def _encoder_values(encoder: PublishedEncoder) -> dict[str, Any]:
    return {"dim": encoder.card.dim, "accuracy": dict(encoder.accuracy)}


def _segmentation_values(model: PublishedModel) -> dict[str, Any]:
    taxonomy = asdict(model.taxonomy) if model.taxonomy else None
    if taxonomy:
        del taxonomy["classes"]
    return {
        "classes": model.card.classes,
        "presets": {name: asdict(preset) for name, preset in model.presets.items()},
        "taxonomy": taxonomy,
    }


def text_of(model: Published) -> str:
    """Return what is known about a published model, one line for each fact."""
    from semcbir.networks.describe import size_words

    checkpoint, row = model.checkpoint, row_of(model)
    own = _encoder_lines(model) if isinstance(model, PublishedEncoder) else _segmentation_lines(model)
    lines = {
        "name": model.name,
        "kind": model.kind,
        "network": own["network"],
        "trained on": model.trained_on,
        "mIoU": own.get("mIoU", ""),
        "ImageNet": own.get("ImageNet", ""),
        "photos": size_words(model.card.size),
        "output": own.get("output", ""),
        "presets": own.get("presets", ""),
        "published": checkpoint.published_at,
        "file": f"{checkpoint.source} (about {size(checkpoint.size or checkpoint.about or 0)})",
        "sha256": checkpoint.sha256 or (f"{checkpoint.sha256_prefix}..." if checkpoint.sha256_prefix else ""),
        "licence": model.card.licence,
        "taxonomy": own.get("taxonomy", ""),
        "notes": model.card.notes,
        "here": ", ".join(row["exports"]) or ("downloaded" if row["downloaded"] else "no"),
        "classes": own.get("classes", ""),
    }
    return facts_text((key, value) for key, value in lines.items() if value)


def _segmentation_lines(model: PublishedModel) -> dict[str, str]:
    build, taxonomy = model.architecture, model.taxonomy
    head = "simple head" if build.head == "simple" else "OCR head"
    return {
        "network": f"HRNet-W{build.width}, {head}, {build.n_classes} classes",
        "mIoU": ", ".join(f"{value:g} ({how})" for how, value in model.checkpoint.miou.items()),
        "presets": f"{', '.join(model.presets)} (need --logits)" if model.presets else "",
        "taxonomy": f"{taxonomy.name}; {taxonomy.licence}" if taxonomy else "",
        "classes": ", ".join(model.card.classes),
    }


def _encoder_lines(encoder: PublishedEncoder) -> dict[str, str]:
    cells = encoder.card.size.length // encoder.architecture.stride
    figures = ", ".join(f"{value:g} ({how})" for how, value in encoder.accuracy.items())
    return {
        "network": _network(encoder.architecture),
        "ImageNet": f"top-1 {figures}" if figures else "",
        "output": f"a grid of {cells} x {cells} vectors of length {encoder.card.dim}",
    }


def _network(spec: EncoderSpec) -> str:
    if isinstance(spec, ViTSpec):
        return (
            f"vision transformer, {spec.depth} blocks, tokens of length {spec.width}, patches of {spec.patch}"
        )
    return f"ResNet of {' + '.join(map(str, spec.blocks))} bottlenecks"


def card_text(card: ModelCard | EncoderCard) -> str:
    """Return what a card says, one line for each fact."""
    from semcbir.networks.describe import card_facts

    return facts_text(card_facts(card))
