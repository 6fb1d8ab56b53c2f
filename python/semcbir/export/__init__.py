# SPDX-License-Identifier: MIT
"""From a published checkpoint or a network in torch to ONNX: needs the extra ``export`` (torch).

- ``fetching``: a published checkpoint in the user's cache, over ``downloading``, ``web`` and ``drive``; these
  four work without torch
- ``checkpoints``: published files, read strictly, into ``hrnet`` with its ``ocr`` head
- ``export``: the way in, with its ``options``; ``workshop`` does the work, over ``graph`` (what is put
  around the network), ``fp16`` and ``int8`` (other precisions), ``verify`` and ``photos`` (compared with
  torch, on what), ``cards``
"""
