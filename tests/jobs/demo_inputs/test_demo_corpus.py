"""The demo's corpus, gathered from this very machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from jobs.demo import QUERIES, show_next_steps
from jobs.demo_inputs.corpus import gather_demo_corpus

MAX_CHARS = 4000
PER_DOMAIN = 30
DOMAINS = ["code", "reference", "mathematics", "readme", "legal"]


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gather_demo_corpus(tmp_path_factory.mktemp("corpus"), MAX_CHARS, PER_DOMAIN)


@pytest.fixture(scope="module")
def documents(corpus_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in corpus_file.read_text(encoding="utf-8").splitlines()]


def of_domain(documents: list[dict[str, Any]], domain: str) -> dict[str, str]:
    return {document["source"]: document["text"] for document in documents if document["domain"] == domain}


def test_at_least_120_documents_in_five_domains_come_from_this_machine(documents):
    counts = Counter(document["domain"] for document in documents)
    assert list(counts) == DOMAINS
    assert counts.total() >= 120
    assert min(counts.values()) >= 20
    assert all(set(document) == {"doc_id", "domain", "text", "source"} for document in documents)


def test_ids_titles_and_texts_are_each_unique(documents):
    assert len({document["doc_id"] for document in documents}) == len(documents)
    assert len({(document["domain"], document["source"]) for document in documents}) == len(documents)
    assert len({document["text"] for document in documents}) == len(documents)


def test_texts_that_are_the_same_once_they_are_cut_count_once(tmp_path):
    # Every licence of the machine: many begin alike for a thousand characters.
    lines = gather_demo_corpus(tmp_path, 1000, 1000).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert len(set(texts)) == len(texts)


def test_lengths_are_spread_between_the_minimum_and_max_chars(documents):
    for domain in DOMAINS:
        lengths = [len(text) for text in of_domain(documents, domain).values()]
        assert 400 <= min(lengths) < 800
        assert 3200 < max(lengths) <= MAX_CHARS
        # Neither the short ones nor those that were cut crowd out the rest.
        assert sum(1000 <= length < 3200 for length in lengths) >= PER_DOMAIN / 3


def test_texts_are_what_the_sources_hold_cut_after_a_whole_line(documents):
    import ast
    import inspect
    from importlib.metadata import metadata
    from pydoc_data.topics import topics

    import networkx
    import sympy

    assert all(
        topics[name.removeprefix("topic: ")].startswith(t) for name, t in of_domain(documents, "reference").items()
    )
    for source, text in of_domain(documents, "readme").items():
        assert metadata(source.removesuffix(" README")).json["description"].startswith(text)
    for source, text in of_domain(documents, "mathematics").items():
        module, name = source.split(".")
        assert inspect.cleandoc(getattr({"sympy": sympy, "networkx": networkx}[module], name).__doc__).startswith(text)
    for source, text in of_domain(documents, "code").items():
        whole = Path(ast.__file__).with_name(source.split("/")[0]).joinpath(*source.split("/")[1:]).read_text("utf-8")
        assert whole.startswith(text)
        assert len(text) == len(whole) or (text.endswith("\n") and len(whole) > MAX_CHARS)


def test_no_line_more_would_fit_into_a_text_that_was_cut(documents):
    from pydoc_data.topics import topics

    cut = {name: text for name, text in of_domain(documents, "reference").items() if text != topics[name[7:]]}
    assert len(cut) >= 3
    for name, text in cut.items():
        next_line = topics[name[7:]][len(text) :].split("\n")[0] + "\n"
        assert len(text) + len(next_line) > MAX_CHARS


def test_licences_bring_near_duplicates(documents):
    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return set(zip(*(words[start:] for start in range(5)), strict=False))

    sets = [shingles(text) for text in of_domain(documents, "legal").values()]
    close = sum(len(a & b) / len(a | b) > 0.7 for a, b in combinations(sets, 2))
    assert close >= 3


def test_another_process_gathers_the_same_bytes(corpus_file, tmp_path):
    call = f"gather_demo_corpus(Path('.'), {MAX_CHARS}, {PER_DOMAIN})"
    code = f"from pathlib import Path; from jobs.demo_inputs.corpus import gather_demo_corpus; {call}"
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / corpus_file.name).read_bytes() == corpus_file.read_bytes()


def test_a_file_that_holds_the_corpus_already_is_left_alone_and_a_broken_one_is_replaced(corpus_file, tmp_path):
    first = gather_demo_corpus(tmp_path / "new" / "folder", MAX_CHARS, 2)
    os.utime(first, (1, 1))
    assert gather_demo_corpus(first.parent, MAX_CHARS, 2) == first
    assert first.stat().st_mtime == 1
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    gather_demo_corpus(first.parent, MAX_CHARS, 2)
    assert first.read_bytes() == whole
    assert [path.name for path in first.parent.iterdir()] == [first.name]


@pytest.mark.parametrize(
    ("max_chars", "per_domain", "message"), [(399, 5, "max_chars is 399"), (900, 0, "per_domain is 0")]
)
def test_a_corpus_that_could_hold_nothing_is_refused(tmp_path, max_chars, per_domain, message):
    with pytest.raises(ValueError, match=message):
        gather_demo_corpus(tmp_path, max_chars, per_domain)


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written to .*taken"):
        gather_demo_corpus(tmp_path / "taken", MAX_CHARS, 1)


def test_the_queries_to_try_are_of_the_demos_own_scorer(capsys: pytest.CaptureFixture[str]) -> None:
    show_next_steps("./demo_data", "s1")
    queries = [line for line in capsys.readouterr().out.splitlines() if " sql --namespace ./demo_data " in line]
    assert len(queries) == len(QUERIES)
    assert all("scorer_id = 's1'" in query for query in queries)
