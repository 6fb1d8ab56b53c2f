# SPDX-License-Identifier: MIT
"""What an index holds if nobody names features: a new one "deep", an older one what it has always held."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from semcbir import KAZE, Extractor, Index, RecipeMismatchError, search
from semcbir.cli.app import app
from semcbir.features import Deep, parse_features
from tiny_models import tiny_encoder
from tiny_models import tiny_model as write_tiny_model


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        app([os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments], "semcbir")
    return int(stop.value.code or 0)


def test_a_new_index_holds_deep(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    assert [feature.name for feature in Extractor(tiny_model).features] == ["deep"]
    with Index.build(photo_folder, tmp_path / "index", model=tiny_model) as index:
        assert index.features == ("deep",)
    found = search(photo_folder / "beach" / "0.jpg", photo_folder)  # its first use
    assert (found[0].distance, found.kept) == (0, 12)
    assert Index.open(photo_folder / ".semcbir").features == ("deep",)


def test_the_command_makes_deep(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    assert command("index", photo_folder, "-o", tmp_path / "index", "--model", tiny_model) == 0
    assert Index.open(tmp_path / "index").features == ("deep",)


@pytest.mark.parametrize("features", ["kaze", "hog,sift", [KAZE(threshold=0.002, weighting="share")]])
def test_an_older_index_is_completed_as_it_was_made(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, features: object
):
    place = photo_folder / ".semcbir"
    made = Index.build(photo_folder, place, model=tiny_model, features=features)
    recipe, before = made.recipe, made.signatures()
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "new.jpg")
    again = Index.build(photo_folder, place)  # neither model nor features
    assert (again.recipe, again.report.added, len(again)) == (recipe, 1, 13)
    assert again.signatures()[:12].centroids.tobytes() == before.centroids.tobytes()
    (photo_folder / "new.jpg").unlink()
    assert command("index", photo_folder) == 0
    assert command("search", photo_folder / "beach" / "0.jpg", photo_folder) == 0
    assert (Index.open(place).recipe, len(Index.open(place))) == (recipe, 12)


def test_an_index_is_completed_with_its_own_encoder_and_settings(photo_folder: Path, tmp_path: Path):
    scores, encoder = write_tiny_model(tmp_path / "s.onnx", "logits"), tiny_encoder(tmp_path / "e.onnx")
    deep = Deep(encoder, whole_share=0.4)
    made = Index.build(
        photo_folder / "beach", tmp_path / "index", model=scores, features=deep, inference="flip"
    )
    for gone in (scores, encoder):
        gone.unlink()
        gone.with_suffix(".json").unlink()
    again = Index.build(photo_folder, tmp_path / "index")
    assert again.recipe == made.recipe
    assert len(again) == 12


def test_what_is_named_must_be_what_the_index_holds(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    place = tmp_path / "index"
    Index.build(photo_folder, place, model=tiny_model, features="kaze")
    with pytest.raises(RecipeMismatchError, match="features: kaze / deep"):
        Index.build(photo_folder, place, features="deep")
    with pytest.raises(RecipeMismatchError, match="model"):
        Index.build(photo_folder, place, model="default")
    assert command("index", photo_folder, "-o", place, "--features", "deep") == 1
    with pytest.raises(RecipeMismatchError, match=r"features\.kaze\.weighting: 'none' / 'share'"):
        Index.build(photo_folder, place, weighting="share")
    with pytest.raises(ValueError, match="^encoder: expected feature deep"):
        Index.build(photo_folder, place, encoder="default")
    assert command("index", photo_folder, "-o", place, "--weighting", "share") == 1
    assert Index.open(place).features == ("kaze",)


def test_an_encoder_alone_means_deep(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    encoder, place = tiny_encoder(tmp_path / "e.onnx"), tmp_path / "index"
    options = ("-o", place, "--model", tiny_model, "--encoder", encoder)
    assert command("index", photo_folder, *options, "--features", "kaze") == 1
    assert command("index", photo_folder, *options) == 0
    assert Index.open(place).recipe.feature("deep").encoder["name"] == "tiny-encoder"


def test_options_change_what_an_index_holds_and_names_repeat_it(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    encoder, place = tiny_encoder(tmp_path / "e.onnx"), tmp_path / "index"
    held = [Deep(encoder, whole_share=0.4), KAZE(threshold=0.002, weighting="share")]
    made = Index.build(photo_folder / "beach", place, model=tiny_model, features=held)
    repetitions: list[dict[str, object]] = [
        {},
        {"features": "deep,kaze"},
        {"weighting": "share"},
        {"encoder": encoder},
        {"features": ["deep", "kaze"], "encoder": encoder, "weighting": "share"},
        {"features": [held[0], "kaze"]},
    ]
    for named in repetitions:
        assert Index.build(photo_folder, place, **named).recipe == made.recipe  # type: ignore[arg-type]
    options = ("--features", "deep,kaze", "--encoder", encoder, "--weighting", "share")
    assert command("index", photo_folder, "-o", place, *options) == 0
    with pytest.raises(RecipeMismatchError, match="order of features: deep, kaze / kaze, deep"):
        Index.build(photo_folder, place, features="kaze,deep")
    with pytest.raises(RecipeMismatchError, match=r"features\.deep\.encoder\.size\.length: 48 / 40"):
        other = tiny_encoder(tmp_path / "o.onnx", size={"rule": "squash", "length": 40})
        Index.build(photo_folder, place, encoder=other)


def test_features_given_as_objects_have_their_own_options(tmp_path: Path):
    encoder = tiny_encoder(tmp_path / "e.onnx")
    with pytest.raises(ValueError, match="^weighting: expected features given by name"):
        parse_features([KAZE()], weighting="share")
    with pytest.raises(ValueError, match="^encoder: expected feature deep"):
        parse_features([Deep(encoder)], encoder=encoder)
    deep, kaze = parse_features([Deep(encoder), "kaze"], weighting="share")
    assert (deep.weighting, kaze) == ("share", KAZE(weighting="share"))
    plain = Deep(encoder, whole_share=0.2).with_weighting("none")
    assert plain == Deep(encoder, whole_share=0.2, weighting="none")
    with pytest.raises(ValueError, match="weighting"):
        plain.with_weighting("most")
