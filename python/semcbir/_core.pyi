# SPDX-License-Identifier: MIT
"""Types of the compiled core. Private: its interface may change with any version.

Arrays are C-contiguous, aligned and of exactly the dtype and shape given here, else TypeError or ValueError
says what was expected and what came. Columns are those of ``Signatures``: the rows of image ``i`` are
``offsets[i]`` to ``offsets[i + 1]``, classes ascending. The GIL is released while the core works. ``threads``
is 1 to 1024 and changes no bit of any result.
"""

from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

_Bytes: TypeAlias = npt.NDArray[np.uint8]
_Words: TypeAlias = npt.NDArray[np.uint16]
_Counts: TypeAlias = npt.NDArray[np.uint32]
_Lines: TypeAlias = npt.NDArray[np.int32]
_Ints: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float32]
_Doubles: TypeAlias = npt.NDArray[np.float64]
_Terms: TypeAlias = tuple[list[tuple[int, float]], float, list[int], float, list[int], float, bool]

__version__: str

openmp: bool
"""Whether the core was built with OpenMP; without it, it has threads of its own."""

def simd_levels() -> list[str]:
    """Names of the instruction-set levels that are usable here, worst to best.

    Of "baseline", "avx2", "avx512", "avx512vnni" and "neon". All give the same bits.
    """

def simd_level() -> str:
    """Name of the level in use: the best one, or that of the environment variable SEMCBIR_SIMD."""

def set_simd_level(name: str) -> None:
    """Use the level of that name from now on; ValueError, naming the usable ones, if it is none of them."""

def check_rows(offsets: _Ints, classes: _Words, n_classes: int) -> None:
    """Raise ValueError unless the columns describe rows that are safe to walk.

    Offsets run from 0 to the number of rows without decreasing; within an image classes ascend strictly and
    stay below ``n_classes``.
    """

def build_signatures(
    label_maps: list[_Bytes | _Words] | list[_Bytes] | list[_Words],
    keypoints: list[_Floats],
    descriptors: list[_Floats],
    dim: int,
    n_classes: int,
    void: int,
    threads: int,
) -> tuple[_Ints, _Words, _Floats, _Counts, _Floats]:
    """Build semantic histograms and signatures (Fig. 4; Sect. 3.1, Algorithm 1).

    For each image a label map (H, W), keypoints (n, 2) as (x, y) in pixels and descriptors (n, dim). Labels
    are below ``n_classes``, or ``void``: that of pixels and keypoints that do not count (-1: none).

    Returns the columns (offsets, classes, proportions, counts, centroids) of as many images. ValueError,
    naming the image by its number, for labels out of range, empty maps, and NaN or infinity anywhere.
    """

def build_grid_signatures(
    label_maps: list[_Bytes | _Words] | list[_Bytes] | list[_Words],
    grids: list[tuple[_Floats, _Lines, _Lines]],
    dim: int,
    n_classes: int,
    void: int,
    whole: bool,
    threads: int,
) -> tuple[_Ints, _Words, _Floats, _Counts, _Floats]:
    """Build semantic histograms and signatures from grids of descriptors (Sect. 3.1, Algorithm 1).

    For each image a label map (H, W) and a grid: cells (h, w, dim), rows (H,) and columns (W,), which say in
    which row and column of cells each row and column of pixels lies. Every pixel is a keypoint with its
    cell's descriptor. With ``whole`` each image has a row more, of class ``n_classes`` and proportion 0: the
    mean of the cells in which a pixel lies.

    Returns the columns (offsets, classes, proportions, counts, centroids) of as many images. ValueError,
    naming the image by its number, for labels, rows and columns out of range, and NaN or infinity anywhere.
    """

def upsampled_argmax(
    logits: _Floats,
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
    masked: npt.NDArray[np.uint8],
) -> _Words:
    """Find the channel of ``logits`` (C, h, w) with the highest score, interpolated, at rows x columns.

    ``rows`` (H,) and ``columns`` (W,) are positions on the lattice, non-decreasing; ``masked`` (C,) is 1 for
    channels that never win. Returns (H, W); of equal scores the lowest channel's wins. ValueError for
    positions that are not as described, and scores that matter and are not finite.
    """

def weight_rows(
    classes: _Words,
    proportions: _Floats,
    centroids: _Floats,
    n_classes: int,
    whole_share: float,
    threads: int,
) -> _Floats:
    """Give each row a length: sqrt((1 - whole_share) P_c), and sqrt(whole_share) for class ``n_classes``.

    A null vector stays null. Returns the centroids, (rows, dim). ValueError unless whole_share is in [0, 1].
    """

def histogram_distances(
    queries: tuple[_Ints, _Words, _Floats], segment: tuple[_Ints, _Words, _Floats], threads: int
) -> _Doubles:
    """Distances of eq. 1, (queries, images), between images given as (offsets, classes, proportions)."""

def blend(
    images: tuple[_Ints, _Words, _Floats, _Counts, _Floats],
    collection: tuple[_Ints, _Words, _Floats, _Counts, _Floats],
    neighbours: _Ints,
    dim: int,
    k: int,
    own_proportions: bool,
    threads: int,
) -> tuple[_Ints, _Words, _Floats, _Counts, _Floats]:
    """Average each image with its neighbours, given as (images, up to k) positions in the collection.

    Images are (offsets, classes, proportions, counts, centroids (rows, dim)). A position below 0 ends an
    image's neighbours. The image weighs k + 1, its r-th neighbour k + 1 - r, divided by the sum of weights;
    sums in double by rank. With ``own_proportions`` these are the image's, 0 for its neighbours' classes.
    """

class _pybind11_type(type): ...  # noqa: N801 (the metaclass of every class of pybind11)

@final
class SegmentScreen(metaclass=_pybind11_type):
    """What a Searcher knows of a segment beside its signatures; another one of the same rows may share it."""

    def __init__(self, /, *args: object, **kwargs: object) -> None:
        """Raise TypeError: only a Searcher makes them."""

@final
class Searcher(metaclass=_pybind11_type):
    """Exact search over segments, whose arrays are not copied but kept alive.

    A segment is (offsets, classes, proportions, centroids (rows, dim), ids (images,)). A negative id marks a
    removed image, which is never found and never counted. ``screens`` are, for each segment, None or what
    another Searcher of a segment with the same rows has in ``screens``; ids may differ.
    """

    def __init__(
        self,
        segments: list[tuple[_Ints, _Words, _Floats, _Floats, _Ints]],
        dim: int,
        screens: list[SegmentScreen | None] | None = None,
    ) -> None: ...
    def __len__(self) -> int:
        """Return the number of images that are not removed."""

    @property
    def dim(self) -> int:
        """D, the length of a centroid."""

    @property
    def screens(self) -> list[SegmentScreen]:
        """What is known of each segment (docs/search.md), for searchers over the same rows."""

    @property
    def screen_bytes(self) -> int:
        """Bytes of the screens (docs/search.md), 0 before they are built."""

    def search(
        self,
        query_offsets: _Ints,
        query_classes: _Words,
        query_proportions: _Floats,
        query_centroids: _Floats,
        k: int,
        epsilon: float | None,
        drop: bool,
        threads: int,
        screened: bool | None = None,
        epsilons: _Doubles | None = None,
        terms: _Terms | None = None,
        squared: _Doubles | None = None,
    ) -> tuple[_Ints, _Floats, _Floats, _Ints]:
        """Search for each of q queries: (ids, distances, histogram_distances), all (q, k), and kept (q,).

        Kept images by (squared distance in double, id), then the penalised ones likewise (those with a
        histogram distance above ``epsilon``; None, or 2 and more: none), or without these where ``drop``.
        ``kept`` counts the images that pass the filter. Missing hits have id -1 and infinite distances.
        ``screened`` says whether screens are used, and built if they are not there; None: once that pays.
        Results do not depend on it. ``epsilons`` float64 (q,) go in the place of epsilon. ``terms`` are
        (weights, others, needed, min_share, barred, max_share, unit_rows): pairs (label, how many times its
        squared differences count), the same for all other classes (0 or 1), classes that images must hold
        together not to be penalised, those of which an image that is found may hold no more each, and
        whether rows count at length 1; labels ascend. ``squared`` float64 (q, k) is written to: the squared
        distances, which rank images; inf for missing hits. Raises ValueError unless it can be.
        """

    def find(
        self,
        asked: list[tuple[list[int], float | None]],
        min_share: float,
        barred: list[int],
        max_share: float,
        first: int,
        k: int,
        threads: int,
    ) -> tuple[_Ints, _Doubles, _Doubles, int]:
        """Find images by their histograms: (ids (n,), distances (n,), shares (n, asked), how many there are).

        ``asked`` are (labels, share): classes that an image has to show as if they were one, at least
        ``min_share``, or ``share`` where that is less; labels ascend. Order: the sum of |share shown - share|
        over those with a share, in double; the least share shown of the others, the larger first; id. Images
        of which one of ``barred`` is more than ``max_share`` are left out. Those from ``first`` on are
        returned, at most ``k``.
        """

    def nearest_epsilons(
        self,
        query_offsets: _Ints,
        query_classes: _Words,
        query_proportions: _Floats,
        m: int,
        terms: _Terms | None,
        threads: int,
    ) -> _Doubles:
        """Return for each query the m-th smallest histogram distance to an image that is not barred: (q,).

        The largest one if there are fewer images, 0 if there are none.
        """

    def smallest_histogram_distances(
        self,
        query_offsets: _Ints,
        query_classes: _Words,
        query_proportions: _Floats,
        m: int,
        terms: _Terms | None,
        threads: int,
    ) -> _Doubles:
        """Return for each query the m smallest of these histogram distances, ascending: (q, m).

        inf where there are fewer images. Of several searchers, the m-th smallest of all is the one that a
        searcher over all images has.
        """

    def work(
        self,
        query_offsets: _Ints,
        query_classes: _Words,
        query_proportions: _Floats,
        query_centroids: _Floats,
        k: int,
        epsilon: float | None,
        drop: bool,
    ) -> _Ints:
        """Return what a search with screens, on one thread, looks at for each of q queries: (q, 4).

        The number of blocks, that of those it looks at, bytes of screens that it reads, and distances that it
        computes; zeros for queries that are searched for without screens (docs/search.md).
        """
