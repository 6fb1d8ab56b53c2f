# SPDX-License-Identifier: MIT
"""Encoders: photos in, grids of vectors out.

- ``encoder``: Encoder, which runs an ONNX encoder with its card, and Grid, what it gives
- ``network``: its graph
"""
