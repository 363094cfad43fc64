"""Connected components by a plain loop, to compare clusters with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def union_find(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The nodes of each connected component."""
    parent = {node: node for node in nodes}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges:
        parent[root(a)] = root(b)
    members = defaultdict(list)
    for node in parent:
        members[root(node)].append(node)
    return list(members.values())
