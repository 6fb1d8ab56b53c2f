# SPDX-License-Identifier: MIT
"""Finding the files of a named model; test_cards.py has the tests with paths."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from semcbir import Encoder, Extractor, Index, Segmenter
from semcbir.errors import ModelError
from semcbir.networks import cache, names
from semcbir.networks.cache import cache_folder, export_name, exported_file, exports, parse_name
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.names import is_name, resolve, resolve_encoder
from semcbir.networks.published import ENCODERS
from tiny_models import tiny_encoder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(tiny_model: Path, place: Path) -> Path:
    """Put the tiny network at ``place``, as if it had been exported there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tiny_model, place)
    card = tiny_model.with_suffix(".json").read_text(encoding="utf-8")
    place.with_suffix(".json").write_text(card.replace(tiny_model.name, place.name), encoding="utf-8")
    return place


def test_default_is_the_network_in_the_package(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    shipped = put(tiny_model, tmp_path / "default.onnx")
    assert resolve() == resolve(None) == resolve("default") == resolve(shipped)
    assert resolve()[0] == shipped
    resolve()[1].check_file(shipped)


def test_a_package_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    for model in (None, "default"):
        with pytest.raises(ModelError, match=r"comes without a model.*--model"):
            resolve(model)


@pytest.mark.parametrize("name", ["hrnet-w48-mseg-480p", "hrnet-w48-mseg", "hrnet-w48-mseg-fp32"])
def test_a_published_name_is_the_exported_copy(tiny_model: Path, own_cache: Path, name: str) -> None:
    place = put(tiny_model, own_cache / "models" / "hrnet-w48-mseg-480p.onnx")
    assert resolve(name) == resolve(place)
    assert resolve(Path(name))[0] == place


def test_an_export_of_another_kind_has_a_name_of_its_own(tiny_model: Path, own_cache: Path) -> None:
    place = put(tiny_model, own_cache / "models" / "fcn-hr48-ade20k-logits-fp16.onnx")
    assert resolve("fcn-hr48-ade20k-logits-fp16")[0] == place
    with pytest.raises(ModelError, match=r"\(fcn-hr48-ade20k-logits-fp16 is there\)"):
        resolve("fcn-hr48-ade20k")


def test_a_name_that_was_not_fetched_says_how() -> None:
    with pytest.raises(
        ModelError, match="not on this machine yet: `semcbir models fetch hrnet-w48-mseg-480p`"
    ):
        resolve("hrnet-w48-mseg")


def test_a_misspelt_name_gets_the_right_one() -> None:
    with pytest.raises(ModelError, match="did you mean fcn-hr48-ade20k"):
        resolve("fcn-hr48-ade20")


def test_a_file_or_folder_of_that_name_does_not_hide_a_model(
    tiny_model: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = put(tiny_model, own_cache / "models" / "fcn-hr48-ade20k.onnx")
    (tmp_path / "fcn-hr48-ade20k").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("fcn-hr48-ade20k")[0] == place


@pytest.mark.parametrize(
    "path", ["./default", "a/b", "C:\\models\\default", "default.pth", "photo.jpg", "..", ""]
)
def test_what_has_a_suffix_or_a_separator_is_a_path(path: str) -> None:
    assert not is_name(path)
    with pytest.raises(ModelError, match="is not a model: expected an .onnx file"):
        resolve(path)


def test_an_empty_name_is_called_one() -> None:
    said = r"^an empty name is not {}: expected an \.onnx file"
    for kind in (Extractor, Segmenter):
        with pytest.raises(ModelError, match=said.format("a model")):
            kind("")
    with pytest.raises(ModelError, match=said.format("an encoder")):
        Encoder("")


def test_an_export_without_its_card_is_named(tiny_model: Path, own_cache: Path) -> None:
    place = put(tiny_model, own_cache / "models" / "fcn-hr48-ade20k.onnx")
    place.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"fcn-hr48-ade20k\.json is not beside it"):
        resolve("fcn-hr48-ade20k")


def test_a_name_works_where_a_path_does(
    tiny_model: Path, own_cache: Path, photo_folder: Path, tmp_path: Path
) -> None:
    put(tiny_model, own_cache / "models" / "fcn-hr48-ade20k.onnx")
    index = Index.build(photo_folder, tmp_path / "index", model="fcn-hr48-ade20k")
    assert len(index) == 12
    assert Extractor("fcn-hr48-ade20k").recipe == index.recipe


# --- the cache ----------------------------------------------------------------------------------------------


def test_names_of_exports_can_be_taken_apart() -> None:
    for precision in ("fp32", "fp16", "int8"):
        for kind in ("labels", "logits"):
            name = export_name("hrnet-w48-mseg-480p", precision, kind)  # type: ignore[arg-type]
            model, full = parse_name(name)
            assert (model.name, full) == ("hrnet-w48-mseg-480p", name)
    assert export_name("a") == "a"
    assert export_name("a", "int8", "logits") == "a-logits-int8"
    assert parse_name("hrnet-w48-mseg-int8")[1] == "hrnet-w48-mseg-480p-int8"


def test_exports_in_the_cache_are_those_with_a_card(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("a", "a-int8", "a-logits", "ab", "a-fp16"):
        put(tiny_model, exported_file(tmp_path, name))
    exported_file(tmp_path, "a-fp16").with_suffix(".json").unlink()
    assert exports(tmp_path, "a") == ["a", "a-int8", "a-logits"]
    assert exports(tmp_path, "b") == []


def test_the_variable_names_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SEMCBIR_CACHE", "~/models")
    assert cache_folder() == tmp_path / "models"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEMCBIR_CACHE", "here")
    assert cache_folder() == tmp_path / "here"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/semcbir"),
        ("linux", {"XDG_CACHE_HOME": "{tmp}/xdg"}, "xdg/semcbir"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/semcbir"),
        ("darwin", {"XDG_CACHE_HOME": "{tmp}/xdg"}, "home/Library/Caches/semcbir"),
        ("win32", {"LOCALAPPDATA": "{tmp}/local"}, "local/semcbir"),
        ("win32", {}, "home/AppData/Local/semcbir"),
    ],
)
def test_without_it_the_cache_is_where_the_platform_has_them(
    platform: str,
    variables: dict[str, str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("SEMCBIR_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEMCBIR_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    assert cache.sys is sys
    monkeypatch.setattr(cache, "sys", type("Sys", (), {"platform": platform}))
    assert cache_folder() == tmp_path / expected


# --- encoders -----------------------------------------------------------------------------------------------


def test_the_default_encoder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    made = tiny_encoder(tmp_path / "m.onnx")
    found = (made, EncoderCard.load(made.with_suffix(".json")))
    monkeypatch.setattr(names, "_packaged", lambda encoder: asked.append(encoder.name) or found)
    assert resolve_encoder() == resolve_encoder(None) == resolve_encoder("efficientnet-lite0") == found
    assert resolve_encoder("efficientnet-lite2") == found
    assert asked == ["efficientnet-lite0"] * 3 + ["efficientnet-lite2"]


def test_an_encoder_may_be_a_path(tmp_path: Path) -> None:
    made = tiny_encoder(tmp_path / "m.onnx")
    assert resolve_encoder(made) == resolve_encoder(made.with_suffix(".json"))
    assert resolve_encoder(made)[0] == made
    resolve_encoder(made)[1].check_file(made)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_published_encoder_is_the_exported_copy(own_cache: Path, name: str) -> None:
    with pytest.raises(
        ModelError,
        match=f"the encoder {name} is not on this machine yet: `semcbir models fetch {name}` downloads and "
        f"exports it, `semcbir models export {name}` takes a checkpoint",
    ):
        resolve_encoder(name)
    place = own_cache / "models" / f"{name}.onnx"
    place.parent.mkdir(parents=True)
    tiny_encoder(place)
    assert resolve_encoder(name)[0] == resolve_encoder(f"{name}-fp32")[0] == place
    with pytest.raises(ModelError, match=f"{name} is an encoder, expected a segmentation model"):
        resolve(name)


@pytest.mark.parametrize("ending", ["int8", "logits", "logits-fp16"])
def test_an_encoder_has_two_exports(own_cache: Path, ending: str) -> None:
    said = f"no resnet50-{ending}: the exports of an encoder are resnet50 and resnet50-fp16"
    with pytest.raises(ModelError, match=said):
        resolve_encoder(f"resnet50-{ending}")
    place = own_cache / "models" / "resnet50-fp16.onnx"
    place.parent.mkdir(parents=True)
    tiny_encoder(place)
    assert resolve_encoder("resnet50-fp16")[0] == place
    with pytest.raises(ModelError, match=r"resnet50 is not on this machine yet \(resnet50-fp16 is there\)"):
        resolve_encoder("resnet50")


@pytest.mark.parametrize("name", ["default", "hrnet-w48-mseg", "fcn-hr48-ade20k-logits-fp16"])
def test_a_segmentation_model_is_no_encoder(name: str) -> None:
    with pytest.raises(
        ModelError,
        match=f"{name} is a segmentation model, expected an encoder: --model takes it, --encoder takes what",
    ):
        resolve_encoder(name)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2"])
def test_an_encoder_is_no_segmentation_model(name: str) -> None:
    with pytest.raises(
        ModelError, match=f"{name} is an encoder, expected a segmentation model: --encoder takes"
    ):
        resolve(name)


def test_an_encoders_file_is_no_segmentation_model(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="card of a segmentation model, this is that of an encoder"):
        resolve(tiny_encoder(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match="card of an encoder, this is that of a segmentation model"):
        resolve_encoder(tiny_model)


@pytest.mark.parametrize("name", ["./efficientnet-lite0", "a/b", "m.pth", ""])
def test_what_is_neither_a_name_nor_a_file_is_no_encoder(name: str) -> None:
    with pytest.raises(ModelError, match=r"is not an encoder: expected an \.onnx file with its card"):
        resolve_encoder(name)


def test_a_misspelt_encoder_gets_the_right_one() -> None:
    with pytest.raises(ModelError, match="did you mean efficientnet-lite0"):
        resolve_encoder("efficientnet_lite0")
    for name in ("clip", "hrnet-w48-cocostuf"):
        with pytest.raises(
            ModelError, match=f"there is no encoder called '{name}'; known are efficientnet"
        ) as told:
            resolve_encoder(name)
        assert "resnet50" in str(told.value)
        assert "hrnet-w48-mseg" not in str(told.value)
    with pytest.raises(ModelError, match="there is no model called 'clip'; known are default, hrnet") as told:
        resolve("clip")
    assert "efficientnet" not in str(told.value)
