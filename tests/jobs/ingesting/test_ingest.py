from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.spark.namespace import Namespace
from schemas import corpus
from tests.jobs.ingesting.ingest_cases import held, num_commits, run, write_lines


def test_without_an_id_the_text_is_the_id_and_the_same_text_one_document(spark, namespace, tmp_path, capsys):
    texts = ["one", "two", "one", "", " ", None, "one", None, "z" * 200_000]
    path = write_lines(tmp_path / "docs.jsonl", *[{"text": text, "n": n} for n, text in enumerate(texts)])
    result = run(spark, namespace, path)
    expected = {hashlib.sha256(text.encode()).hexdigest(): ("d", text, path) for text in texts if text is not None}
    expected["null"] = ("d", None, path)
    assert held(spark, namespace) == expected
    assert (result["num_read"], result["num_new"], result["num_repeats"]) == (9, 6, 3)
    assert "repeats of another's text, one document with it: 3" in capsys.readouterr().out
    again = run(spark, namespace, path)
    assert (again["num_new"], again["num_present"]) == (0, 6)
    assert held(spark, namespace) == expected


def test_more_documents_are_added_to_those_that_are_there(spark, namespace, tmp_path):
    first = write_lines(tmp_path / "1.jsonl", {"id": 1, "text": "a"}, {"id": 2, "text": "b"})
    both = write_lines(tmp_path / "2.jsonl", {"id": 2, "text": "b"}, {"id": 3, "text": "c"})
    run(spark, namespace, first, doc_id_column="id")
    result = run(spark, namespace, both, doc_id_column="id", domain="other")
    assert (result["num_new"], result["num_present"], result["num_other_domain"]) == (1, 1, 1)
    assert held(spark, namespace) == {"1": ("d", "a", first), "2": ("d", "b", first), "3": ("other", "c", both)}


def test_the_same_documents_are_written_again_only_where_their_new_source_or_domain_is_asked_for(
    spark, namespace, tmp_path
):
    first, second = (write_lines(tmp_path / f"{number}.jsonl", {"id": 1, "text": "a"}) for number in (1, 2))

    def num_commits() -> int:
        return spark.sql(f"describe history delta.`{namespace}/corpus`").where("operation <> 'CREATE TABLE'").count()

    for path, settings, source in (
        (first, {}, first),
        (first, {"on_conflict": "update"}, first),
        (second, {}, first),
        (second, {"on_conflict": "update"}, second),
        (second, {"on_conflict": "update"}, second),
    ):
        run(spark, namespace, path, doc_id_column="id", **settings)
        assert held(spark, namespace) == {"1": ("d", "a", source)}
    assert num_commits() == 2


def test_ids_that_repeat_are_an_error_that_shows_some_and_writes_nothing(spark, namespace, tmp_path):
    documents = [{"id": doc_id, "text": text} for doc_id in ("x1", "x2") for text in ("a", "b", "b")]
    path = write_lines(tmp_path / "docs.jsonl", *documents, {"id": "y", "text": "c"})
    with pytest.raises(ValueError, match="4 rows repeat the id of another, such as x1, x2; nothing was written"):
        run(spark, namespace, path, doc_id_column="id")
    assert not Path(namespace).exists()


def test_ids_that_are_null_or_empty_are_an_error(spark, namespace, tmp_path):
    path = write_lines(
        tmp_path / "docs.jsonl", {"id": None, "text": "a"}, {"text": "b"}, {"id": "", "text": "b"}, {"id": 1}
    )
    with pytest.raises(ValueError, match="'id' is null or empty in 3 documents; nothing was written"):
        run(spark, namespace, path, doc_id_column="id")


def test_another_text_under_an_id_is_an_error_until_the_new_one_is_asked_for(spark, namespace, tmp_path):
    path = tmp_path / "docs.jsonl"
    write_lines(path, {"id": "a", "text": "old"}, {"id": "b", "text": None}, {"id": "c", "text": "same"})
    run(spark, namespace, str(path), doc_id_column="id")
    write_lines(path, {"id": "a", "text": "new"}, {"id": "b", "text": ""}, {"id": "c", "text": "same"}, {"id": "d"})
    with pytest.raises(ValueError, match="1 documents are in corpus with another text, such as a; nothing was"):
        run(spark, namespace, str(path), doc_id_column="id")
    assert held(spark, namespace)["a"] == ("d", "old", str(path))
    result = run(spark, namespace, str(path), doc_id_column="id", on_conflict="update")
    assert (result["num_other_text"], result["num_new"]) == (1, 1)
    found = {doc_id: text for doc_id, (_, text, _) in held(spark, namespace).items()}
    # A null text counts as an empty one, here as for its score.
    assert found == {"a": "new", "b": None, "c": "same", "d": None}


def test_domains_come_from_a_column_and_documents_without_one_are_unknown(spark, namespace, tmp_path, capsys):
    documents = [{"text": f"t{n}", "lang": lang} for n, lang in enumerate(["de", " fr ", None, "", "de"])]
    path = write_lines(tmp_path / "docs.jsonl", *documents, {"text": "t5"})
    result = run(spark, namespace, path, domain_column="lang", json=True)
    assert sorted(domain for domain, _, _ in held(spark, namespace).values()) == ["de", "de", "fr"] + ["unknown"] * 3
    assert json.loads(capsys.readouterr().out) == result
    assert result["domains"]["unknown"] == {"num_documents": 3, "num_new": 3}


def test_a_source_column_goes_before_the_file(spark, namespace, tmp_path):
    path = write_lines(tmp_path / "docs.jsonl", {"text": "a", "path": "lib/a.py"})
    run(spark, namespace, path, source_column="path")
    assert [source for _, _, source in held(spark, namespace).values()] == ["lib/a.py"]


def test_a_dry_run_says_what_would_happen_and_leaves_nothing(spark, namespace, tmp_path, capsys):
    path = write_lines(tmp_path / "docs.jsonl", {"text": "a"}, {"text": "b"})
    assert run(spark, namespace, path, dry_run=True)["num_new"] == 2
    assert "2 would be added" in capsys.readouterr().out
    assert not Path(namespace).exists()


def test_a_limit_takes_the_first_by_id_and_the_same_ones_again(spark, namespace, tmp_path):
    path = write_lines(tmp_path / "docs.jsonl", *[{"id": f"{n:02}", "text": f"t{n}"} for n in reversed(range(20))])
    for num_new in (3, 0):
        assert run(spark, namespace, path, doc_id_column="id", limit=3)["num_new"] == num_new
    assert sorted(held(spark, namespace)) == ["00", "01", "02"]


def test_what_was_no_unicode_text_is_counted_and_corpus_holds_text_alone(spark, namespace, tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes(b"\xff")
    assert run(spark, namespace, str(tmp_path / "a.txt"))["num_repaired"] == 1
    assert "no Unicode text, each now U+FFFD: 1" in capsys.readouterr().out
    # Not by what Python makes of it: that repairs too.
    stored = Namespace.parse(namespace).read(spark, corpus.TABLE).selectExpr("hex(text) as bytes", "doc_id")
    assert stored.collect()[0].asDict() == {
        "bytes": "EFBFBD",
        "doc_id": hashlib.sha256("\ufffd".encode()).hexdigest(),
    }


def test_an_input_that_is_refused_halfway_leaves_corpus_as_it_was(spark, namespace, tmp_path):
    path = tmp_path / "docs.jsonl"
    run(spark, namespace, write_lines(path, {"text": "a"}))
    commits = num_commits(spark, namespace)
    path.write_text('{"text": "b"}\n{"text": ', encoding="utf-8")
    with pytest.raises(ValueError, match="1 of 2 lines"):
        run(spark, namespace, str(path))
    assert num_commits(spark, namespace) == commits


def test_the_command_ends_with_2_and_one_line_where_a_column_is_missing(spark, namespace, tmp_path, capsys):
    path = write_lines(tmp_path / "docs.jsonl", {"body": "a"})
    assert main(["ingest", "--input", path, "--domain", "d", "--namespace", namespace]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "attention-influence ingest: error: the input has no column 'text'; it has: body\n"
    assert main(["ingest", "--input", path, "--domain", "d", "--namespace", namespace, "--text-column", "body"]) == 0


def test_what_was_not_read_and_what_stops_an_ingest_is_said_whatever_the_limit(spark, namespace, tmp_path, capsys):
    folder = tmp_path / "repo"
    folder.mkdir()
    write_lines(folder / "a.jsonl", {"id": "a", "text": "first"}, {"id": "b", "text": "second"})
    (folder / "README.md").write_text("no document")
    result = run(spark, namespace, str(folder), format="jsonl", doc_id_column="id")
    assert (result["num_new"], result["other_files"]) == (2, [str(folder / "README.md")])
    assert "files of other kinds, which were not read: 1, such as" in capsys.readouterr().out
    write_lines(folder / "b.jsonl", {"id": "c", "text": "good"}, {"id": "z", "text": 5})
    commits = num_commits(spark, namespace)
    with pytest.raises(ValueError, match=r"1 of . lines cannot be read; the first, line 2 of .*b\.jsonl, has a number"):
        run(spark, namespace, str(folder), format="jsonl", doc_id_column="id", limit=1)
    assert run(spark, f"{namespace}-2", str(folder / "a.jsonl"), limit=1)["num_read"] == 1
    with pytest.raises(ValueError, match=r"no column 'lang'; it has: id, text"):
        run(spark, namespace, str(folder / "a.jsonl"), doc_id_column="id", domain_column="lang")
    assert num_commits(spark, namespace) == commits


def test_a_limit_counts_documents_not_copies_of_them(spark, namespace, tmp_path):
    path = write_lines(tmp_path / "docs.jsonl", *[{"text": text} for text in ["same"] * 5 + list("abcde")])
    assert run(spark, namespace, path, limit=6)["num_new"] == 6


def test_a_first_ingest_that_is_refused_leaves_no_table(spark, namespace, tmp_path):
    path = write_lines(tmp_path / "docs.jsonl", {"id": 1, "text": "a"}, {"id": 1, "text": "b"})
    for values in ({"doc_id_column": "id"}, {"text_column": "body"}, {"domain_column": "lang"}):
        with pytest.raises(ValueError, match=r"nothing was written|no column"):
            run(spark, namespace, path, **values)
    assert not Path(namespace).exists()
    for on_conflict in ("fail", "update"):
        place = f"{namespace}-{on_conflict}"
        run(spark, place, path, on_conflict=on_conflict)
        assert sorted(text for _, text, _ in held(spark, place).values()) == ["a", "b"]


def test_a_namespace_that_cannot_be_written_is_told_before_the_input_is_looked_at(spark, tmp_path):
    user = os.geteuid()
    # Not pytest's folder: only its owner can look into that.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        for place, words in (
            (f"{folder}/not/there", "cannot be written by this user"),
            ("a_schema", r"write --namespace \./a_schema"),
            ("no_catalog.schema", "no_catalog"),
        ):
            try:
                if user == 0:
                    os.seteuid(65534)  # Root may write anything.
                with pytest.raises(ValueError, match=words):
                    run(spark, place, "/no/such/file.jsonl")
            finally:
                os.seteuid(user)
