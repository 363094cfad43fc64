"""Files by URI, opened by PyArrow if it knows the storage."""

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
    """(a binary, seekable file at its beginning, its size in bytes) for a URI in Spark's form.

    Raises OSError where PyArrow does not know the storage, or cannot read the file.
    """
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, LocalFileSystem

    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or uri.startswith("file:"):
        filesystem, path = LocalFileSystem(), re.sub("^file:/+", "/", unquote(uri))
    else:
        try:
            # Hadoop has its own schemes for S3.
            filesystem, path = FileSystem.from_uri(re.sub("^s3[an]:", "s3:", uri))
        except ArrowException as error:
            raise OSError(str(error)) from error
    with filesystem.open_input_file(path) as file:
        # A small read from remote storage takes as long as a whole buffer.
        yield io.BufferedReader(file, BUFFER_BYTES), file.size()
