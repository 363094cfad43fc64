"""Documents from Parquet files. Only the named columns matter, and each file may have them in its own types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructField, StructType

from jobs.ingesting.columns import (
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
from jobs.ingesting.files import InputFiles, file_name, folder_value, name_some, readable
from jobs.ingesting.parquet_footers import NULL, read_schemas, spark_type
from jobs.terminal.display import printable
from schemas.quoting import quote_name

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession


@dataclass(frozen=True)
class Field:
    """A named column in one file: the names on the path to it, its Arrow type, and the type that Spark reads.

    spark_type: SQL, "void" if all values are null; None if Spark cannot read it as one value. alike: its name and those
    that differ from it in case only, empty if the file has none.
    """

    path: tuple[str, ...]
    arrow_type: Any
    spark_type: str | None
    alike: tuple[str, ...]


def read_parquet(spark: SparkSession, files: InputFiles, columns: InputColumns) -> DataFrame:
    """The files' documents: see input_rows.

    Columns that are not named may be of any type, and differ from file to file. Named ones may differ where no value
    is changed by it: integers of all sizes, strings of all kinds, null. Raises ValueError for other differences, for
    columns that no file has, and for files that are no Parquet.
    """
    schemas = read_schemas(files.taken)
    if schemas is None:
        reader = spark.read.option("mergeSchema", "true").option("recursiveFileLookup", "true")
        table = reader.parquet(*files.load_paths())
        return choose_columns(table, columns, file_name(table))
    keys = files.folder_keys()
    fields_by_name = {name: _find(name, schemas, keys) for name in dict.fromkeys(columns.named())}
    if without := [uri for uri in files.taken if uri not in fields_by_name[columns.text]]:
        raise ValueError(
            f"{name_some(without)} has no column {columns.text!r}, which other files have; leave such files "
            "out of --input"
        )
    _check_types(columns, fields_by_name)
    _check_alike(fields_by_name)
    parts = []
    for group in _groups(files.taken, fields_by_name):
        fields = {name: fields_by_name[name].get(group[0]) for name in fields_by_name}
        parts.append(_read_group(spark, files.load_paths(group), fields=fields, keys=keys, columns=columns))
    documents = parts[0]
    for part in parts[1:]:
        documents = documents.unionByName(part)
    return documents


def _find(name: str, schemas: dict[str, pa.Schema], keys: Sequence[str]) -> dict[str, Field]:
    """The named column in each file that has it; ValueError if no file and no folder name has it."""
    by_file = {uri: field for uri, schema in schemas.items() if (field := _field(name, schema))}
    if not by_file and same_name(name, keys) is None:
        existing = dict.fromkeys([*(column for schema in schemas.values() for column in schema.names), *keys])
        raise no_column(name, list(existing))
    return by_file


def _field(name: str, schema: pa.Schema) -> Field | None:
    """The column in one file's schema; a name with a dot in it takes precedence over the field of a struct."""
    import pyarrow as pa

    path = column_path(name)
    for way in dict.fromkeys(((name,), path)):
        fields, parts, alike = list(schema), [], ()
        for step in way:
            own = same_name(step, [field.name for field in fields])
            if own is None:
                break
            field = next(field for field in fields if field.name == own)
            parts.append(own)
            names = tuple(other.name for other in fields if other.name.lower() == own.lower())
            alike = alike or (names if len(names) > 1 else ())
            fields = list(field.type) if pa.types.is_struct(field.type) else []
        else:
            return Field(tuple(parts), field.type, spark_type=spark_type(field.type), alike=alike)
    return None


def _check_types(columns: InputColumns, fields_by_name: dict[str, dict[str, Field]]) -> None:
    """Raise ValueError for a text that is no string, for columns of several values, and for types that differ."""
    for name, fields in fields_by_name.items():
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


def _check_alike(fields_by_name: dict[str, dict[str, Field]]) -> None:
    """Raise ValueError for a column if its file has another that differs in case only: Spark reads neither."""
    for name, fields in fields_by_name.items():
        for uri, field in fields.items():
            if field.alike:
                raise ValueError(
                    f"{printable(readable(uri), 300)} has columns {' and '.join(field.alike)}, one of them for "
                    f"{name!r}: Spark does not tell them apart; rename one of them"
                )


def _kind(field: Field) -> str:
    """The kind of the type: values of types of one kind are written alike."""
    spark = field.spark_type or ""
    if spark in ("int", "bigint", "decimal(20,0)"):
        return "integer"
    return "string" if spark == "binary" else spark


def _shown(field: Field) -> str:
    """The type's name in Spark, if it has one."""
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import from_arrow_type

    if pa.types.is_fixed_size_binary(field.arrow_type):
        # Spark's name for it is that of values which are read.
        return f"{field.arrow_type} (values of one length, such as hashes)"
    try:
        return from_arrow_type(field.arrow_type).simpleString()
    except PySparkException:
        return str(field.arrow_type)


def _groups(uris: Sequence[str], fields_by_name: dict[str, dict[str, Field]]) -> Iterator[list[str]]:
    """Groups of files that have the named columns at the same paths and of the same types."""
    groups: dict[Any, list[str]] = {}
    for uri in uris:
        fields = (fields_by_name[name].get(uri) for name in fields_by_name)
        groups.setdefault(tuple(field and (field.path, field.spark_type) for field in fields), []).append(uri)
    yield from groups.values()


def _read_group(
    spark: SparkSession, paths: list[str], fields: dict[str, Field | None], keys: Sequence[str], columns: InputColumns
) -> DataFrame:
    wanted = [(field.path, field.spark_type) for field in fields.values() if field and field.spark_type != NULL]
    # A schema of the named columns alone: no other column is read.
    reader = spark.read.schema(_nested(wanted)).option("recursiveFileLookup", "true")
    rows = reader.parquet(*paths)
    rows = rows.withColumn(FILE, file_name(rows))

    def value(name: str) -> Column:
        field, key = fields[name], same_name(name, keys)
        of_file = F.lit(None).cast("string")
        if field is not None and field.spark_type != NULL:
            column = F.col(quote_name(field.path[0]))
            for step in field.path[1:]:
                column = column.getField(step)
            of_file = column.cast("string")
        # The text never comes from a folder's name.
        return of_file if key is None or name == columns.text else F.coalesce(of_file, folder_value(F.col(FILE), key))

    return input_rows(rows, columns, values={name: value(name) for name in fields}, default_source=F.col(FILE))


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
