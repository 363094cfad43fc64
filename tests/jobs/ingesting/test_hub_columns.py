"""Which columns of a dataset the hub is asked for."""

from __future__ import annotations

from jobs.hub.address import HubInput
from jobs.ingesting.columns import InputColumns
from jobs.ingesting.hub_datasets import HubFiles, _options


def columns_asked_for(existing: list[str], **named: str) -> str | None:
    files = HubFiles(HubInput("o/n"), "c0", None, "train", "parquet", [], existing)
    return _options(files, InputColumns(**named)).get("columns")


def test_the_very_column_goes_before_one_in_other_capitals() -> None:
    assert columns_asked_for(["Text", "text"], text="text") == "['text']"
    assert columns_asked_for(["Text"], text="text") == "['Text']"


def test_a_name_in_backticks_is_the_column_and_a_path_the_column_that_it_begins_with() -> None:
    assert columns_asked_for(["text", "a.b", "a"], domain="`a.b`") == "['text', 'a.b']"
    assert columns_asked_for(["text", "a.b", "a"], domain="a.b") == "['text', 'a.b']"
    assert columns_asked_for(["text", "meta"], domain="meta.lang") == "['text', 'meta']"


def test_where_a_column_is_not_there_all_are_asked_for_so_that_the_message_lists_them() -> None:
    assert columns_asked_for(["body"], text="text") is None
