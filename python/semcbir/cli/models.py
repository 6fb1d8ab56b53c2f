# SPDX-License-Identifier: MIT
"""The commands about models: ``semcbir models list``, ``show``, ``fetch`` and ``export``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import display_path
from semcbir.cli.console import command, note
from semcbir.cli.facts import facts_text
from semcbir.cli.options import Json, check_folder, choice_option, usage
from semcbir.cli.progress import TransferMeter
from semcbir.cli.text import size, write_json
from semcbir.errors import ModelError
from semcbir.networks import published
from semcbir.networks.cache import cache_folder, export_name, exported_file, exports, fetch_lock, parse_name
from semcbir.networks.published import ALIASES, DEFAULT, PackagedEncoder, PublishedModel
from semcbir.networks.specs import PRECISIONS, Kind, Precision

if TYPE_CHECKING:
    from semcbir.export.options import ExportOptions
    from semcbir.networks.card import ModelCard
    from semcbir.networks.encoder_card import EncoderCard

app = typer.Typer(help="Models: list them, and get one.", no_args_is_help=True, rich_markup_mode=None)


def parse_onnx(text: str) -> Path:
    """Parse the name of a model file to write, so that a wrong one is refused before the work."""
    path = Path(text)
    if path.suffix != ".onnx":
        raise ValueError(f"expected a name that ends with .onnx, got {text!r}")
    check_folder(path.parent)
    return path


def parse_folder(text: str) -> Path:
    """Parse the name of a folder that must exist."""
    path = Path(text)
    check_folder(path)
    return path


Name = Annotated[str, typer.Argument(help="A name of `semcbir models list`.", metavar="NAME")]
OfPrecision = Annotated[
    Any,
    choice_option("--precision", PRECISIONS, "fp32; fp16 for CUDA; int8 for the CPU, with --calibration."),
]
Logits = Annotated[
    bool, typer.Option("--logits", help="Scores at stride 4 in place of labels: for flips, scales, windows.")
]
Photos = Annotated[
    Path | None,
    typer.Option(
        "--photos",
        parser=usage(parse_folder),
        metavar="DIR",
        help="Photos to check the export on (else generated pictures).",
    ),
]
CalibrationPhotos = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        parser=usage(parse_folder),
        metavar="DIR",
        help="Photos that int8 takes its ranges from; a hundred or so, like those to be searched.",
    ),
]


@app.command("list")
@command
def list_models(as_json: Json = False) -> None:
    """List the models, and which are on this machine."""
    rows = [
        _default_row(),
        *map(_packaged_row, published.PACKAGED.values()),
        *map(_row, published.PUBLISHED.values()),
    ]
    if as_json:
        write_json({"cache": cache_folder(), "models": rows})
        return
    wide = max(len(row["name"]) for row in rows)
    print(f"{'name':<{wide}}  {'kind':<12}  classes  {'download':>8}  trained on; on this machine")
    for row in rows:
        classes = "" if row["classes"] is None else row["classes"]
        download = size(row["download"]) if row["download"] else ""
        facts = f"{row['kind']:<12}  {classes:>7}  {download:>8}  {row['trained_on']}{_here(row)}"
        print(f"{row['name']:<{wide}}  {facts}")
    for alias, name in ALIASES.items():
        note(f"{alias} is another name of {name}")
    note(f"the cache is {display_path(cache_folder())}")


def _default_row() -> dict[str, Any]:
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


def _packaged_row(encoder: PackagedEncoder) -> dict[str, Any]:
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


def _row(model: PublishedModel) -> dict[str, Any]:
    from semcbir.export.fetching import is_downloaded

    cache = cache_folder()
    return {
        "name": model.name,
        "kind": model.kind,
        "classes": len(model.card.classes),
        "download": model.checkpoint.size or model.checkpoint.about,
        "downloaded": is_downloaded(model, cache),
        "exports": exports(cache, model.name),
        "trained_on": model.trained_on,
    }


def _here(row: dict[str, Any]) -> str:
    if row["name"] == DEFAULT:
        return ""
    if row["exports"]:
        option = "--encoder" if row["kind"] == "encoder" else "--model"
        return f"; ready: {option} {', '.join(row['exports'])}"
    return "; downloaded" if row["downloaded"] else ""


@app.command()
@command
def show(name: Name, as_json: Json = False) -> None:
    """Show what is known about a model.

    What it was trained on, its classes, how it wants its photos, where it is published, on what terms.
    """
    from semcbir.networks.names import resolve, resolve_encoder

    if name == DEFAULT or name in published.PACKAGED:
        _, card = resolve() if name == DEFAULT else resolve_encoder(name)
        if as_json:
            write_json(card.to_dict())
        else:
            print(_card_text(card))
        return
    model = _model(name)
    if as_json:
        write_json(_values(model))
    else:
        print(_text(model))


def _model(name: str) -> PublishedModel:
    """Return the model that ``name``, or the name of an export, stands for."""
    model, _ = parse_name(name)
    return model


def _values(model: PublishedModel) -> dict[str, Any]:
    card, checkpoint, row = model.card, model.checkpoint, _row(model)
    taxonomy = asdict(model.taxonomy) if model.taxonomy else None
    if taxonomy:
        del taxonomy["classes"]
    return {
        "name": model.name,
        "kind": model.kind,
        "architecture": asdict(model.architecture) | {"final_align_corners": card.align_corners},
        "checkpoint": asdict(checkpoint) | {"licence": card.licence},
        **{key: value for key, value in asdict(card).items() if key in ("classes", "size", "mean", "std")},
        "presets": {name: asdict(preset) for name, preset in model.presets.items()},
        "taxonomy": taxonomy,
        "trained_on": model.trained_on,
        "notes": card.notes,
        "source": checkpoint.source,
        "downloaded": row["downloaded"],
        "exports": row["exports"],
    }


def _text(model: PublishedModel) -> str:
    """Return what is known about a published model, one line for each fact."""
    from semcbir.networks.describe import size_words

    checkpoint, build, row = model.checkpoint, model.architecture, _row(model)
    miou = ", ".join(f"{value:g} ({how})" for how, value in checkpoint.miou.items())
    head = "simple head" if build.head == "simple" else "OCR head"
    lines = {
        "name": model.name,
        "kind": model.kind,
        "network": f"HRNet-W{build.width}, {head}, {build.n_classes} classes",
        "trained on": model.trained_on,
        "mIoU": miou,
        "photos": size_words(model.card.size),
        "presets": f"{', '.join(model.presets)} (need --logits)" if model.presets else "",
        "published": checkpoint.published_at,
        "file": f"{checkpoint.source} (about {size(checkpoint.size or checkpoint.about or 0)})",
        "sha256": checkpoint.sha256 or (f"{checkpoint.sha256_prefix}..." if checkpoint.sha256_prefix else ""),
        "licence": model.card.licence,
        "taxonomy": f"{model.taxonomy.name}; {model.taxonomy.licence}" if model.taxonomy else "",
        "notes": model.card.notes,
        "here": ", ".join(row["exports"]) or ("downloaded" if row["downloaded"] else "no"),
        "classes": ", ".join(model.card.classes),
    }
    return facts_text((key, value) for key, value in lines.items() if value)


def _card_text(card: ModelCard | EncoderCard) -> str:
    """Return what a card says, one line for each fact."""
    from semcbir.networks.describe import card_facts

    return facts_text(card_facts(card))


@app.command()
@command
def fetch(
    name: Name,
    precision: OfPrecision = PRECISIONS[0],
    logits: Logits = False,
    photos: Photos = None,
    calibration: CalibrationPhotos = None,
) -> None:
    """Download a published model and make it ready for --model.

    The checkpoint and the exported model go into the user's cache (SEMCBIR_CACHE names another place). An
    interrupted download continues where it stopped; `semcbir models export` takes a checkpoint that you got
    another way. Needs the extra: pip install 'semcbir[export]'.
    """
    from semcbir.export.fetching import fetch as fetch_checkpoint

    _check_calibration(precision, calibration)
    if name == DEFAULT:
        print(f"{DEFAULT} ships with semcbir; there is nothing to fetch")
        return
    if packaged := published.PACKAGED.get(name):
        print(f"{name} is made from the package {packaged.package}; there is nothing to fetch")
        return
    model, cache = _model(name), cache_folder()
    full = export_name(model.name, precision, _kind(logits))
    target = exported_file(cache, full)
    if _is_sound(target):
        if photos or calibration:
            note(f"it was exported before; to export it with these photos, delete {display_path(target)}")
    else:
        options = _ready_options(precision, logits, photos, calibration)
        note(
            f"the weights belong to their publishers: {model.card.licence} ({model.checkpoint.published_at})"
        )
        from semcbir.export.export import export_model

        with TransferMeter() as meter:
            checkpoint = fetch_checkpoint(model, cache, on_progress=meter)
        target.parent.mkdir(parents=True, exist_ok=True)
        with fetch_lock(checkpoint.parent):
            export_model(model, checkpoint, target, options)
    print(f"{display_path(target)} ({size(target.stat().st_size)}) is ready: --model {full}")


def _is_sound(model: Path) -> bool:
    """Return whether an exported model and its card exist and belong together."""
    from semcbir.networks.names import resolve

    try:
        path, card = resolve(model)
        card.check_file(path)
    except ModelError:
        return False
    return True


@app.command()
@command
def export(
    name: Name,
    checkpoint: Annotated[
        Path, typer.Option("--checkpoint", metavar="FILE", help="The .pth file.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            parser=usage(parse_onnx),
            metavar="MODEL.onnx",
            help="Where the model goes; its card goes beside it.",
            show_default=False,
        ),
    ],
    precision: OfPrecision = PRECISIONS[0],
    logits: Logits = False,
    photos: Photos = None,
    calibration: CalibrationPhotos = None,
) -> None:
    """Make a model from a published checkpoint that you have.

    NAME is the model that the checkpoint is of; a file of another model is refused. Needs the extra: pip
    install 'semcbir[export]'.
    """
    model = _model(name)
    if not checkpoint.is_file():
        raise ModelError(f"{display_path(checkpoint)}: no such checkpoint")
    _check_calibration(precision, calibration)
    options = _ready_options(precision, logits, photos, calibration)
    from semcbir.export.export import export_model

    export_model(model, checkpoint, output, options)
    print(f"{display_path(output)} ({size(output.stat().st_size)}) is ready: --model {display_path(output)}")


def _kind(logits: bool) -> Kind:
    return "logits" if logits else "labels"


def _check_calibration(precision: Precision, calibration: Path | None) -> None:
    """Refuse an option that would have no effect, whether or not there is anything to do."""
    if precision != "int8" and calibration is not None:
        raise typer.BadParameter("it is for --precision int8", param_hint="--calibration")


def _ready_options(
    precision: Precision, logits: bool, photos: Path | None, calibration: Path | None
) -> ExportOptions:
    """Return the options of an export; what is impossible is refused before anything is downloaded."""
    if precision == "int8" and calibration is None:
        raise typer.BadParameter(
            "int8 needs --calibration DIR, a folder of photos to take its ranges from",
            param_hint="--precision",
        )
    from semcbir.export.export import check_packages
    from semcbir.export.options import ExportOptions

    check_packages()
    return ExportOptions(
        precision=precision, kind=_kind(logits), photos=photos, calibration=calibration, on_step=note
    )
