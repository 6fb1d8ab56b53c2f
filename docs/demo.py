# SPDX-License-Identifier: MIT
"""Make made-up photos and a tiny network that knows four colours, to try semcbir without any of your own.

Usage: python docs/demo.py FOLDER   (needs the extra "test"; makes FOLDER/photos and FOLDER/colours.onnx)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from made_photos import write_photos
from tiny_models import tiny_model


def main() -> None:
    """Write the photos and the network into the folder given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/demo.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_photos(folder / "photos")
    print(tiny_model(folder / "colours.onnx"))


if __name__ == "__main__":
    main()
