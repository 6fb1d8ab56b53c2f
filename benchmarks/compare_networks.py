# SPDX-License-Identifier: MIT
"""One model beside another, from pixels to labels, photo by photo in turn.

    python benchmarks/compare_networks.py FIRST SECOND PHOTOS

FIRST and SECOND are cards, or names of ``semcbir models list``; PHOTOS is a folder.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path

from pairs import seconds
from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.segmentation.segmenter import Segmenter
from tables import spread, table


def main() -> None:
    """Print the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs=2, metavar="MODEL")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int, default=100, help="photos to compare on")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    first, second = (Segmenter(network, device=options.device) for network in options.networks)
    paths = find_images(options.photos)[: options.limit]
    pairs = []
    for path in [paths[0], *paths]:  # the first one twice: the first time warms up
        image = load_image(path, 512)
        pairs.append([seconds(partial(segmenter.segment, [image])) for segmenter in (first, second)])
    del pairs[0]
    a, b = (f"{1e3 * statistics.median(times):.3g} ms" for times in zip(*pairs, strict=True))
    ratios = spread([one / other for one, other in pairs], ".2f")
    titles = ["model", "median", "beside", "median", "first / second (min, median, max)"]
    print(f"{len(paths)} photos, from pixels to labels, on {first.device}\n")
    print(table(titles, [[first.card.name, a, second.card.name, b, ratios]]))


if __name__ == "__main__":
    main()
