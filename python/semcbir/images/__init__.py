# SPDX-License-Identifier: MIT
"""Image files.

- ``find``: which files of a folder are images
- ``decode``: one file, or an array, to pixels
"""
