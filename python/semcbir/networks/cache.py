# SPDX-License-Identifier: MIT
"""The user's cache: the checkpoints that were downloaded, and the models made from them.

CACHE/checkpoints/NAME/FILE.pth        a checkpoint; FILE.pth.json beside it pins its size and hash
CACHE/models/NAME.onnx, NAME.json      an exported model and its card
CACHE/encoders/NAME-KEY.onnx, ...      an encoder made on this machine, see ``made_encoders``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from semcbir._lock import LockFileError, LockHeldError, hold
from semcbir.errors import ModelError
from semcbir.networks.specs import KINDS, PRECISIONS, Kind, Precision

if TYPE_CHECKING:
    from semcbir.networks.card_file import ModelKind
    from semcbir.networks.published import Published

VARIABLE = "SEMCBIR_CACHE"


def cache_folder() -> Path:
    """Return the user's cache folder: $SEMCBIR_CACHE, or else where the platform keeps caches."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser().absolute()
    return _platform_caches() / "semcbir"


def _platform_caches() -> Path:
    """Return the platform's folder for caches: macOS, Windows, or the XDG base directory specification."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    given = Path(os.environ.get(name, ""))
    if given.is_absolute():  # The specification says to ignore relative paths.
        return given
    return Path.home() / ("AppData/Local" if sys.platform == "win32" else ".cache")


def checkpoint_file(cache: Path, model: Published) -> Path:
    """Return where the checkpoint of ``model`` is once it has been downloaded."""
    return cache / "checkpoints" / model.name / model.checkpoint.file


def exported_file(cache: Path, name: str) -> Path:
    """Return where the exported model ``name`` (see ``export_name``) is; its card is beside it."""
    return cache / "models" / f"{name}.onnx"


def export_name(name: str, precision: Precision = "fp32", kind: Kind = "labels") -> str:
    """Return the name of an export of the model ``name``: NAME, NAME-int8, NAME-logits-fp16."""
    return name + ("" if kind == "labels" else f"-{kind}") + ("" if precision == "fp32" else f"-{precision}")


def parse_name(name: str, meant: ModelKind | None = None) -> tuple[Published, str]:
    """Return the model that ``name`` is an export of (see ``export_name``), and the export's full name.

    Aliases are understood. Raises ModelError if there is no such model, or no such export of an encoder; it
    has the names of models of the kind that was ``meant`` (None: of both).
    """
    from semcbir.networks.published import PublishedEncoder, published

    precision: Precision = next((each for each in PRECISIONS if name.endswith(f"-{each}")), "fp32")
    rest = name.removesuffix(f"-{precision}")
    kind: Kind = next((each for each in KINDS if rest.endswith(f"-{each}")), "labels")
    model = published(rest.removesuffix(f"-{kind}"), meant)
    full = export_name(model.name, precision, kind)
    if isinstance(model, PublishedEncoder) and (kind != "labels" or precision == "int8"):
        half = export_name(model.name, "fp16")
        raise ModelError(f"there is no {full}: the exports of an encoder are {model.name} and {half}")
    return model, full


def exports(cache: Path, name: str) -> list[str]:
    """Return the names of the exports of the model ``name`` in the cache, the plain one first."""
    found = (export_name(name, precision, kind) for kind in KINDS for precision in PRECISIONS)
    return [each for each in found if _is_whole(exported_file(cache, each))]


def _is_whole(model: Path) -> bool:
    return model.is_file() and model.with_suffix(".json").is_file()


@contextmanager
def fetch_lock(folder: Path) -> Iterator[None]:
    """Hold the lock for writing below ``folder``.

    Raises ModelError if another process holds it, or if ``folder`` cannot be written.
    """
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(hold(folder / "fetch.lock"))
        except LockHeldError as error:
            raise ModelError(
                f"another process is fetching into {folder}; try again when it has finished"
            ) from error
        except (OSError, LockFileError) as error:
            raise cannot_write(folder, error) from error
        yield


def cannot_write(place: Path, error: Exception) -> ModelError:
    """Return the error for a file or folder of the cache that cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return ModelError(
        f"cannot write {place}: {reason} (the environment variable {VARIABLE} names another folder)"
    )
