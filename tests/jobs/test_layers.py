"""Imports between the packages of jobs/ go one way: each imports only packages of the layers below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

JOBS = Path(__file__).parents[2] / "jobs"
STAGES = {
    "ingesting",
    "heads",
    "scoring",
    "deduplicating",
    "selecting",
    "mixing",
    "exporting",
    "querying",
    "demo_inputs",
}
LAYERS = [{"terminal"}, {"settings"}, {"spark"}, {"hub"}, {"corpus"}, {"ranking"}, STAGES, {"stages"}, {"cli"}]
FILES_OF_STAGES = {path.stem for path in JOBS.glob("*.py")} - {"__init__", "stages", "cli", "demo", "run"}
LAYERS += [FILES_OF_STAGES, {"run"}, {"demo"}]


def layer(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def imported_names(source: str) -> Iterator[str]:
    """What a file imports, inside functions and for types alone, too: a module, or a module and what is in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            # Of an import that is relative, nothing but that is said.
            yield from ("." if node.level else f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def wrong_imports(importing: str, source: str) -> list[str]:
    """The imports that a file of the package must not have."""
    wrong = []
    for name in imported_names(source):
        package, _, rest = name.partition(".")
        imported = rest.partition(".")[0]
        is_upward = package == "jobs" and imported != importing and layer(imported) >= layer(importing)
        if is_upward or package in ("", "tests", "notebooks"):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", sorted(JOBS.rglob("*.py")), ids=lambda path: str(path.relative_to(JOBS)))
def test_each_file_imports_only_packages_of_lower_layers(path: Path) -> None:
    relative = path.relative_to(JOBS)
    if relative.stem == "__init__" and len(relative.parts) == 1:
        assert path.read_text() == ""
        return
    assert not wrong_imports(relative.parts[0].removesuffix(".py"), path.read_text())


@pytest.mark.parametrize(
    ("importing", "source"),
    [
        ("selecting", "from jobs.mixing.stage import run"),
        ("spark", "def f():\n    from jobs import corpus"),
        ("corpus", "if TYPE_CHECKING:\n    import jobs.ranking.bins"),
        ("scoring", "from .. import mixing"),
        ("score", "from jobs.rank import run"),
    ],
)
def test_an_import_of_the_same_or_a_higher_layer_is_found(importing: str, source: str) -> None:
    assert wrong_imports(importing, source)
    assert not wrong_imports("demo", "from jobs.score import run")


def module_name(path: Path) -> str:
    relative = path.relative_to(JOBS.parent).with_suffix("")
    return ".".join(relative.parts[:-1] if relative.stem == "__init__" else relative.parts)


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {module_name(path): path for path in JOBS.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        imported = imported_names(path.read_text())
        # What is imported from a package may be a module of it.
        graph[name] = {other for name in imported for other in (name, name.rpartition(".")[0]) if other in modules}
    TopologicalSorter(graph).prepare()
