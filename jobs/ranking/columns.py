"""The columns that ranks come from, and how any others travel with them through fixed SQL statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

RANKED_BY = ("doc_id", "domain", "order_value", "num_tokens")


def pack(documents: DataFrame) -> DataFrame:
    """RANKED_BY, and carried: a struct of all other columns."""
    from pyspark.sql import functions as F

    carried = [name for name in documents.columns if name not in RANKED_BY]
    return documents.select(*RANKED_BY, F.struct(*carried).alias("carried"))


def unpack(rows: DataFrame) -> DataFrame:
    """The rows with each carried column by itself again, before those that were added since."""
    from pyspark.sql.types import StructType

    added = [name for name in rows.columns if name not in (*RANKED_BY, "carried")]
    carried = rows.schema["carried"].dataType
    assert isinstance(carried, StructType)
    return rows.select(*RANKED_BY, *(f"carried.{name}" for name in carried.names), *added)
