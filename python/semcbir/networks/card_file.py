# SPDX-License-Identifier: MIT
"""What the cards of all kinds of model share: JSON beside an ONNX file, which it describes.

Fields with a default may be left out of the file. Unknown fields are refused: a later format may give them a
meaning that this version would miss.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from semcbir._files import PathLike, expanded, file_sha256, read_regular
from semcbir._validate import shown
from semcbir.errors import ModelError
from semcbir.networks.bounds import MAX_TEXT
from semcbir.networks.fields import build, instance, json_object, mapping, matching, text
from semcbir.networks.specs import LARGEST_CARD, LARGEST_MODEL, InputSpec, SizeSpec

FORMAT = 1

ModelKind = Literal["segmentation", "encoder"]
"""What a model is for."""
MODEL_KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
_A_MODEL = {"segmentation": "a segmentation model", "encoder": "an encoder"}


class Card(ABC):
    """A card of some kind. ``sha256`` is the hash of the bytes of ``file``, which is beside the card."""

    kind: ClassVar[ModelKind]

    name: str
    file: str
    sha256: str
    input: InputSpec
    size: SizeSpec
    licence: str
    source: str
    notes: str
    measured: Mapping[str, Any]

    def _check_shared(self) -> None:
        """Check what cards of all kinds have; ValueError if a field is not as described."""
        text("name", self.name)
        matching("file", self.file, r"[^/\\\x00-\x1f]+\.onnx", "the bare name of an .onnx file")
        matching("sha256", self.sha256, r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
        instance("input", self.input, InputSpec)
        instance("size", self.size, SizeSpec)
        for name in ("licence", "source", "notes"):
            text(name, getattr(self, name), longest=MAX_TEXT, empty=True)
        object.__setattr__(self, "measured", json_object("measured", self.measured))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a card from what ``to_dict`` returns, or from JSON; ModelError if a field is wrong."""
        try:
            rest = dict(mapping("card", data))
            version = rest.pop("format", None)
            if version != FORMAT or isinstance(version, bool):
                raise ValueError(f"format: expected {FORMAT} (of a semcbir model card), got {shown(version)}")
            cls._check_kind(rest.pop("kind", "segmentation"))  # older cards are all of that kind
            if "input" in rest:
                rest["input"] = build(InputSpec, "input.", rest["input"])
            if "size" in rest:
                size = dict(mapping("size", rest["size"]))
                if "input" in rest:
                    size.setdefault("pad", rest["input"].mean_colour())
                rest["size"] = build(SizeSpec, "size.", size)
            return build(cls, "", cls._read(rest))
        except ValueError as error:
            raise ModelError(str(error)) from None

    @classmethod
    def _check_kind(cls, kind: Any) -> None:
        if kind not in MODEL_KINDS:
            raise ValueError(f"kind: expected {cls.kind!r}, got {shown(kind)}")
        if kind != cls.kind:
            raise ValueError(
                f"kind: expected the card of {a_model(cls.kind)}, this is that of {a_model(kind)}"
            )

    @classmethod
    def _read(cls, rest: dict[str, Any]) -> dict[str, Any]:
        """Return the fields with the parts made that only this kind of card has."""
        return rest

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON values: dicts, lists, text, numbers and None only."""

    @abstractmethod
    def preprocessing_dict(self) -> dict[str, Any]:
        """Return what decides the model's results, as JSON values: it belongs in an index's recipe."""

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read the card at ``path``; ModelError, which names it, if it is missing, unreadable or wrong."""
        path = expanded(path)
        data = _json_at(path)
        try:
            return cls.from_dict(data)
        except ModelError as error:
            raise ModelError(f"{path}: not a usable model card: {error}") from None

    def save(self, path: PathLike) -> None:
        """Write the card to ``path`` as JSON, replacing what is there; OSError if that fails."""
        Path(expanded(path)).write_bytes(self.to_json().encode())

    def to_json(self) -> str:
        """Return the card as a file holds it, in UTF-8."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def check_file(self, path: PathLike) -> None:
        """Check that the ONNX file at ``path`` has the hash ``sha256``; ModelError if it has another."""
        path = expanded(path)
        try:
            digest = file_sha256(Path(path), LARGEST_MODEL)
        except OSError as error:
            raise ModelError(f"{path}: cannot read the model: {error.strerror or error}") from error
        require_digest(self, digest, path)


def card_kind(path: PathLike) -> ModelKind:
    """Return of what kind the card at ``path`` is; ModelError as in ``Card.load``, or if it is of none."""
    path = expanded(path)
    data = _json_at(path)
    kind = data.get("kind", "segmentation") if isinstance(data, Mapping) else "segmentation"
    for known in MODEL_KINDS:
        if kind == known:
            return known
    expected = " or ".join(map(repr, MODEL_KINDS))
    raise ModelError(f"{path}: not a usable model card: kind: expected {expected}, got {shown(kind)}")


def _json_at(path: str) -> Any:
    try:
        return json.loads(read_regular(path, LARGEST_CARD).decode())
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model card: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a model card: not JSON ({error})") from error


def require_digest(card: Card, digest: str, path: str | Path) -> None:
    """Raise ModelError unless ``digest``, that of the ONNX file at ``path``, is the one in ``card``."""
    if digest != card.sha256:
        raise ModelError(
            f"{path}: not the file that its card {card.name!r} describes "
            f"(sha256 {digest[:12]}..., the card says {card.sha256[:12]}...)"
        )


def a_model(kind: ModelKind) -> str:
    """Return ``kind`` in words, with an article."""
    return _A_MODEL[kind]
