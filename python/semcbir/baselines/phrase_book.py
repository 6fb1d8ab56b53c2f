# SPDX-License-Identifier: MIT
"""Visual phrases: sets of words, and the book of those that are frequent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semcbir.baselines.normalising import Doubles

MOST_CODES = 2**63 - 1


@dataclass(frozen=True, eq=False)
class PhraseBook:
    """The phrases that count, of ``length`` words out of ``words``: ``codes`` int64 (P,), ascending.

    The words of a phrase have no order, and one may occur in it twice. Its code is the number whose digits to
    the base ``words`` they are, ascending.
    """

    words: int
    length: int
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, phrases: Iterable[NDArray[np.int64]], words: int, length: int, most: int) -> PhraseBook:
        """Return the book of the ``most`` frequent of all training images' phrases, each int64 (m, length).

        Of equally frequent ones, those of lower codes. ValueError if there is no phrase at all.
        """
        # One image after the other: all phrases together may take more memory than the descriptors.
        found: dict[int, int] = {}
        for image in phrases:
            for code, count in zip(*np.unique(_codes(image, words), return_counts=True), strict=True):
                found[int(code)] = found.get(int(code), 0) + int(count)
        if not found:
            raise ValueError(f"training: expected an image of at least {length} keypoints, got none")
        frequent = sorted(found, key=lambda code: (-found[code], code))[:most]
        return cls(words, length, np.array(sorted(frequent), np.int64))

    def histogram(self, phrases: NDArray[np.int64]) -> Doubles:
        """Return how often each phrase of the book occurs among ``phrases`` (m, length): float64 (P,)."""
        codes = _codes(phrases, self.words)
        places = np.minimum(np.searchsorted(self.codes, codes), len(self) - 1)
        known = places[self.codes[places] == codes]
        return np.bincount(known, minlength=len(self)).astype(np.float64)


def _codes(phrases: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    codes = np.zeros(len(phrases), np.int64)
    for column in np.sort(phrases, axis=1).T:
        codes = codes * words + column
    return codes
