"""Values of a JSON object as they are written in its line, and why a line is no document."""

from __future__ import annotations

import json as js
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from jobs.ingesting.columns import FILE, InputColumns, column_path, same_name
from jobs.ingesting.files import folder_value
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# JSON can write half of a surrogate pair, but UTF-8 cannot: Spark would store a question mark. The escape counts only
# after an even number of backslashes: one more makes it plain text.
LONE_HIGH_SURROGATE = r"(?<!\\)((?:\\\\)*+)\\u[dD][89abAB]\p{XDigit}{2}(?!\\u[dD][c-fC-F]\p{XDigit}{2})"
LONE_LOW_SURROGATE = (
    r"(?<!(?<!\\)(?:\\\\){0,100}\\u[dD][89abAB]\p{XDigit}{2})(?<!\\)((?:\\\\)*+)\\u[dD][c-fC-F]\p{XDigit}{2}"
)
# Numbers that Spark may have respelt: it reads 1e3 as 1000.0, and -0 as 0.
RESPELT = r'^(?:-?[0-9]+\.[0-9]+(?:[eE]-?[0-9]+)?|-?[0-9]+[eE]-?[0-9]+|0|"(?:-?Infinity|NaN)"|-?Infinity)$'
# With Jackson's default limits, a long string would make its line invalid JSON.
OPTIONS = {"allowSingleQuotes": "false", "maxStringLen": str(2**31 - 1), "maxNumLen": "1000000"}
NUMBER = r'^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE]-?[0-9]+)?|"(?:-?Infinity|NaN)")$'
NO_OBJECT = "is not one JSON object"
BEGINS_OBJECT = "begins an object that goes on in other lines (jq -c . writes each as one)"


@dataclass(frozen=True)
class Candidate:
    """What a name may refer to in a line: an object's JSON, a key of it, and its value as Spark writes it.

    number: a column, once with_numbers has made it: the value where it is a number that may be written otherwise in
    the line, and spelling: how it is written there, null where that cannot be told.
    """

    json: Column
    key: str
    value: Column
    number: str
    spelling: str

    def typed(self, data_type: str) -> Column:
        """The value if it has this very type, else null."""
        return _typed(self.json, self.key, data_type)

    def as_written(self) -> Column:
        """The value as text, numbers as they are written in the line."""
        return F.when(
            F.col(quote_name(self.number)).isNotNull(), F.coalesce(F.col(quote_name(self.spelling)), self.value)
        ).otherwise(self.value)

    def is_container(self) -> Column:
        """Whether the value is an object or a list, not a string that begins like one."""
        first = F.substring(self.value, 1, 1)
        is_object = F.when(first == "{", self.typed("map<string, string>").isNotNull())
        return is_object.when(first == "[", self.typed("array<string>").isNotNull()).otherwise(F.lit(False))


def _candidates(name: str) -> list[Candidate]:
    """The places that the name may refer to, the first with a value counts: a key with a dot, a field of an object."""
    path = column_path(name)
    ways = [(F.col("json"), name, F.col("object").getField(_field_name(name)))]
    if path != (name,):
        inner, key, value = F.col("json"), path[0], F.col("object").getField(_field_name(path[0]))
        for step in path[1:]:
            # A string that holds JSON is still a string.
            parent = F.when(_typed(inner, key, "map<string, string>").isNotNull(), value)
            inner, key, value = parent, step, in_object(parent, step)
        ways.append((inner, key, value))
    column = _field_name(name)
    return [Candidate(*way, f"number {column} {index}", f"spelling {column} {index}") for index, way in enumerate(ways)]


def _field_name(key: str) -> str:
    """A column name for the key that differs from others in more than case, which Spark ignores."""
    return key.encode().hex()


def _typed(json: Column, key: str, data_type: str) -> Column:
    """The value of the key if it has this very type, else null."""
    return F.from_json(json, f"{quote_name(key)} {data_type}", OPTIONS).getField(key)


def in_object(json: Column, key: str) -> Column:
    """The value of the key, as text, in an object's JSON; null if the JSON is no object."""
    return F.from_json(json, StructType([StructField(key, StringType())]), OPTIONS).getField(key)


def with_numbers(parsed: DataFrame, columns: InputColumns) -> DataFrame:
    """The lines with the columns number and spelling of each candidate."""
    keys = parsed.select("object.*").columns
    renamed = StructType([StructField(_field_name(key), StringType()) for key in keys])
    parsed = parsed.withColumn("object", F.col("object").cast(renamed))
    numbers, spellings = {}, {}
    for name in dict.fromkeys(columns.named()):
        pattern = NUMBER if name == columns.text else RESPELT
        for candidate in _candidates(name):
            numbers[candidate.number] = F.when(candidate.value.rlike(pattern), candidate.typed("double"))
            spellings[candidate.spelling] = F.when(
                F.col(quote_name(candidate.number)).isNotNull(), _spelling(candidate)
            )
    return parsed.withColumns(numbers).withColumns(spellings)


def _spelling(candidate: Candidate) -> Column:
    """The number as the line spells it; null if the line has several spellings of that number after the key's name."""
    names = {re.escape(js.dumps(candidate.key, ensure_ascii=False)), f"(?i:{re.escape(js.dumps(candidate.key))})"}
    number = f"(?:{'|'.join(sorted(names))})" + r"\s*:\s*(-?[0-9][-+.0-9eE]*)"
    spellings = F.regexp_extract_all(F.col("json"), F.lit(number), F.lit(1))
    is_same = lambda text: text.try_cast("double") == F.col(quote_name(candidate.number))  # noqa: E731 - of two lines
    same = F.array_distinct(F.filter(spellings, is_same))
    return F.when(F.size(same) == 1, F.get(same, F.lit(0)))


def value_of(name: str, folder_keys: Sequence[str]) -> Column:
    """The named column of an object, as text; numbers as they are written in the line."""
    value = F.coalesce(*[candidate.as_written() for candidate in _candidates(name)])
    key = same_name(name, folder_keys)
    return value if key is None else F.coalesce(value, folder_value(F.col(FILE), key))


def what_is_wrong(columns: InputColumns) -> Column:
    """Why the line is no document, in words; null if it is one."""
    wrong = [F.when(F.col("is_bad"), F.when(F.col("json") == "{", F.lit(BEGINS_OBJECT)).otherwise(F.lit(NO_OBJECT)))]
    for name in dict.fromkeys(columns.named()):
        first, *others = _candidates(name)
        for candidate in (first, *others):
            # The other places count only if the first has no value.
            counts = F.lit(True) if candidate is first else first.value.isNull()
            for is_one, words in _wrong_at(candidate, name, is_text=name == columns.text):
                wrong.append(F.when(counts & is_one, F.lit(words)))
    return F.coalesce(*wrong)


def _wrong_at(candidate: Candidate, name: str, *, is_text: bool) -> list[tuple[Column, str]]:
    """(condition, words) for each kind of value that is not allowed for the candidate."""
    number, spelling = F.col(quote_name(candidate.number)), F.col(quote_name(candidate.spelling))
    if is_text:
        is_boolean = candidate.value.isin("true", "false") & candidate.typed("boolean").isNotNull()
        kinds = {
            "an object or a list": candidate.is_container(),
            "true or false": is_boolean,
            "a number": number.isNotNull(),
        }
        return [(is_one, f"has {kind} as {name!r}, where a text must be a string") for kind, is_one in kinds.items()]
    # Inside an object, a number beyond all bounds looks like the word Infinity; a quoted NaN is text.
    is_certain = (F.abs(number) < float("inf")) | F.startswith(candidate.value, F.lit('"'))
    is_unsure = number.isNotNull() & spelling.isNull() & is_certain
    several = f"has an object or a list as {name!r}, which must hold one value: a string or number"
    unsure = f"has a number as {name!r} whose spelling cannot be told in the line; write it as a string, or null"
    return [(candidate.is_container(), several), (is_unsure, unsure)]


def repaired(line: Column) -> Column:
    """The line with U+FFFD for each byte that is not UTF-8, and for each half of a surrogate pair."""
    valid = F.make_valid_utf8(line)
    without_halves = valid
    for half in (LONE_HIGH_SURROGATE, LONE_LOW_SURROGATE):
        without_halves = F.regexp_replace(without_halves, half, r"$1\\ufffd")
    return F.when(valid.rlike(r"\\u[dD][89a-fA-F]"), without_halves).otherwise(valid)
