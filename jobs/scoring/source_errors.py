"""What Spark and Delta say when a source cannot be read or scores cannot be written, and what a person is told."""

from __future__ import annotations

import re

from jobs.spark.spark_errors import is_spark_error, reason

RECONCILE = "run score once with --mode reconcile, which compares all of the source; later runs go on from there"
_NO_SPACE = "No space left on device"
_MAKE_SPACE = "a disk is full ({reason}); what was scored is kept: make space, then run this one again"
_NOT_WRITABLE = (
    "Permission denied|AccessDenied|403 Forbidden|Mkdir(s| of .*) failed|Not a directory|Read-only file system|"
    # Unity Catalog's words; nothing else may be written into the folder of a managed table.
    "LOCATION_OVERLAP|PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS"
)
_GONE = "FileNotFoundException|FILE_NOT_(FOUND|EXIST)|DELTA_MISSING_FILES"
_COMPARED = {
    _NO_SPACE: _MAKE_SPACE,
    _NOT_WRITABLE: "what this run writes cannot be written ({reason}); what was scored is kept",
    _GONE: "a file that this run reads is gone ({reason}); what was scored is kept: run this one again",
}
# Names of files that Spark itself keeps on a local disk.
_OF_SPARK = r"blockmgr-|temp_shuffle_|shuffle_\d+_\d+"
# Java says "not found" of a file that cannot be written, too: so the disk comes before the history.
_STREAM = {
    _NO_SPACE: _MAKE_SPACE,
    _NOT_WRITABLE: (
        "what this run keeps cannot be written ({reason}); where that is the checkpoint {checkpoint}, name another "
        "folder with --checkpoint"
    ),
    "DELTA_SOURCE_TABLE_IGNORE_CHANGES|DELTA_SOURCE_IGNORE_DELETE|Detected (a data update|deleted data)": (
        "rows of {source} were updated, deleted or overwritten, which a stream cannot follow; " + RECONCILE
    ),
    "DIFFERENT_DELTA_TABLE_READ|DELTA_TABLE_ID_MISMATCH": (
        "{source} is another table than the one that this stream has read before; " + RECONCILE
    ),
    "DELTA_SCHEMA_CHANGED|DELTA_STREAMING_(INCOMPATIBLE_SCHEMA|CANNOT_CONTINUE|SCHEMA_MISMATCH|CHECK_COLUMN)": (
        "the columns of {source} have changed in a way that a stream cannot follow; " + RECONCILE
    ),
    "DELTA_STREAMING_INITIAL_SNAPSHOT_TOO_LARGE": (
        "{source} has more files than a stream can begin with ({reason}); " + RECONCILE
    ),
    rf"({_GONE})[^\n]*({_OF_SPARK})": (
        "a file that Spark itself keeps on a local disk is gone ({reason}); what was scored is kept: run this one again"
    ),
    _GONE + "|failOnDataLoss|DELTA_(TRUNCATED|VERSION_NOT_FOUND|"
    "CANNOT_TIME_TRAVEL|LOG_FILE_NOT_FOUND|VERSIONS_NOT_CONTIGUOUS|STREAMING_TRAILING)": (
        "{source} no longer has the history that this stream has still to read (vacuumed?); " + RECONCILE
    ),
    "Multiple streaming queries are concurrently using|CONCURRENT_STREAM_LOG_UPDATE": (
        "another run of this scorer reads {source} with the same checkpoint; what it scores is kept: let it finish, "
        "then run this one again"
    ),
}


def explained(error: Exception, source: str, checkpoint: str | None = None) -> Exception:
    """The error as a ValueError that says what to do, where that is known; else the error itself.

    checkpoint: the folder of the stream that failed; None where all of the source was compared.
    """
    if isinstance(error, ValueError) or not is_spark_error(error):
        return error
    for pattern, message in (_STREAM if checkpoint else _COMPARED).items():
        if re.search(pattern, str(error), re.IGNORECASE):
            values = {"source": source, "checkpoint": checkpoint, "reason": reason(error)}
            return ValueError(message.format(**values))
    return error
