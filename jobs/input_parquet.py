"""Documents from Parquet files: only the named columns are looked at, in each file as it has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructField, StructType

from jobs.display import printable
from jobs.input_columns import (
    FILE,
    InputColumns,
    choose_columns,
    column_path,
    input_rows,
    no_column,
    no_text,
    no_value,
    same_name,
)
from jobs.input_files import InputFiles, file_name, folder_value, readable
from schemas.quoting import quote_name
from udfs.file_kinds import kind_of
from udfs.storage import open_file

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

FOOTERS_AT_A_TIME = 16
NULL = "void"


@dataclass(frozen=True)
class Field:
    """A named column as one file has it: the names on the way to it, its Arrow type, and how Spark is to read it.

    spark_type: SQL, "void" where all is null; None where Spark cannot read it as one value.
    """

    path: tuple[str, ...]
    arrow_type: Any
    spark_type: str | None


def read_parquet(spark: SparkSession, files: InputFiles, columns: InputColumns) -> DataFrame:
    """The files' documents: see input_rows.

    Columns that are not named may be of any type, and differ from file to file. Named ones may differ where no value
    is changed by it: integers of all sizes, strings of all kinds, null. Raises ValueError for other differences, for
    columns that no file has, and for files that are no Parquet.
    """
    schemas = _read_schemas(files.taken)
    if schemas is None:
        rows = spark.read.option("mergeSchema", "true").option("recursiveFileLookup", "true")
        return choose_columns(rows.parquet(*files.load_paths()), columns, file_name())
    keys = files.folder_keys()
    found = {name: _find(name, schemas, keys) for name in dict.fromkeys(columns.named())}
    _check_types(columns, found)
    parts = []
    for group in _groups(files.taken, found):
        fields = {name: found[name].get(group[0]) for name in found}
        parts.append(_read_group(spark, files.load_paths(group), fields, keys, columns))
    documents = parts[0]
    for part in parts[1:]:
        documents = documents.unionByName(part)
    return documents


def _read_schemas(uris: Sequence[str]) -> dict[str, pa.Schema] | None:
    """Each file's columns as Arrow types, from its footer; None on a storage that PyArrow does not know."""
    with ThreadPoolExecutor(FOOTERS_AT_A_TIME) as threads:
        try:
            return dict(zip(uris, threads.map(_read_schema, uris), strict=True))
        except OSError:
            return None


def _read_schema(uri: str) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_file(uri) as (file, size):
        try:
            return pq.ParquetFile(file).schema_arrow
        except (pa.ArrowException, OSError) as error:
            file.seek(0)
            kind = kind_of(file.read(64))
            is_other = kind is not None and not kind.startswith("a Parquet")
            reason = "it has no bytes" if size == 0 else f"it is {kind}" if is_other else " ".join(str(error).split())
            raise ValueError(
                f"{printable(readable(uri), 300)} is no Parquet file that can be read: {printable(reason, 300)}; "
                "nothing was written: download it again, or leave it out"
            ) from error


def _find(name: str, schemas: dict[str, pa.Schema], keys: Sequence[str]) -> dict[str, Field]:
    """The named column in each file that has it; ValueError where neither a file nor a folder's name has it."""
    found = {uri: field for uri, schema in schemas.items() if (field := _field(name, schema))}
    if not found and same_name(name, keys) is None:
        existing = dict.fromkeys([*(column for schema in schemas.values() for column in schema.names), *keys])
        raise no_column(name, list(existing))
    return found


def _field(name: str, schema: pa.Schema) -> Field | None:
    """A column whose name has a dot goes before the field of a struct."""
    import pyarrow as pa

    path = column_path(name)
    for way in dict.fromkeys(((name,), path)):
        fields, parts = list(schema), []
        for step in way:
            own = same_name(step, [field.name for field in fields])
            if own is None:
                break
            field = next(field for field in fields if field.name == own)
            parts.append(own)
            fields = list(field.type) if pa.types.is_struct(field.type) else []
        else:
            return Field(tuple(parts), field.type, spark_type(field.type))
    return None


def spark_type(arrow_type: Any) -> str | None:
    """The SQL type as which Spark reads values of this type from Parquet; "void" for null, None where it cannot.

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


def _check_types(columns: InputColumns, found: dict[str, dict[str, Field]]) -> None:
    """Raise ValueError for a text that is no string, for other values that are several, and for types that differ."""
    for name, fields in found.items():
        kinds: dict[str, str] = {}
        for uri, field in fields.items():
            where = f" in {printable(readable(uri), 300)}"
            is_text = field.spark_type in ("string", "binary", NULL)
            if name == columns.text and not is_text:
                raise no_text(name, _shown(field), where)
            if field.spark_type is None:
                raise no_value(name, f"{_shown(field)}, which Spark does not read as one value,", where)
            kind = _kind(field)
            if kind != NULL:
                kinds.setdefault(kind, uri)
        if len(kinds) > 1:
            listed = " and ".join(
                f"{_shown(fields[uri])} in {printable(readable(uri), 300)}" for uri in list(kinds.values())[:2]
            )
            raise ValueError(
                f"column {name!r} is {listed}; such values cannot be brought together without changing them: write one "
                "type to all files, or ingest them one kind at a time"
            )


def _kind(field: Field) -> str:
    """Types of one kind hold values that are written alike."""
    spark = field.spark_type or ""
    if spark in ("int", "bigint", "decimal(20,0)"):
        return "integer"
    return "string" if spark == "binary" else spark


def _shown(field: Field) -> str:
    """The type as Spark calls it, where it has a name there."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import from_arrow_type

    try:
        return from_arrow_type(field.arrow_type).simpleString()
    except PySparkException:
        return str(field.arrow_type)


def _groups(uris: Sequence[str], found: dict[str, dict[str, Field]]) -> Iterator[list[str]]:
    """The files in groups that have the named columns in the same places and types."""
    groups: dict[Any, list[str]] = {}
    for uri in uris:
        fields = (found[name].get(uri) for name in found)
        groups.setdefault(tuple(field and (field.path, field.spark_type) for field in fields), []).append(uri)
    yield from groups.values()


def _read_group(
    spark: SparkSession, paths: list[str], fields: dict[str, Field | None], keys: Sequence[str], columns: InputColumns
) -> DataFrame:
    wanted = [(field.path, field.spark_type) for field in fields.values() if field and field.spark_type != NULL]
    # Named one by one, all other columns are left alone, whatever they hold.
    reader = spark.read.schema(_nested(wanted)).option("recursiveFileLookup", "true")
    rows = reader.parquet(*paths).withColumn(FILE, file_name())

    def value(name: str) -> Column:
        field, key = fields[name], same_name(name, keys)
        of_file = F.lit(None).cast("string")
        if field is not None and field.spark_type != NULL:
            column = F.col(quote_name(field.path[0]))
            for step in field.path[1:]:
                column = column.getField(step)
            of_file = column.cast("string")
        return of_file if key is None else F.coalesce(of_file, folder_value(F.col(FILE), key))

    return input_rows(rows, columns, {name: value(name) for name in fields}, F.col(FILE))


def _nested(wanted: Sequence[tuple[tuple[str, ...], str | None]]) -> StructType:
    """The struct that has a field of this type at the end of each path."""
    steps: dict[str, list[tuple[tuple[str, ...], str | None]]] = {}
    for path, sql_type in wanted:
        steps.setdefault(path[0], []).append((path[1:], sql_type))
    fields = []
    for name, below in steps.items():
        ends = [sql_type for path, sql_type in below if not path]
        data_type = DataType.fromDDL(ends[0]) if ends and ends[0] else _nested(below)
        fields.append(StructField(name, data_type))
    # Spark reads no file for a schema without columns.
    return StructType(fields or [StructField("__none", StringType())])
