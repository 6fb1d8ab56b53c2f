# SPDX-License-Identifier: MIT
"""Query expansion: a query is averaged with what it finds, and searched for again.

After O. Chum et al., "Total recall: automatic query expansion with a generative feature model for object
retrieval" (ICCV 2007), with the weights of F. Radenović, G. Tolias and O. Chum, "Fine-tuning CNN image
retrieval with no human annotation" (TPAMI 2019): a hit weighs the cosine of its signature and the query's, to
the power of alpha = 3; 0 where the cosine is below 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir._validate import check_integer
from semcbir.several import at_length_one, mean_signature
from semcbir.signatures import Signatures

ALPHA = 3
MAX_EXPAND = 1000


def check_expand(value: SupportsIndex) -> int:
    """Return a number of hits as an int. Raises TypeError or ValueError unless it is from 0 to 1000."""
    return check_integer("expand", value, 0, MAX_EXPAND)


def expanded(
    queries: Signatures,
    nearest: npt.NDArray[np.int64],
    fetch: Callable[[npt.NDArray[np.int64]], Signatures],
) -> Signatures:
    """Return each query averaged with its ``nearest``: ids (q, m), -1 where there are no more.

    A query weighs 1. ``fetch`` returns the signatures of ids, in their order.
    """
    made = []
    for position, ids in enumerate(nearest):
        query = queries[position : position + 1]
        hits = fetch(ids[ids >= 0])
        together = Signatures.concatenate([query, hits], ids=np.arange(1 + len(hits)))
        weights = [1.0, *np.maximum(cosines(query, hits), 0) ** ALPHA]
        made.append(at_length_one(mean_signature(together, weights)))
    return Signatures.concatenate(made, ids=queries.ids) if made else queries


def cosines(query: Signatures, images: Signatures) -> npt.NDArray[np.float64]:
    """Return the cosine (n,) between a query's signature and each image's; 0 where one is null."""
    rows = dict(zip(query.classes.tolist(), query.centroids.astype(np.float64), strict=True))
    centroids = images.centroids.astype(np.float64)
    null = np.zeros(images.dim)
    matching = np.array([rows.get(label, null) for label in images.classes.tolist()]).reshape(centroids.shape)
    image = np.repeat(np.arange(len(images)), np.diff(images.offsets))
    products = np.bincount(image, (centroids * matching).sum(axis=1), len(images))
    squares = np.bincount(image, (centroids**2).sum(axis=1), len(images))
    lengths = np.sqrt(squares * sum(float((row**2).sum()) for row in rows.values()))
    found: npt.NDArray[np.float64] = np.zeros(len(images))
    np.divide(products, lengths, out=found, where=lengths > 0)
    return found
