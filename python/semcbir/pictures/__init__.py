# SPDX-License-Identifier: MIT
"""Pictures for people, drawn with Pillow.

- ``sheet``: a query and its hits
- ``found``: photos found by their classes
- ``explanation``: why two photos are near or far
- ``duplicates``: groups of near-duplicate photos
- ``contents``: a bar for each class of an index
- ``colours``: those of classes; ``families``: the classes of which people expect one
- ``html``: photos in notebooks
- ``grid``: where the photos of a sheet are; ``draw``: what all are drawn with
"""
