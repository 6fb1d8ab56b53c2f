# SPDX-License-Identifier: MIT
"""What semantic signatures are compared with: methods that make one vector of an image, and rank by L2.

- from local features, after learning from training images: BoVW, NGrams, Phrases, VLAD, Fisher
- from pixels: ColourHistogram, CEDD, PHash, DHash
- from a network: Classifier, and SvmRanking over its vectors, which learns labels
- Whitened: PCA-whitening of vectors of any kind

Most need the extra ``eval``: pip install "semcbir[eval]". ``docs/baselines.md`` says how each paper was read.
"""

from __future__ import annotations

from semcbir.baselines.aggregator import Aggregator, Fitted
from semcbir.baselines.bovw import BoVW
from semcbir.baselines.cedd import CEDD
from semcbir.baselines.classifier import Classifier
from semcbir.baselines.colour import ColourHistogram
from semcbir.baselines.embedding_card import embedding_card
from semcbir.baselines.fisher import Fisher
from semcbir.baselines.hashes import DHash, PHash
from semcbir.baselines.phrases import NGrams, Phrases
from semcbir.baselines.pixels import PixelDescriptor
from semcbir.baselines.svm import SvmRanking
from semcbir.baselines.vlad import VLAD
from semcbir.baselines.whitening import Whitened

__all__ = [
    "BASELINES",
    "CEDD",
    "VLAD",
    "Aggregator",
    "BoVW",
    "Classifier",
    "ColourHistogram",
    "DHash",
    "Fisher",
    "Fitted",
    "NGrams",
    "PHash",
    "Phrases",
    "PixelDescriptor",
    "SvmRanking",
    "Whitened",
    "embedding_card",
]

BASELINES: dict[str, type[Aggregator] | type[PixelDescriptor]] = {
    kind.name: kind for kind in (BoVW, NGrams, Phrases, VLAD, Fisher, ColourHistogram, CEDD, PHash, DHash)
}
"""The methods that need no model, by name; each has ``about``, a line on it, and ``takes``, what it is given:
"local features" or "pixels"."""
