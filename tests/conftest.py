# SPDX-License-Identifier: MIT
"""Makes the fixtures of fixtures.py known to every test, and sets what all property tests have in common."""

from hypothesis import settings

from fixtures import *  # noqa: F403

# A machine that others use too may be slow at any moment, which is no fault of what is tested.
settings.register_profile("semcbir", deadline=None)
settings.load_profile("semcbir")
