# SPDX-License-Identifier: MIT
"""Taxonomies: the lists of classes of published models, in the order of their channels."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).with_name("taxonomies")


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """A list of classes, one for each channel, with its source and the licence of its names."""

    name: str
    source: str
    licence: str
    notes: str
    classes: tuple[str, ...]


@functools.cache
def taxonomy(name: str) -> Taxonomy:
    """Read the taxonomy called ``name`` (such as ``cocostuff_171``), which ships with the package."""
    fields = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Taxonomy(**{**fields, "classes": tuple(fields["classes"])})
