# SPDX-License-Identifier: MIT
"""From a published checkpoint or a network in torch to ONNX: needs the extra ``export`` (torch, onnx).

- ``hrnet``, ``ocr``: the networks
- ``checkpoints``: published files, read strictly
- ``exporting``: the whole way, over ``graph`` (what lies around the network), ``half`` and ``quantizing``
  (other precisions), ``verifying`` and ``pictures`` (compared with torch, on what), ``cards``
"""
