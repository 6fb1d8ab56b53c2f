# SPDX-License-Identifier: MIT
"""Encoders: photos in, grids of vectors out.

- ``encoder``: Encoder, which runs an ONNX encoder with its card
- ``grid``: Grid, what it gives for a photo
- ``network``: its graph
"""
