# SPDX-License-Identifier: MIT
"""Image files.

- ``find``: which files of a folder are images; ``kinds``: what kinds there are
- ``decode``: one file, or an array, to pixels, by way of ``sources``, one for each kind
"""
