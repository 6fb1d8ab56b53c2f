# SPDX-License-Identifier: MIT
"""A page on an index in a browser, and the same as an API; needs the extra ``web``.

A request goes through ``safety``, ``pages`` or ``api`` (which read what is asked with ``asked``), and
``collection``, which has the index and all searches. ``uploads`` holds photos that were sent, ``thumbnails``
makes and keeps small ones. ``app`` puts these together, ``serve`` runs them.
"""
