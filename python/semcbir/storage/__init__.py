# SPDX-License-Identifier: MIT
"""An index on disk: the catalogue, the segments, and how they stay whole.

- ``catalog``: the SQLite file that is the truth, and the writers' lock
- ``segments``: one immutable safetensors file for each batch of images
- ``snapshot``: a consistent look at both
- ``roots``: the folders that images were found in
- ``merging``: fewer, larger segments as small ones pile up
- ``checking``: verification of everything above
"""
