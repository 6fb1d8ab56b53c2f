# SPDX-License-Identifier: MIT
"""Segmentation models: their cards, and where to find them."""
