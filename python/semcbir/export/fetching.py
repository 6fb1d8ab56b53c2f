# SPDX-License-Identifier: MIT
"""Fetching a published checkpoint into the user's cache, once, and making sure that it is the right file."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from semcbir._files import file_sha256, sync_file, sync_folder
from semcbir.errors import ModelError
from semcbir.export import drive
from semcbir.export.downloading import OnProgress, discard, download
from semcbir.networks.cache import cannot_write, checkpoint_file, fetch_lock
from semcbir.networks.published import Checkpoint, PublishedModel

_BEGINNINGS = (b"PK\x03\x04", b"\x80")  # torch.save: a zip file, and before torch 1.6 a pickle


@dataclass(frozen=True)
class Pin:
    """What a downloaded file was the first time, so that another one is noticed later."""

    sha256: str
    size: int
    source: str


def fetch(model: PublishedModel, cache: Path, *, on_progress: OnProgress = None) -> Path:
    """Return the checkpoint of ``model``, downloaded into ``cache`` where it is not there yet.

    Size and sha256 are checked where they are published. Otherwise the first download pins them, in a JSON
    file beside the checkpoint, and another file is refused from then on. A download that was cut off goes on
    where it stopped. Raises ModelError where that fails, saying what to do.
    """
    place = checkpoint_file(cache, model)
    with fetch_lock(place.parent):
        try:
            if not _is_there(place, model.checkpoint):
                _download(place, model.checkpoint, on_progress)
        except OSError as error:
            raise cannot_write(place, error) from error
    return place


def is_downloaded(model: PublishedModel, cache: Path) -> bool:
    """Tell whether the checkpoint of ``model`` is in ``cache``, by its size alone.

    False where its pin is damaged or unreadable: ``fetch`` would say so.
    """
    place = checkpoint_file(cache, model)
    try:
        pin = _read_pin(place)
        return pin is not None and place.is_file() and place.stat().st_size == pin.size
    except (ModelError, OSError):
        return False


def _is_there(place: Path, checkpoint: Checkpoint) -> bool:
    """Tell whether the right file is in the cache already; a damaged one is as good as none."""
    pin = _read_pin(place)
    if pin is None or not place.is_file():
        return False
    found = Pin(file_sha256(place), place.stat().st_size, pin.source)
    return found == pin and _objection(found, place, checkpoint) is None


def _download(place: Path, checkpoint: Checkpoint, on_progress: OnProgress) -> None:
    part = place.with_name(place.name + ".part")
    known = checkpoint.sha256 or checkpoint.sha256_prefix or _read_pin(place)
    address = checkpoint.url or drive.file_address(checkpoint.gdrive_id or "")
    for once_more in (True, False):
        resumed = download(
            address, part, size=checkpoint.size, verified=known is not None, on_progress=on_progress
        )
        found = Pin(file_sha256(part), part.stat().st_size, checkpoint.source)
        objection = _objection(found, part, checkpoint) or _changed(found, place)
        if objection is None:
            break
        discard(part)
        # A server that joined two versions of the file must not make a good one unreachable.
        if not (resumed and once_more):
            raise ModelError(f"{checkpoint.source}: {objection}")
    _write_pin(place, found)
    part.replace(place)
    discard(part)
    sync_folder(place.parent)


def _objection(found: Pin, file: Path, checkpoint: Checkpoint) -> str | None:
    """Return what is wrong with a file by what is published about it, or None."""
    if checkpoint.size is not None and found.size != checkpoint.size:
        return f"it has {found.size} bytes, expected {checkpoint.size}; it was deleted"
    expected = checkpoint.sha256 or checkpoint.sha256_prefix
    if expected:
        if found.sha256.startswith(expected):
            return None
        came = found.sha256[: len(expected)]
        return f"not the published file: its sha256 is {came}, expected {expected}; it was deleted"
    with file.open("rb") as opened:
        beginning = opened.read(4)
    if not beginning.startswith(_BEGINNINGS):
        return f"what came is no PyTorch checkpoint (it begins with {beginning!r}); it was deleted"
    return None


def _changed(found: Pin, place: Path) -> str | None:
    """Return what is wrong with a file by what came the first time, or None."""
    pin = _read_pin(place)
    if pin is None or (pin.sha256, pin.size) == (found.sha256, found.size):
        return None
    return (
        f"another file came than the first time (sha256 {found.sha256[:12]}..., {found.size} bytes; then "
        f"{pin.sha256[:12]}..., {pin.size} bytes); it was deleted. If its publisher has replaced it and you "
        f"trust the new one, delete {_pin_file(place)} and fetch again"
    )


def _pin_file(place: Path) -> Path:
    return place.with_name(place.name + ".json")


def _write_pin(place: Path, pin: Pin) -> None:
    """Write the pin under another name first: half a pin would stop every later fetch."""
    new = place.with_name(place.name + ".json.new")
    new.write_text(json.dumps(asdict(pin), indent=1) + "\n", encoding="utf-8")
    sync_file(new)
    new.replace(_pin_file(place))


def _read_pin(place: Path) -> Pin | None:
    with contextlib.suppress(FileNotFoundError):
        try:
            pin = Pin(**json.loads(_pin_file(place).read_text(encoding="utf-8")))
            if list(map(type, astuple(pin))) != [str, int, str]:
                raise ValueError("expected two texts and a number of bytes")
            return pin
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError(f"{_pin_file(place)} is damaged ({error}); delete it and fetch again") from error
    return None
