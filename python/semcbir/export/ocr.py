# SPDX-License-Identifier: MIT
"""The OCR head of HRNet, with the parameter names of the official checkpoints.

After Yuan, Chen and Wang, "Object-contextual representations for semantic segmentation" (arXiv:1909.11065): a
pixel's features are joined with those of the classes that it resembles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from semcbir.export.hrnet import HRNet, HRNetSpec

MIDDLE = 512
KEY = 256


def _projection(inputs: int, outputs: int, count: int = 1) -> nn.Sequential:
    """Return ``count`` 1x1 convolutions, each with normalisation and ReLU as one nested step."""
    layers: list[nn.Module] = []
    for number in range(count):
        layers.append(nn.Conv2d(outputs if number else inputs, outputs, 1, bias=False))
        layers.append(nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU()))
    return nn.Sequential(*layers)


class ObjectAttention(nn.Module):
    """Attention of every pixel to the classes' features."""

    def __init__(self, inputs: int, key: int) -> None:
        super().__init__()
        self.key = key
        self.f_pixel = _projection(inputs, key, 2)
        self.f_object = _projection(inputs, key, 2)
        self.f_down = _projection(inputs, key)
        self.f_up = _projection(key, inputs)

    def forward(self, pixels: Tensor, objects: Tensor) -> Tensor:
        """Map pixels (N, inputs, h, w) and objects (N, inputs, C, 1) to context (N, inputs, h, w)."""
        query = self.f_pixel(pixels).flatten(2).transpose(1, 2)
        key = self.f_object(objects).flatten(2)
        value = self.f_down(objects).flatten(2).transpose(1, 2)
        weights = functional.softmax(query @ key * self.key**-0.5, -1)
        context = (weights @ value).transpose(1, 2).reshape(pixels.shape[0], self.key, *pixels.shape[-2:])
        found: Tensor = self.f_up(context)
        return found


class ObjectContext(nn.Module):
    """Joins pixels with their context."""

    def __init__(self, inputs: int, key: int) -> None:
        super().__init__()
        self.object_context_block = ObjectAttention(inputs, key)
        # Named as in the checkpoints: convolution, normalisation and ReLU, dropout (inactive in evaluation).
        self.conv_bn_dropout = nn.Sequential(*_projection(2 * inputs, inputs), nn.Dropout2d(0.05))

    def forward(self, pixels: Tensor, objects: Tensor) -> Tensor:
        """Map pixels (N, inputs, h, w) and objects (N, inputs, C, 1) to (N, inputs, h, w)."""
        context = self.object_context_block(pixels, objects)
        joined: Tensor = self.conv_bn_dropout(torch.cat([context, pixels], 1))
        return joined


class HRNetOCR(HRNet):
    """HRNet with the OCR head; the scores are those of the OCR head, not of the auxiliary head."""

    def __init__(self, spec: HRNetSpec, n_classes: int, *, align_corners: bool = True) -> None:
        super().__init__(spec, n_classes, align_corners=align_corners)
        self.aux_head = self.last_layer
        del self.last_layer
        total = sum(spec.stages[-1].widths)
        self.conv3x3_ocr = nn.Sequential(
            nn.Conv2d(total, MIDDLE, 3, padding=1), nn.BatchNorm2d(MIDDLE), nn.ReLU()
        )
        self.ocr_distri_head = ObjectContext(MIDDLE, KEY)
        self.cls_head = nn.Conv2d(MIDDLE, n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores at stride 4: (N, n_classes, h, w)."""
        features = self.features(x)
        shares = functional.softmax(self.aux_head(features).flatten(2), 2)
        pixels = self.conv3x3_ocr(features)
        objects = (shares @ pixels.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(3)
        scores: Tensor = self.cls_head(self.ocr_distri_head(pixels, objects))
        return scores
