# SPDX-License-Identifier: MIT
"""ModelCard: what semcbir must know about a segmentation model, as JSON beside its ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from semcbir._validate import shown
from semcbir.networks.bounds import MAX_GROUPS, check_passes, check_pixels, check_scores, check_total
from semcbir.networks.card_file import FORMAT, Card, ModelKind
from semcbir.networks.fields import build, instance, integer, mapping, sequence, text
from semcbir.networks.groups import plain_name
from semcbir.networks.presets import preset
from semcbir.networks.specs import MAX_CLASSES, InferenceSpec, InputSpec, OutputSpec, SizeSpec

_DECISIVE = ("name", "sha256", "classes", "masked", "void", "input", "size", "output", "inference")


@dataclass(frozen=True, kw_only=True)
class ModelCard(Card):
    """A segmentation model's card.

    ``file`` is the bare name of the ONNX file, which is beside the card; ``sha256`` is the hash of its bytes.
    ``classes`` are in the order of the channels (or labels); two may have the same name. Channels in
    ``masked`` are left out of the argmax, so they are never a label; only a model that gives logits can have
    masked channels. Pixels with the label ``void`` do not count; it may lie beyond the classes. ``inference``
    says how a photo goes through a model that gives logits, unless it goes through once and as it is; it may
    also give the labels other classes. ``groups`` are names of classes by the name of what they are together,
    in the place of a group of that name that ships. ``licence``, ``source`` and ``notes`` are free text;
    ``measured`` is any JSON object and holds what was measured with the model.

    Raises ValueError if a field is not as described.
    """

    kind: ClassVar[ModelKind] = "segmentation"

    name: str
    file: str
    sha256: str
    classes: tuple[str, ...]
    input: InputSpec
    size: SizeSpec
    output: OutputSpec
    masked: tuple[int, ...] = ()
    void: int | None = None
    inference: InferenceSpec | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    licence: str = ""
    source: str = ""
    notes: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._check_shared()
        instance("output", self.output, OutputSpec)
        self._check_classes()
        self._check_inference()
        self._check_groups()
        self._check_work()

    def __repr__(self) -> str:
        return f"ModelCard({self.name!r}, n_classes={self.n_classes})"

    def _check_classes(self) -> None:
        if not 1 <= len(sequence("classes", self.classes)) <= MAX_CLASSES:
            raise ValueError(f"classes: expected 1 to {MAX_CLASSES} names, got {len(self.classes)}")
        classes = tuple(text("classes", name) for name in self.classes)
        check_total("classes", classes)
        channels = sequence("masked", self.masked)
        masked = tuple(sorted({integer("masked", channel, 0, len(classes) - 1) for channel in channels}))
        if len(masked) == len(classes):
            raise ValueError("masked: expected at least one class that is not masked")
        if masked and self.output.kind == "labels":
            raise ValueError("masked: a model that gives labels has done its argmax, expected none")
        if self.void is not None:
            integer("void", self.void, 0, MAX_CLASSES - 1)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "masked", masked)

    def _check_inference(self) -> None:
        if self.inference is None:
            return
        instance("inference", self.inference, InferenceSpec)
        if self.inference == InferenceSpec():
            object.__setattr__(self, "inference", None)  # One spelling only, because recipes are compared.
            return
        if self.output.kind == "labels":
            raise ValueError(
                "inference: flips, scales, windows and other classes need a model that gives logits; "
                f"{self.name!r} gives labels"
            )
        known = set(self.classes)
        for name, parts in (self.inference.taxonomy or {}).items():
            if unknown := [part for part in parts if part not in known]:
                raise ValueError(f"inference.taxonomy.{name}: the model has no class {unknown[0]!r}")

    def _check_groups(self) -> None:
        known = {plain_name(name) for name in (*self.classes, *self.labels)}
        given, seen = mapping("groups", self.groups), set[str]()
        if len(given) > MAX_GROUPS:
            raise ValueError(f"groups: expected at most {MAX_GROUPS}, got {len(given)}")
        groups: dict[str, tuple[str, ...]] = {}
        for group, members in given.items():
            plain = plain_name(text("groups", group))
            if plain in seen:
                raise ValueError(f"groups.{group}: expected names of groups that differ")
            names = tuple(text(f"groups.{group}", name) for name in sequence(f"groups.{group}", members))
            if not names:
                raise ValueError(f"groups.{group}: expected at least one class, got none")
            if unknown := [name for name in names if plain_name(name) not in known]:
                raise ValueError(f"groups.{group}: the model has no class {unknown[0]!r}")
            groups[group] = names
            seen.add(plain)
        check_total("groups", [name for group, names in groups.items() for name in (group, *names)])
        object.__setattr__(self, "groups", groups)

    def _check_work(self) -> None:
        """Bound what the largest photo takes: the canvases, the passes over them, the scores."""
        spec = self.inference or InferenceSpec()
        passes = 0
        for height, width in spec.largest(self.size):
            canvas = spec.canvas(height, width, self.size)
            check_pixels("inference: a scaled photo", *canvas)
            rows, columns = (len(spec.starts(side)) for side in canvas)
            passes += rows * columns * (1 + spec.flip)
            if self.output.kind == "logits":
                check_scores("inference" if self.inference else "size", self.n_classes, height * width)
                window = canvas if spec.crop is None else (spec.crop, spec.crop)
                check_scores("inference" if self.inference else "size", len(self.classes), prod(window))
        check_passes(passes)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels in order: those of ``inference``'s taxonomy if it has one."""
        taxonomy = self.inference.taxonomy if self.inference else None
        return self.classes if taxonomy is None else tuple(taxonomy)

    @property
    def void_label(self) -> int | None:
        """The label that does not count: ``void``, or that of ``inference``'s taxonomy if it has one."""
        if self.inference is None or self.inference.taxonomy is None:
            return self.void
        void = self.inference.void
        return None if void is None else self.labels.index(void)

    @property
    def n_classes(self) -> int:
        """Number of classes of the labels, including masked ones."""
        return len(self.labels)

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """Type of the label maps: uint8 if every label fits, the void one included, or else uint16."""
        small = max(self.n_classes - 1, self.void_label or 0) <= 255
        return np.dtype(np.uint8) if small else np.dtype(np.uint16)

    @classmethod
    def _read(cls, rest: dict[str, Any]) -> dict[str, Any]:
        if "output" in rest:
            rest["output"] = build(OutputSpec, "output.", rest["output"])
        if rest.get("inference") is not None:
            rest["inference"] = build(InferenceSpec, "inference.", rest["inference"])
        return rest

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON values: dicts, lists, text, numbers and None only."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for name in ("inference", "groups", "measured"):
            if not plain[name]:
                del plain[name]
        return {"format": FORMAT} | plain

    def preprocessing_dict(self) -> dict[str, Any]:
        """Return what decides a photo's label map, as JSON values: it belongs in an index's recipe.

        ``classes`` and ``void`` are those of the labels; if they come from a taxonomy, the model's own
        classes are under ``channels``. ``inference`` is present only if it is set.
        """
        plain = self.to_dict()
        decisive = {key: plain[key] for key in _DECISIVE if key in plain}
        if self.labels is not self.classes:
            decisive |= {
                "classes": list(self.labels),
                "void": self.void_label,
                "channels": plain["classes"],
            }
        return decisive


def with_inference(card: ModelCard, inference: InferenceSpec | str | None) -> ModelCard:
    """Return ``card`` with other inference settings, or unchanged if ``inference`` is None.

    Raises ValueError for an unknown name or for settings that the model cannot follow, and TypeError for
    anything else.
    """
    if inference is None:
        return card
    if isinstance(inference, str):
        inference = preset(inference)
    if not isinstance(inference, InferenceSpec):
        raise TypeError(f"inference: expected an InferenceSpec, a name or None, got {shown(inference)}")
    return replace(card, inference=inference)
