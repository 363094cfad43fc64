"""The SQL files of the packages, and the names by which they are run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from jobs.spark.statements import statement

JOBS = Path(__file__).parents[3] / "jobs"


def named_statements() -> Iterator[str]:
    """The constant names that jobs/ gives to run_statement and statement."""
    for path in JOBS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("run_statement", "statement"):
                names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                yield from (name for name in names[:1] if isinstance(name, str))


def test_every_statement_that_is_run_is_a_file_of_its_owner() -> None:
    names = set(named_statements())
    assert len(names) > 20
    for name in names:
        assert statement(name), name
