# SPDX-License-Identifier: MIT
"""An index on disk: what is in it, and how it stays whole.

- ``index``: what an ``Index`` offers
- ``catalog``: the SQLite file that says what is in the index, and the writers' lock; ``rows``: what it lists
- ``segments``: one immutable safetensors file for each batch of images
- ``snapshot``: a consistent view of both
- ``roots``: the folders that images were found in
- ``contents``: which classes the images hold
- ``plan``, ``run``: which files are new, changed or gone; reading them
- ``merge``: merging small segments into fewer, larger ones
- ``append``: signatures that were made elsewhere
- ``lookup``: which files the images are; ``arguments``: what callers name them by
- ``place``, ``ready``: a folder of photos with its own index; bringing it up to date for a search
- ``check``: verification of everything above
- ``create``: a new index
- ``model``: the model it was made with
"""
