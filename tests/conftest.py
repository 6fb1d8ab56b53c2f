# SPDX-License-Identifier: MIT
"""Makes the fixtures of fixtures.py known to every test."""

from fixtures import *  # noqa: F403
