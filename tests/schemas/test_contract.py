from __future__ import annotations

import pytest
from pyspark.sql.types import StructType

from schemas import corpus
from schemas.contract import (
    DOUBLE,
    LONG,
    STRING,
    TableContract,
    check_schema,
    create_statement,
    create_table,
    finite,
    optional,
    required,
)

TOY = TableContract(
    name="toys",
    grain="A child's toy; it isn't \\ a `tool`.",
    schema=StructType(
        [
            required("name", STRING, "What it's called"),
            required("colour", STRING, "Its colour"),
            optional("weight", DOUBLE, "In kilograms"),
        ]
    ),
    key=("name",),
    made_by="ingest",
    checks={"weight_finite": finite("weight"), "named": "name <> ''"},
    partition_by=("colour",),
)


@pytest.fixture
def identifier(tmp_path) -> str:
    return f"delta.`{tmp_path / 'toys'}`"


def add(spark, identifier, *rows):
    spark.createDataFrame(rows, "name string, colour string, weight double").writeTo(identifier).append()


def test_columns_of_other_names_or_types_are_shown_beside_those_expected():
    found = StructType([optional("name", STRING, ""), optional("colour", LONG, ""), optional("price", DOUBLE, "")])
    with pytest.raises(ValueError, match="here does not have the columns of the toys table") as error:
        check_schema(found, TOY, "here")
    assert [line.split() for line in str(error.value).splitlines()[1:]] == [
        ["expected", "found"],
        ["name", "string", "name", "string"],
        ["!", "colour", "string", "colour", "bigint"],
        ["!", "weight", "double", "price", "double"],
    ]


@pytest.mark.parametrize("names", [["name", "colour"], ["colour", "name", "weight"], ["name", "colour", "weight", "x"]])
def test_a_missing_an_extra_and_a_moved_column_are_all_refused(names):
    fields = {field.name: field for field in TOY.schema} | {"x": optional("x", STRING, "")}
    with pytest.raises(ValueError, match="!"):
        check_schema(StructType([fields[name] for name in names]), TOY, "here")


def test_nullability_and_comments_do_not_make_columns_differ():
    check_schema(StructType([optional(field.name, field.dataType, "other") for field in TOY.schema]), TOY, "here")


def test_the_table_holds_what_the_contract_says(spark, identifier):
    create_table(spark, TOY, identifier)
    detail = spark.sql(f"describe detail {identifier}").collect()[0]
    assert detail["description"] == TOY.grain
    assert detail["partitionColumns"] == ["colour"]
    assert detail["properties"]["delta.constraints.named"] == "name <> ''"
    assert detail["properties"]["delta.enableDeletionVectors"] == "false"
    comments = {row["col_name"]: row["comment"] for row in spark.sql(f"describe table {identifier}").collect()}
    assert comments["name"] == "What it's called"
    assert [row["version"] for row in spark.sql(f"describe history {identifier}").collect()] == [0]


def test_delta_enforces_checks_and_not_null_at_every_write(spark, identifier):
    create_table(spark, TOY, identifier)
    add(spark, identifier, ("ball", "red", None))
    for row, message in [
        (("ball", "red", float("nan")), "weight_finite"),
        (("", "red", 1.0), "named"),
        (("ball", None, 1.0), "NOT NULL"),
    ]:
        with pytest.raises(Exception, match=message):
            add(spark, identifier, row)
    assert spark.table(identifier).count() == 1


def test_creating_a_table_again_keeps_its_rows_and_writes_nothing(spark, identifier):
    create_table(spark, TOY, identifier)
    add(spark, identifier, ("ball", "red", 0.5))
    create_table(spark, TOY, identifier)
    assert spark.table(identifier).count() == 1
    assert spark.sql(f"describe history {identifier}").count() == 2


def test_a_table_without_its_checks_is_given_them(spark, identifier):
    bare = TableContract(TOY.name, TOY.grain, TOY.schema, TOY.key, TOY.made_by)
    create_table(spark, bare, identifier)
    create_table(spark, TOY, identifier)
    with pytest.raises(Exception, match="named"):
        add(spark, identifier, ("", "red", 1.0))


def test_another_table_under_the_name_is_refused_and_left_alone(spark, identifier):
    create_table(spark, TOY, identifier)
    with pytest.raises(ValueError, match="does not have the columns of the corpus table"):
        create_table(spark, corpus.TABLE, identifier)
    assert spark.table(identifier).columns == TOY.schema.names


def test_comments_and_names_cannot_end_their_quotes():
    statement = create_statement(TOY, "t")
    assert r"'A child\'s toy; it isn\'t \\ a `tool`.'" in statement
    assert "`colour` string not null comment 'Its colour'" in statement
