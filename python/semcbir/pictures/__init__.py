# SPDX-License-Identifier: MIT
"""Pictures for people, drawn with Pillow.

- ``sheet``: a query and its hits
- ``explanation``: why two photos are near or far
- ``colours``: those of classes
- ``draw``: what both are drawn with
"""
