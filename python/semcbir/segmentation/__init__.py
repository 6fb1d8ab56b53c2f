# SPDX-License-Identifier: MIT
"""Semantic segmentation: photos in, label maps out.

- ``segmenter``: Segmenter, which runs an ONNX model with its card
- ``network``: its graph, which gives scores or labels
- ``averaging``: flips, scales, windows and other classes, from a network's logits
- ``labelling``: from the network's output back to labels at the photo's own resolution
"""
