# SPDX-License-Identifier: MIT
"""Turn a published checkpoint or a torch network into an ONNX model: needs the extra ``export`` (torch).

- ``fetching``: gets a published checkpoint into the user's cache, with ``downloading``, ``web`` and
  ``drive``; these four work without torch
- ``checkpoints``: reads published files strictly into ``hrnet``, with or without its ``ocr`` head;
  ``encoder_checkpoints`` into ``vit`` and ``resnet``; both stand on ``weights``
- ``export``: the functions to call, with their ``options``. ``workshop`` does the work, with ``graph`` (what
  is put around the network), ``fp16`` and ``int8`` (other precisions), ``verify`` (comparison with torch),
  ``photos`` (what to compare on) and ``cards``; ``encoders`` does it for encoders
"""
