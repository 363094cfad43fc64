"""How many tasks there are on clusters of other makes: no Spark of our own can be set up like them."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.workers import num_tasks


class Cluster:
    """As much of a session as its settings."""

    def __init__(self, **settings: str) -> None:
        self.conf: Any = {"spark.master": "spark://host:7077"} | {
            key.replace("_", "."): value for key, value in settings.items()
        }


@pytest.mark.parametrize(("partitions", "expected"), [("48", 48), ("auto", 200)])
def test_a_cluster_has_as_many_tasks_as_shuffle_partitions_and_200_where_it_chooses_them_itself(
    partitions: str, expected: int
) -> None:
    cluster: Any = Cluster(spark_sql_shuffle_partitions=partitions)
    assert num_tasks(cluster, None) == expected
    assert num_tasks(cluster, 3) == 3
