# SPDX-License-Identifier: MIT
"""Indexing and searching on several machines, with Ray (extra ``ray``): see docs/scale.md.

``shard`` and ``gathering`` know nothing of Ray: what shards are asked, and how their answers become one.
``session`` starts or joins a cluster, ``searcher`` has an actor for each part, ``building`` a task.
"""

from semcbir.distributed.building import index_on_ray
from semcbir.distributed.searcher import Searcher

__all__ = ["Searcher", "index_on_ray"]
