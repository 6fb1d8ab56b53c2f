# SPDX-License-Identifier: MIT
"""Segmentation models: what is known of them, and where they are.

- ``card``, ``specs``: a network's card and its parts
- ``registry``: from what a user calls a model to its files
- ``networks/``: the network that ships with the package
- ``published``, ``taxonomy``, ``taxonomies/``: networks that others published, and their classes
- ``presets``: published ways of running one
- ``fetching``, ``cache``: a published checkpoint, downloaded once; over ``downloading``, ``web``, ``drive``
"""
