# SPDX-License-Identifier: MIT
"""Retrieval quality on labelled data sets; ``python -m semcbir.evaluation`` prints a table."""
