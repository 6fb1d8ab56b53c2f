# SPDX-License-Identifier: MIT
"""Semantic segmentation: photos in, label maps out.

- ``segmenter``: Segmenter, which runs an ONNX model with its card
- ``averaging``: flips, scales, windows and other classes, from a network's logits
- ``labelling``: from the network's output back to labels at the photo's own resolution
"""
