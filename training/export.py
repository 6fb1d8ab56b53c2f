# SPDX-License-Identifier: MIT
"""Write a trained network as ONNX with its card.

Usage: python training/export.py RUN CACHE OUTPUT.onnx [--photos FOLDER] [--notes FILE] [--measured FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from semcbir.export.export import export_network
from semcbir.export.hrnet import W18_SMALL_V1, HRNet
from semcbir.export.options import ExportOptions
from semcbir.networks.draft import CardDraft
from semcbir.networks.specs import SizeSpec

NAME = "semcbir-hrnet-w16-ade150voc7"
SIZE = SizeSpec(rule="long_side", length=256, multiple=8)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the training run")
    parser.add_argument("cache", type=Path, help="folder that label.py wrote")
    parser.add_argument("output", type=Path, help="where the network goes")
    parser.add_argument("--photos", type=Path, help="photos to compare the ONNX graph with torch on")
    parser.add_argument("--measured", type=Path, help="JSON object for the card's field measured")
    parser.add_argument("--notes", type=Path, help="text for the card's field notes")
    options = parser.parse_args()
    classes = tuple((options.cache / "classes.txt").read_text().split("\n")[:-1])
    network = HRNet(W18_SMALL_V1, len(classes), align_corners=False)
    network.load_state_dict(torch.load(options.run / "checkpoint.pt", weights_only=True)["average"])
    curve = [json.loads(line) for line in (options.run / "curve.jsonl").read_text().splitlines()]
    measured = json.loads(options.measured.read_text()) if options.measured else {}
    measured["curve"] = [[point[key] for key in ("seen", "accuracy", "mean_iou")] for point in curve]
    spec = CardDraft(
        name=NAME,
        classes=classes,
        size=SIZE,
        align_corners=False,
        licence="MIT",
        source="trained for semcbir; training/ in its repository tells how",
        notes=options.notes.read_text().strip() if options.notes else "",
        measured=measured,
    )
    export_network(
        network.eval(),
        spec,
        options.output,
        ExportOptions(kind="logits", photos=options.photos, on_step=print),
    )


if __name__ == "__main__":
    main()
