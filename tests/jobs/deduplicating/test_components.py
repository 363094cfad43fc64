"""Connected components: those of union-find, whatever the graph."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from jobs.deduplicating.components import connected_components
from tests.jobs.deduplicating.cases import union_find


def test_components_of_random_graphs_are_those_of_union_find(spark):
    draw = random.Random(11)
    edges: set[tuple[str, str]] = set()
    for graph in range(60):
        size = draw.choice([2, 3, 5, 20, 60])
        nodes = [f"{graph}.{n}" for n in range(size)]
        draw.shuffle(nodes)
        edges |= {tuple(draw.sample(nodes, 2)) for _ in range(draw.randint(1, 2 * size))}  # type: ignore[misc]
    for graph, size in enumerate([400, 400, 400]):
        path = [f"path{graph}.{n:03}" for n in range(size)]
        if graph == 1:
            draw.shuffle(path)
        if graph == 2:  # The ends meet in the middle: neighbours are far apart by name.
            path = [path[n // 2 if n % 2 else size - 1 - n // 2] for n in range(size)]
        edges |= set(pairwise(path))
    edges |= {("hub", f"spoke{n}") for n in range(300)} | {("spoke7", "a"), ("é", "'"), ("'", "{x}")}
    rows = sorted({(max(edge), min(edge)) for edge in edges})
    found = connected_components(spark, spark.createDataFrame(rows, "node string, lower string")).collect()
    expected = set()
    for members in union_find({node for edge in edges for node in edge}, edges):
        expected |= {(node, min(members)) for node in members if node != min(members)}
    assert len(found) == len(expected)
    assert {(row["node"], row["lower"]) for row in found} == expected


def test_components_that_do_not_settle_in_time_are_an_error(spark):
    rows = [(f"{n + 1:02}", f"{n:02}") for n in range(50)]
    with pytest.raises(ValueError, match=r"have not settled after 2 rounds, \d+ links still move; .* --similarity"):
        connected_components(spark, spark.createDataFrame(rows, "node string, lower string"), max_rounds=2)
