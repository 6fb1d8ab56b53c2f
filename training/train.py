# SPDX-License-Identifier: MIT
"""Train the default model on cached soft labels; a stopped run continues where it was.

Usage: python training/train.py CACHE RUN   (see --help)
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from confusion import accuracy_and_mean_iou
from data import STRIDE, Photos, batches
from muon import Muon, split
from semcbir.export.hrnet import W18_SMALL_V1, HRNet
from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD

MEAN = torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255
STD = torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255
SIZES = ((0.0, (96, 128), 0.45), (0.5, (144, 192), 0.55), (0.8, (192, 256), 0.75))
"""From which part of the run on: the image size, and the smallest part of a photo that fills it.

Small ones first, they go faster. Things come at about the size that they have in a whole photo whose long
side is 256.
"""
BATCH = 32
RATES = {"muon": 0.02, "adamw": 3e-3}
"""Peak learning rates."""
DECAY = 0.999
STATE = ("model", "average", "muon", "adamw")
CHECK_EVERY = 6400
"""Photos between two checks, each of which writes a checkpoint and a point of the curve."""


def rate(part: float) -> float:
    """Share of the peak learning rate at a part of the run: a short warm-up, then a cosine to zero."""
    return min(part / 0.02, 0.5 + 0.5 * math.cos(math.pi * part))


def size_at(part: float) -> tuple[tuple[int, int], float]:
    """Image size, and the smallest part of a photo that fills it, at a part of the run."""
    return [(shape, smallest) for start, shape, smallest in SIZES if part >= start][-1]


def normalised(images: np.ndarray, device: str) -> Tensor:
    """Turn RGB uint8 (n, h, w, 3) into the network's input."""
    tensor = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
    return ((tensor - MEAN.to(device)) / STD.to(device)).contiguous(memory_format=torch.channels_last)


def soft_loss(scores: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy with the teachers' shares, both (n, h, w, TOP)."""
    logs = functional.log_softmax(scores.float(), 1).permute(0, 2, 3, 1).gather(3, labels.long())
    return -(shares.float() * logs).sum(3).mean()


@torch.no_grad()
def agreement(model: HRNet, photos: Photos, positions: np.ndarray, device: str) -> tuple[float, float]:
    """Return pixel accuracy and mean IoU against the teachers' first label, on whole photos."""
    model.eval()
    count = len(photos.classes)
    confusion = torch.zeros(count * count, dtype=torch.long)
    for i in positions.tolist():
        height, width = (int(side) // 32 * 32 for side in photos.sizes[i])
        if not height or not width:
            continue
        found = model(normalised(np.array(photos.images[i : i + 1, :height, :width]), device))[0].argmax(0)
        truth = torch.from_numpy(np.array(photos.labels[i, : height // STRIDE, : width // STRIDE, 0])).long()
        confusion += torch.bincount((truth * count + found.cpu()).ravel(), minlength=count * count)
    return accuracy_and_mean_iou(confusion.view(count, count).numpy())


class Run:
    """A training run: the network, the average of its weights, and its progress."""

    def __init__(self, photos: Photos, folder: Path, total: int, device: str) -> None:
        torch.manual_seed(0)
        self.photos, self.folder, self.total, self.device = photos, folder, total, device
        self.training, self.held_out = photos.split()
        model = HRNet(W18_SMALL_V1, len(photos.classes), align_corners=False)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model)
        convolutions, rest = split(self.model, "last_layer.3.weight")
        self.muon = Muon(convolutions, RATES["muon"])
        self.adamw = torch.optim.AdamW(rest, lr=RATES["adamw"], weight_decay=1e-2)
        self.seen, self.epoch, self.seconds = 0, 0, 0.0
        self.losses: list[float] = []
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        for name in STATE:
            getattr(self, name).load_state_dict(state[name])
        self.seen, self.epoch, self.seconds = state["seen"], state["epoch"], state["seconds"]

    def train(self) -> None:
        """Train until ``total`` photos have been seen."""
        while self.seen < self.total:
            shape, smallest = size = size_at(self.seen / self.total)
            for batch in batches(self.photos, self.training, BATCH, shape, smallest, seed=self.epoch):
                start = time.monotonic()
                self.step(*batch)
                if self.seen % CHECK_EVERY < BATCH or self.seen >= self.total:
                    self.check(shape)
                self.seconds += time.monotonic() - start
                if self.seen >= self.total or size != size_at(self.seen / self.total):
                    break
            self.epoch += 1

    def step(self, images: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> None:
        """Learn from one batch."""
        self.model.train()
        for name, peak in RATES.items():
            for group in getattr(self, name).param_groups:
                group["lr"] = peak * rate(self.seen / self.total)
        with torch.autocast(self.device, torch.bfloat16):
            scores = self.model(normalised(images, self.device))
        truth = (torch.from_numpy(array).to(self.device) for array in (labels, shares))
        loss = soft_loss(scores, *truth)
        self.model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.muon.step()
        self.adamw.step()
        self._follow()
        self.losses.append(float(loss.detach()))
        self.seen += BATCH

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights, faster at the start."""
        steps = self.seen / BATCH
        decay = min(DECAY, (1 + steps) / (10 + steps))
        pairs = zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True)
        for mine, theirs in pairs:
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)

    def check(self, shape: tuple[int, int]) -> None:
        """Measure the average on held-out photos (all of them at the end), note it, and keep the state."""
        positions = self.held_out if self.seen >= self.total else self.held_out[::5]
        accuracy, iou = agreement(self.average, self.photos, positions, self.device)
        point = {"seen": self.seen, "seconds": round(self.seconds), "side": shape[1]}
        point |= {"loss": round(float(np.mean(self.losses)), 4)}
        point |= {"accuracy": round(accuracy, 4), "mean_iou": round(iou, 4)}
        self.losses = []
        print(json.dumps(point), flush=True)
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(point) + "\n")
        state = {name: getattr(self, name).state_dict() for name in STATE}
        state |= {"seen": self.seen, "epoch": self.epoch + 1, "seconds": self.seconds}
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cache", type=Path, help="folder that label.py wrote")
    parser.add_argument("run", type=Path, help="folder for checkpoints and the curve")
    parser.add_argument("--photos", type=int, default=400_000, help="photos to see in all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    Run(Photos.load(options.cache), options.run, options.photos, options.device).train()


if __name__ == "__main__":
    main()
