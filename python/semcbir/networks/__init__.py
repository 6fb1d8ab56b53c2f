# SPDX-License-Identifier: MIT
"""Models: what is known of them, and where they are.

- ``card``, ``specs``: a model's card and its parts; ``fields`` checks them, ``describe`` puts them in words
- ``names``: from what a user calls a model to its files
- ``shipped/``: the model that ships with the package
- ``published``, ``taxonomy``, ``taxonomies/``: models that others published, and their classes
- ``presets``: published ways of running one
- ``cache``: where fetched models are kept
"""
