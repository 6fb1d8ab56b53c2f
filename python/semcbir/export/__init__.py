# SPDX-License-Identifier: MIT
"""From published checkpoints to ONNX: needs the extra ``export`` (torch, onnx, onnxscript)."""
