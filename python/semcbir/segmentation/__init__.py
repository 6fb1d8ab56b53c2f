# SPDX-License-Identifier: MIT
"""Semantic segmentation: photos in, label maps out.

- ``segmenter``: Segmenter, which runs an ONNX model with its card
- ``network``: the ONNX graph, checked against its card
- ``averaging``: flips, scales, windows and other classes, from a network's logits
- ``canvas``: from photos to the network's input, and where each photo lies on it
- ``labelling``: from the network's output back to labels at the photo's own resolution
- ``model_file``: the file, looked through before anything is run from it
- ``runtime``: the onnxruntime session and the device it really uses
"""
