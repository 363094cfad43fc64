"""The score stage on another master than this machine's threads: python -m tests.faults.on_cluster MASTER --flags."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyspark

from jobs.cli import main
from jobs.spark.session import local_session

if __name__ == "__main__":
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    conf = {"spark.sql.shuffle.partitions": "4", "spark.driver.memory": "1g"}
    local_session("score on a cluster", sys.argv[1], conf)
    sys.exit(main(["score", *sys.argv[2:]]))
