"""Put Delta's two jars beside Spark's own, once, so that every later start is offline and quiet.

Resolving with Ivy at each start costs twenty seconds and fetches 33 jars, of which Spark already has
the rest. The jars are pinned by hash: whatever a repository or a proxy serves, only these bytes are used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

from jobs.spark.session import require_java

JARS = {
    "delta-spark_4.1_2.13-4.4.0.jar": "75a9400986853c061f5109f012547de2545a5759e5e752e5ef633dabe16a4f10",
    "delta-storage-4.4.0.jar": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
}
COORDINATES = "io.delta:delta-spark_4.1_2.13:4.4.0,io.delta:delta-storage:4.4.0"
# Everything that Delta names as a dependency is on Spark's class path already, or serves engines other than Spark.
NOT_NEEDED = "com.*:*,org.*:*,javax.*:*,commons-*:*,io.airlift:*,io.unitycatalog:*,io.delta:delta-kernel*"


def sha256(path: Path) -> str:
    """The file's SHA-256, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def missing_jars(folder: Path) -> list[str]:
    """Names of the jars that are not in folder, or are there with other bytes."""
    return [name for name, digest in JARS.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def fetch(ivy_folder: Path) -> None:
    """Have Spark's own resolver download the jars into ivy_folder/jars; raises RuntimeError with its last lines."""
    start = [
        sys.executable,
        "-c",
        "from pyspark.sql import SparkSession as S;"
        f"S.builder.master('local[1]').config('spark.ui.enabled','false').config('spark.jars.packages','{COORDINATES}')"
        f".config('spark.jars.excludes','{NOT_NEEDED}').config('spark.jars.ivy',r'{ivy_folder}').getOrCreate().stop()",
    ]
    result = subprocess.run(start, capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter
    if result.returncode != 0:
        tail = "\n".join(result.stderr.strip().splitlines()[-15:])
        raise RuntimeError(f"Spark could not fetch {COORDINATES} (is Maven Central reachable?):\n{tail}")


def main() -> int:
    """Install what is missing into pyspark's jars folder; exit status 0 when both jars are there."""
    require_java()
    jars_folder = Path(pyspark.__file__).parent / "jars"
    if not missing_jars(jars_folder):
        return 0
    with tempfile.TemporaryDirectory() as ivy_folder:
        fetch(Path(ivy_folder))
        for name, digest in JARS.items():
            fetched = Path(ivy_folder) / "jars" / f"io.delta_{name}"
            if not fetched.is_file() or sha256(fetched) != digest:
                found = sha256(fetched) if fetched.is_file() else "nothing"
                raise RuntimeError(f"{name} should have SHA-256 {digest}, but {found} was served; not installed")
            shutil.copy(fetched, jars_folder / name)
    print(f"Delta jars installed in {jars_folder}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, ValueError) as error:
        sys.exit(f"make setup: {error}")
