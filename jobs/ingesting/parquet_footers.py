"""The columns of a Parquet file, from its footer, and the types that Spark reads them as."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from jobs.ingesting.files import readable
from jobs.terminal.display import printable
from udfs.file_kinds import kind_of
from udfs.storage import open_file

if TYPE_CHECKING:
    import pyarrow as pa

FOOTERS_AT_A_TIME = 16
NULL = "void"
# Programs that undo a compression of the whole file; Parquet itself compresses pages inside the file.
UNDONE_BY = {"gzip": "gunzip", "zstd": "unzstd", "bzip2": "bunzip2"}


def read_schemas(uris: Sequence[str]) -> dict[str, pa.Schema] | None:
    """Each file's columns as Arrow types, from its footer; None on storage that PyArrow does not know."""
    with ThreadPoolExecutor(FOOTERS_AT_A_TIME) as threads:
        try:
            return dict(zip(uris, threads.map(_read_schema, uris), strict=True))
        except OSError as error:
            if all(readable(uri).startswith("/") for uri in uris):
                raise ValueError(f"a file of the input cannot be read: {printable(str(error), 300)}") from error
            return None


def _read_schema(uri: str) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_file(uri) as (file, size):
        try:
            return _with_old_times(pq.ParquetFile(file))
        except (pa.ArrowException, OSError) as error:
            file.seek(0)
            kind = kind_of(file.read(64))
            for compression, tool in UNDONE_BY.items():
                if kind is not None and kind.startswith(f"compressed by {compression};"):
                    raise ValueError(
                        f"{printable(readable(uri), 300)} was compressed as a whole by {compression}, and Parquet is "
                        f"not read so; nothing was written: undo that with {tool}"
                    ) from error
            is_other = kind is not None and not kind.startswith("a Parquet")
            reason = "it has no bytes" if size == 0 else f"it is {kind}" if is_other else " ".join(str(error).split())
            raise ValueError(
                f"{printable(readable(uri), 300)} is no Parquet file that can be read: {printable(reason, 300)}; "
                "nothing was written: download it again, or leave it out"
            ) from error


def _with_old_times(file: Any) -> pa.Schema:
    """The columns as Arrow types. Arrow reads timestamps of older Spark versions (INT96) as nanoseconds."""
    import pyarrow as pa

    schema = file.schema_arrow
    for index in range(len(file.schema)):
        leaf = file.schema.column(index)
        if leaf.physical_type == "INT96" and leaf.path in schema.names:
            schema = schema.set(schema.get_field_index(leaf.path), pa.field(leaf.path, pa.timestamp("us", "UTC")))
    return schema


def spark_type(arrow_type: Any) -> str | None:
    """The SQL type that Spark reads this Parquet type as: "void" for null, None if it cannot read it.

    Dates and times of nanoseconds, for one, are none of Spark's.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(arrow_type):
        return spark_type(arrow_type.value_type)
    if isinstance(arrow_type, pa.BaseExtensionType):
        return spark_type(arrow_type.storage_type)
    simple: list[tuple[Any, str]] = [
        (types.is_null, NULL),
        (types.is_string, "string"),
        (types.is_large_string, "string"),
        (types.is_string_view, "string"),
        (types.is_binary, "binary"),
        (types.is_large_binary, "binary"),
        (types.is_binary_view, "binary"),
        (types.is_boolean, "boolean"),
        (types.is_float32, "float"),
        (types.is_float64, "double"),
        (types.is_date, "date"),
        (types.is_uint64, "decimal(20,0)"),
        (types.is_uint32, "bigint"),
        (types.is_int64, "bigint"),
        (types.is_integer, "int"),
    ]
    for is_type, name in simple:
        if is_type(arrow_type):
            return name
    if types.is_decimal(arrow_type) and arrow_type.precision <= 38:
        return f"decimal({arrow_type.precision},{arrow_type.scale})"
    if types.is_timestamp(arrow_type) and arrow_type.unit != "ns":
        return "timestamp" if arrow_type.tz else "timestamp_ntz"
    return None
