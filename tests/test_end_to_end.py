"""From files to ranked scores through the command line: real Spark, real Delta, a tiny model of random weights."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.spark.namespace import Namespace
from schemas import rankings, scorers, scores
from tests.udfs.conftest import SENTENCES, byte_level_tokenizer
from tests.udfs.models import tiny_model


def test_a_corpus_in_files_becomes_ranked_scores_that_sql_can_query(
    spark: SparkSession,
    namespace: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, heads_file, input_file = tmp_path / "model", tmp_path / "heads.txt", tmp_path / "documents.jsonl"
    tiny_model("qwen2").save_pretrained(model)
    byte_level_tokenizer(bos=False).save_pretrained(model)
    heads_file.write_text("1,0\n2,3\n")
    records = [
        {"id": f"{domain}-{n}", "kind": domain, "body": " ".join(SENTENCES[(n + k) % 4] for k in range(1 + n % 3))}
        for domain in ("code", "prose")
        for n in range(5)
    ]
    records.append({"id": "alone", "kind": "single", "body": SENTENCES[0]})
    records.append({"id": "nothing", "kind": "prose", "body": " "})
    input_file.write_text("".join(json.dumps(record) + "\n" for record in records))

    columns = ["--doc-id-column", "id", "--text-column", "body", "--domain-column", "kind"]
    assert main(["ingest", "--input", str(input_file), *columns, "--namespace", namespace]) == 0
    scored = ["--model", str(model), "--heads-file", str(heads_file), "--window", "64", "--namespace", namespace]
    scored.append("--allow-implausible-model")
    assert main(["score", *scored]) == 0
    assert main(["rank", "--namespace", namespace]) == 0
    capsys.readouterr()
    query = (
        "SELECT domain, doc_id, domain_rank, domain_size, influence_score FROM rankings ORDER BY domain, domain_rank"
    )
    assert main(["sql", query, "--json", "--namespace", namespace]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [row["domain_rank"] for row in rows] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1]
    assert {row["doc_id"] for row in rows} == {record["id"] for record in records} - {"nothing"}
    for domain in ("code", "prose"):
        of_domain = [row["influence_score"] for row in rows if row["domain"] == domain]
        assert of_domain == sorted(of_domain, reverse=True)
    assert rows[-1] == {**rows[-1], "domain": "single", "domain_rank": 1, "domain_size": 1}

    # Another scorer beside it, as if it had found the same.
    place = Namespace.parse(namespace)
    (scorer,) = place.read(spark, scorers.TABLE).collect()
    for contract in (scorers.TABLE, scores.TABLE, rankings.TABLE):
        place.append(place.read(spark, contract).withColumn("scorer_id", F.lit("other")), contract)
    monkeypatch.setattr(sys, "argv", ["explore_scores.py", namespace, scorer["scorer_id"]])
    notebook = runpy.run_path(str(Path(__file__).parent.parent / "notebooks" / "explore_scores.py"))
    controls = {row["domain"]: row for row in notebook["controls"].collect()}
    assert {domain: row["num_documents"] for domain, row in controls.items()} == {"code": 5, "prose": 5, "single": 1}
    assert all(-1 <= row["with_length"] <= 1 for domain, row in controls.items() if domain != "single")
    assert controls["single"]["with_length"] is None, "one document has no correlation"
    assert [row["domain_rank"] for row in notebook["best"].collect()] == [1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probes", "--model", "/no/such/model"], "neither an existing folder"),
        (["score", "--model", "x", "--top-fractoin", "1"], "top-fractoin"),
        (["detect-heads", "--model", "x", "--top-fraction", "0"], "--top-fraction"),
        (["ingest", "--input", "/no/such/file.jsonl", "--domain", "x"], "/no/such/file.jsonl"),
        (["rank", "--namespace", "./a'; drop table x"], "no quotes"),
        (["score", "--model", "x", "--corpus-table", 'scores"; drop table x'], "no quotes"),
        (["rank"], "attention-influence score"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_status_2(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith(f"attention-influence {arguments[0]}: error: ")
    assert "Traceback" not in captured.err
