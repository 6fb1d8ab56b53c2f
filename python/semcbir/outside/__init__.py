# SPDX-License-Identifier: MIT
"""An index for other programs: as Parquet files, tables of PostgreSQL with pgvector, a collection of Qdrant.

``docs/export.md`` describes the columns, and how to search them with the same ids and order as here. ``rows``
says what is written of an image; ``parquet``, ``pgvector`` and ``qdrant`` write it, each with a library that
is an extra of that name; ``exporting`` has them do it.
"""

from __future__ import annotations

from semcbir.outside.exporting import TARGETS, Exported, export_index

__all__ = ["TARGETS", "Exported", "export_index"]
