# SPDX-License-Identifier: MIT
"""Networks: what is known of them, and where they are.

- ``card``, ``specs``: a network's card and its parts; ``fields`` checks them, ``describe`` puts them in words
- ``names``: from what a user calls a network to its files
- ``shipped/``: the network that ships with the package
- ``published``, ``taxonomy``, ``taxonomies/``: networks that others published, and their classes
- ``presets``: published ways of running one
- ``cache``: where fetched networks are kept
"""
