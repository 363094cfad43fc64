"""Files by URI, as PyArrow opens them where it knows the storage."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

BUFFER_BYTES = 2**20


@contextmanager
def open_file(uri: str) -> Iterator[tuple[Any, int]]:
    """(a binary, seekable file at its beginning, its size in bytes) of a URI as Spark lists it.

    Raises OSError where the storage is not known here, or does not let the file be read.
    """
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, LocalFileSystem

    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or uri.startswith("file:"):
        filesystem, path = LocalFileSystem(), re.sub("^file:/+", "/", unquote(uri))
    else:
        try:
            # Hadoop has names of its own for S3.
            filesystem, path = FileSystem.from_uri(re.sub("^s3[an]:", "s3:", uri))
        except ArrowException as error:
            raise OSError(str(error)) from error
    with filesystem.open_input_file(path) as file:
        # Remote storage answers a request in as long as a whole buffer takes.
        yield io.BufferedReader(file, BUFFER_BYTES), file.size()
