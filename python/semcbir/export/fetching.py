# SPDX-License-Identifier: MIT
"""Fetch a published checkpoint into the user's cache, once, and make sure that it is the right file.

Four modules do this, each using those after it: ``fetching`` knows checkpoints and the cache,
``downloading`` transfers one large file and resumes after a cut, ``web`` makes one request, and ``drive``
reads Google Drive's pages.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from semcbir._files import file_sha256, sync_file, sync_folder
from semcbir.errors import ModelError
from semcbir.export import drive
from semcbir.export.downloading import OnProgress, discard, download
from semcbir.networks.cache import cannot_write, checkpoint_file, fetch_lock
from semcbir.networks.published import Download, Published

_BEGINNINGS = (b"PK\x03\x04", b"\x80")  # torch.save: a zip file, and before torch 1.6 a pickle


@dataclass(frozen=True)
class Pin:
    """Hash and size of a file when it was first downloaded, so that a different one is noticed later."""

    sha256: str
    size: int
    source: str


def fetch(model: Published, cache: Path, *, on_progress: OnProgress = None) -> Path:
    """Return the checkpoint of ``model``, downloading it into ``cache`` if it is not there yet.

    Size and sha256 are checked if they are published. The first download also pins them, in a JSON file
    beside the checkpoint, and any other file is refused from then on. An interrupted download continues where
    it stopped. Raises ModelError, which says what to do, if fetching fails.
    """
    place = checkpoint_file(cache, model)
    with fetch_lock(place.parent):
        try:
            if not _is_there(place, model.checkpoint):
                _download(place, model.checkpoint, on_progress)
        except OSError as error:
            raise cannot_write(place, error) from error
    return place


def is_downloaded(model: Published, cache: Path) -> bool:
    """Return whether the checkpoint of ``model`` is in ``cache``, judging by its size alone.

    False if its pin is damaged or unreadable, which ``fetch`` reports.
    """
    place = checkpoint_file(cache, model)
    try:
        pin = _read_pin(place)
        return pin is not None and place.is_file() and place.stat().st_size == pin.size
    except (ModelError, OSError):
        return False


def _is_there(place: Path, checkpoint: Download) -> bool:
    """Return whether the right file is in the cache already; a damaged file does not count."""
    pin = _read_pin(place)
    if pin is None or not place.is_file():
        return False
    found = Pin(file_sha256(place), place.stat().st_size, pin.source)
    return found == pin and _objection(found, place, checkpoint) is None


def _download(place: Path, checkpoint: Download, on_progress: OnProgress) -> None:
    part = place.with_name(place.name + ".part")
    address = checkpoint.url or drive.file_address(checkpoint.gdrive_id or "")
    resumed = part.exists()
    download(address, part, on_progress=on_progress)
    found = Pin(file_sha256(part), part.stat().st_size, checkpoint.source)
    objection = _objection(found, part, checkpoint) or _changed(found, place)
    if objection:
        discard(part)
        if resumed:  # A power cut, for example, may have damaged the part: start over, once.
            _download(place, checkpoint, on_progress)
            return
        raise ModelError(f"{checkpoint.source}: {objection}")
    _write_pin(place, found)
    part.replace(place)
    discard(part)
    sync_folder(place.parent)


def _objection(found: Pin, file: Path, checkpoint: Download) -> str | None:
    """Return in what the file differs from what is published about it, or None."""
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
        return f"what came is not a PyTorch checkpoint (it begins with {beginning!r}); it was deleted"
    return None


def _changed(found: Pin, place: Path) -> str | None:
    """Return in what the file differs from the one that came first, or None."""
    pin = _read_pin(place)
    if pin is None or (pin.sha256, pin.size) == (found.sha256, found.size):
        return None
    return (
        f"not the file of the first download (sha256 {found.sha256[:12]}..., {found.size} bytes; then "
        f"{pin.sha256[:12]}..., {pin.size} bytes); it was deleted. If its publisher has replaced it and you "
        f"trust the new one, delete {_pin_file(place)} and fetch again"
    )


def _pin_file(place: Path) -> Path:
    return place.with_name(place.name + ".json")


def _write_pin(place: Path, pin: Pin) -> None:
    """Write the pin under another name first, because half a pin would stop every later fetch."""
    new = place.with_name(place.name + ".json.new")
    new.write_text(json.dumps(asdict(pin), indent=1) + "\n", encoding="utf-8")
    sync_file(new)
    new.replace(_pin_file(place))


def _read_pin(place: Path) -> Pin | None:
    with contextlib.suppress(FileNotFoundError):
        try:
            return Pin(**json.loads(_pin_file(place).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{_pin_file(place)} is damaged ({error}); delete it and fetch again") from error
    return None
