# SPDX-License-Identifier: MIT
"""Retrieval quality on labelled data sets; ``semcbir evaluate`` prints tables."""
