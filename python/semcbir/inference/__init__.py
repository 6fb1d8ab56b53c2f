# SPDX-License-Identifier: MIT
"""Running ONNX files, whatever they are for: photos in, arrays out.

- ``model_file``: the file, looked through before anything is run from it
- ``runtime``: the onnxruntime session and the device it really uses
- ``ahead``: models opened in other threads, before they are asked for
- ``watchdog``: the limit to how long a call may take
- ``network``: the ONNX graph, checked against its card
- ``photo_model``: photos through it in batches; what segmenters and encoders share
- ``canvas``: from photos to the network's input, and where each photo lies on it
"""
