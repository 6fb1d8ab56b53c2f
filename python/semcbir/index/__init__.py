# SPDX-License-Identifier: MIT
"""An index on disk: what is in it and why, and how it stays whole.

- ``index``: what an ``Index`` offers
- ``catalog``: the SQLite file that is the truth, and the writers' lock; ``rows`` are what it lists
- ``segments``: one immutable safetensors file for each batch of images
- ``snapshot``: a consistent look at both
- ``roots``: the folders that images were found in
- ``plan``, ``run``: which files are new, changed or gone; reading them
- ``merge``: fewer, larger segments as small ones pile up
- ``check``: verification of everything above
- ``create``: a new index
- ``model``: the model it was made with
"""
