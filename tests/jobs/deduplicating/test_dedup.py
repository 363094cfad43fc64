"""Clusters of duplicates, against plain Python: sets of shingles, all pairs, union-find."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from jobs import dedup
from jobs.dedup import DedupSettings
from jobs.deduplicating import near_duplicates
from jobs.deduplicating.minhash import meeting_probability, num_bands_for
from jobs.settings.stage import load_settings
from jobs.spark.namespace import Namespace
from schemas import corpus, duplicates
from tests.jobs.corpus.corpus_cases import corpus_rows
from tests.jobs.deduplicating.cases import union_find

Texts = dict[str, str | None]
VOCABULARY = [f"{a}{b}" for a in ("straße", "naïve", "слово", "λόγος", "x_1", "Étude", "42") for b in "abcdefghij"]
HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]
HOSTILE = [
    "'; drop table corpus; --",
    "{signatures} :max_bucket ${x} %s %d {0} \\ \\u0041 `a`",
    "\x00\x01\x7f\u202e\ufeff\U0001f4a9",
    " \t\r\n\u00a0\u2003",
    "a" * 20_000,
    "..." * 5_000,
    "word " * 5_000,
]


def oracle_words(text: str) -> list[str]:
    """Runs of letters, digits, marks and underscores; an ideograph is a word by itself."""
    found, run = [], ""
    for char in text.lower() + " ":
        alone = unicodedata.name(char, "").startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA LETTER", "THAI"))
        if (not alone and unicodedata.category(char)[:1] in "LMN") or unicodedata.category(char) == "Pc":
            run += char
            continue
        found += [run] if run else []
        run = ""
        found += [char] if alone else []
    return found


def oracle_clusters(texts: Texts, similarity: float = 0.8, size: int = 5) -> dict[str, tuple[str, int, str]]:
    """doc_id to cluster_id, cluster_size, kind; by comparing every pair."""
    shingles = {}
    for doc_id, text in texts.items():
        words = oracle_words(text or "")
        shingles[doc_id] = {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}
    edges = []
    for a, b in combinations(texts, 2):
        union = len(shingles[a] | shingles[b])
        near = union > 0 and len(shingles[a] & shingles[b]) / union >= similarity
        if near or (texts[a] or "") == (texts[b] or ""):
            edges.append((a, b))
    found = {}
    for members in union_find(texts, edges):
        different = {texts[doc_id] or "" for doc_id in members}
        kind = "unique" if len(members) == 1 else "exact" if len(different) == 1 else "near"
        found |= {doc_id: (min(members), len(members), kind) for doc_id in members}
    return found


def words(draw: random.Random, count: int, vocabulary: list[str] = VOCABULARY) -> list[str]:
    return [draw.choice(vocabulary) for _ in range(count)]


def changed(text: list[str], *places: int) -> list[str]:
    """The words with others at these places; each changes five shingles where they are far apart."""
    return [f"changed{n}" if n in places else word for n, word in enumerate(text)]


def write(spark, namespace: str, texts: Texts) -> None:
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    rows = [(doc_id, "d", text, None) for doc_id, text in texts.items()]
    place.replace_all(corpus_rows(spark, rows), corpus.TABLE)


def run(spark, namespace: str, **settings: Any) -> dict[str, Any]:
    return dedup.run(DedupSettings(namespace=namespace, **settings), spark)


def rows_of(spark, namespace: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in Namespace.parse(namespace).read(spark, duplicates.TABLE).collect())


def clusters_of(spark, namespace: str) -> dict[str, tuple[str, int, str]]:
    rows = rows_of(spark, namespace)
    found = {doc_id: (cluster_id, size, kind) for doc_id, cluster_id, size, kind, _ in rows}
    assert len(found) == len(rows), "a document has several rows"
    return found


def mixed_documents(draw: random.Random) -> Texts:
    """Exact copies, near-copies on both sides of the threshold, chains, short, empty, missing and hostile texts."""
    texts: list[str | None] = [None, None, "", " ", "one two", "one two", "One two", "one two three four five"]
    texts += ["one two three four five!", "ONE two, three (four) five", *HOSTILE, HOSTILE[0]]
    for length in range(40, 130, 10):
        base = words(draw, length)
        texts += [" ".join(base)] * draw.choice([1, 1, 2, 3])
        for _ in range(4):
            at = draw.sample(range(length), draw.randint(1, 5))
            texts.append(draw.choice([" ", "\n", ", ", " – "]).join(changed(base, *at)))
        texts.append(" ".join(words(draw, 8) + base[:-8]))
    han = words(draw, 100, HAN)
    texts += ["".join(han), "".join(changed(han, 50)), "".join(words(draw, 100, HAN))]
    names = [f"{prefix}{n}" for n, prefix in zip(range(len(texts)), "a'Z é{x}:b`9\\" * 20, strict=False)]
    draw.shuffle(names)
    return dict(zip(names, texts, strict=True))


@pytest.mark.parametrize(("similarity", "size"), [(0.8, 5), (0.55, 3)])
def test_clusters_are_those_of_comparing_every_pair_in_plain_python(spark, namespace, similarity, size):
    texts = mixed_documents(random.Random(size))
    expected = oracle_clusters(texts, similarity, size)
    assert Counter(kind for _, _, kind in expected.values()).keys() == {"unique", "exact", "near"}
    write(spark, namespace, texts)
    settings = {"similarity": similarity, "shingle_words": size, "num_hash_tables": 60, "hashes_per_table": 3}
    result = run(spark, namespace, **settings)
    assert clusters_of(spark, namespace) == expected
    assert result["num_documents"] == len(texts)
    assert result["num_clusters"] == len({cluster_id for cluster_id, _, _ in expected.values()})
    for kind, counts in result["kinds"].items():
        of_kind = [(doc_id, cluster_id) for doc_id, (cluster_id, _, found) in expected.items() if found == kind]
        assert counts["num_documents"] == len(of_kind)
        assert counts["num_clusters"] == len({cluster_id for _, cluster_id in of_kind})


def test_texts_exactly_as_similar_as_asked_are_near_and_slightly_less_similar_ones_only_over_others(spark, namespace):
    # 4 of 5 shingles are shared, then 7 of 9.
    eight, eleven = list("abcdefgh"), list("klmnopqrstu")
    texts: Texts = {
        "1": " ".join(eight),
        "2": " ".join([*eight, "i"]),
        "3": " ".join(eleven),
        "4": " ".join([*eleven, "v", "w"]),
    }
    # A chain: each is near the next, but not near the one after.
    base = [f"w{n}" for n in range(100)]
    steps = [base, changed(base, 10, 30), changed(base, 10, 30, 50, 70), changed(base, 10, 30, 50, 70, 90, 95)]
    texts |= {name: " ".join(text) for name, text in zip("dbca", steps, strict=True)} | {"e": " ".join(steps[2])}
    assert oracle_clusters({"d": texts["d"], "c": texts["c"]})["d"][2] == "unique"
    write(spark, namespace, texts)
    run(spark, namespace, num_hash_tables=40, hashes_per_table=2)
    assert clusters_of(spark, namespace) == {
        "1": ("1", 2, "near"),
        "2": ("1", 2, "near"),
        "3": ("3", 1, "unique"),
        "4": ("4", 1, "unique"),
    } | dict.fromkeys("abcde", ("a", 5, "near"))


def test_running_again_gives_the_same_rows_from_any_partitions_and_forgets_documents_that_are_gone(
    scattered, namespace, capsys
):
    spark, texts = scattered, mixed_documents(random.Random(1))
    write(spark, namespace, texts)
    run(spark, namespace)
    first = rows_of(spark, namespace)
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    shuffled = list(texts.items())
    random.Random(3).shuffle(shuffled)
    write(spark, namespace, dict(shuffled))
    run(spark, namespace)
    assert rows_of(spark, namespace) == first
    history = spark.sql(f"describe history {Namespace.parse(namespace).identifier('duplicates')}").count()
    assert history == 1 + 2
    write(spark, namespace, {"x": "left over"})
    capsys.readouterr()
    result = run(spark, namespace, json=True)
    assert json.loads(capsys.readouterr().out) == result
    assert clusters_of(spark, namespace) == {"x": ("x", 1, "unique")}
    assert result["num_not_compared"] == 1


@pytest.fixture
def scattered(spark):
    """Spark as on a large table: rows reach their cluster from several places."""
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    yield spark
    spark.conf.set("spark.sql.shuffle.partitions", "2")


def test_exact_only_joins_equal_texts_alone(spark, namespace, capsys):
    texts: Texts = {"b": "some text", "a": "some text", "c": "Some text", "d": None, "e": ""}
    write(spark, namespace, texts)
    run(spark, namespace, exact_only=True)
    assert clusters_of(spark, namespace) == {
        "a": ("a", 2, "exact"),
        "b": ("a", 2, "exact"),
        "c": ("c", 1, "unique"),
        "d": ("d", 2, "exact"),
        "e": ("d", 2, "exact"),
    }
    shown = capsys.readouterr().out
    assert re.search(r"^exact +4 +2$", shown, re.MULTILINE)
    assert "5 documents in 3 clusters written to the duplicates table" in shown
    assert "comparisons" not in shown


def test_a_table_of_other_names_is_read_where_it_is(spark, namespace, tmp_path):
    rows = [(1, "the very same words here", "x"), (2, "The very same words, here", "y"), (3, None, "z")]
    path = str(tmp_path / "mine")
    spark.createDataFrame(rows, "id int, my_text string, kind string").write.format("delta").save(path)
    names = {"corpus_table": path, "doc_id_column": "id", "text_column": "my_text", "domain_column": "kind"}
    run(spark, namespace, **names)
    assert {doc_id: kind for doc_id, (_, _, kind) in clusters_of(spark, namespace).items()} == {
        "1": "near",
        "2": "near",
        "3": "unique",
    }
    with pytest.raises(ValueError, match="has no column 'text'"):
        run(spark, namespace, **names | {"text_column": "text"})


def test_more_comparisons_than_allowed_are_an_error_that_counts_them_before_they_are_made(spark, namespace):
    same = " ".join(f"w{n}" for n in range(20))
    write(spark, namespace, {f"{n:02}": same + "!" * n for n in range(30)})
    # All thirty meet in each of the two tables: 2 * 30 * 29 / 2 pairs.
    limits = {"num_hash_tables": 2, "max_pairs": 869}
    with pytest.raises(ValueError, match=r"would take 870 comparisons, more than --max-pairs 869") as error:
        run(spark, namespace, **limits)
    assert "0 buckets hold more than --max-bucket 100 texts, the largest 30" in str(error.value)
    assert rows_of(spark, namespace) == []
    result = run(spark, namespace, num_hash_tables=2, max_pairs=870)
    assert (result["num_comparisons"], result["num_clusters"]) == (870, 1)


def test_in_a_large_bucket_each_text_meets_the_first_ones_alone_which_joins_copies_all_the_same(
    spark, namespace, capsys
):
    same = " ".join(f"w{n}" for n in range(20))
    write(spark, namespace, {f"{n:02}": same + "!" * n for n in range(30)})
    result = run(spark, namespace, num_hash_tables=2, max_bucket=3)
    # The first three meet each other, the other 27 meet each of these three.
    assert result["num_comparisons"] == 2 * (3 + 27 * 3)
    assert set(clusters_of(spark, namespace).values()) == {("00", 30, "near")}
    assert "buckets larger than --max-bucket: some of their pairs may be missed: 2" in capsys.readouterr().out


def test_a_text_too_long_to_hold_in_memory_as_words_is_only_compared_for_equality(spark, namespace, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MAX_BYTES", 100)
    short, long = " ".join(["w"] * 50), " ".join(["v"] * 51)
    write(spark, namespace, {"1": short, "2": short + ".", "3": long, "4": long + ".", "5": long})
    result = run(spark, namespace)
    assert {doc_id: found[0] for doc_id, found in clusters_of(spark, namespace).items()} == {
        "1": "1",
        "2": "1",
        "3": "3",
        "4": "4",
        "5": "3",
    }
    assert result["num_not_compared"] == 3


def test_ids_that_do_not_identify_documents_are_an_error_before_any_table_is_made(spark, namespace, tmp_path):
    for name, ids in (("twice", ["a", "a"]), ("null", ["a", None])):
        path = str(tmp_path / name)
        rows = [(doc_id, "d", "text") for doc_id in ids]
        spark.createDataFrame(rows, "doc_id string, domain string, text string").write.format("delta").save(path)
        with pytest.raises(ValueError, match="each document needs a doc_id of its own"):
            run(spark, namespace, corpus_table=path)
    with pytest.raises(ValueError, match="there is no table"):
        run(spark, namespace, corpus_table=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="has no corpus table; make it first"):
        run(spark, namespace)
    assert not Namespace.parse(namespace).exists(spark, "duplicates")


def test_an_empty_corpus_has_no_clusters(spark, namespace):
    write(spark, namespace, {})
    assert run(spark, namespace)["num_documents"] == 0
    assert rows_of(spark, namespace) == []


def test_buckets_meet_as_often_as_the_formula_says(spark):
    """A thousand pairs at 0.7: shared buckets counted, against binomial probabilities."""
    draw = random.Random(5)
    rule = DedupSettings(similarity=0.7, shingle_words=1, num_hash_tables=4, hashes_per_table=2).near_rule()
    rows = []
    for pair in range(1000):
        names = [f"{draw.randrange(10**9)}" for _ in range(40)]
        texts = names[:30] + names[30:35], names[:30] + names[35:40] + [f"{pair}x", f"{pair}y", f"{pair}z"]
        rows += [(f"{pair}.{side}", " ".join(text), "f", 1) for side, text in enumerate(texts)]
    documents = spark.createDataFrame(rows, "doc_id string, text string, text_sha256 string, num_bytes int")
    found = {row["doc_id"]: row["buckets"] for row in near_duplicates.signatures(spark, documents, rule).collect()}
    meet = sum(any(a == b for a, b in zip(found[f"{pair}.0"], found[f"{pair}.1"], strict=True)) for pair in range(1000))
    similarity = 30 / 43
    expected = 1 - (1 - similarity * similarity) ** 4
    assert meeting_probability(similarity, 4, 2) == pytest.approx(expected)
    # Five standard deviations.
    assert abs(meet / 1000 - expected) < 5 * (expected * (1 - expected) / 1000) ** 0.5


@pytest.mark.parametrize(("similarity", "hashes"), [(0.8, 4), (0.8, 1), (0.5, 2), (0.95, 6), (0.1, 1)])
def test_there_are_as_many_bands_as_find_nearly_all_pairs_and_no_more(similarity, hashes):
    bands = num_bands_for(0.999, similarity, hashes)
    assert 1 - (1 - similarity**hashes) ** bands >= 0.999
    assert 1 - (1 - similarity**hashes) ** (bands - 1) < 0.999
    assert num_bands_for(0.999, 1.0, hashes) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--similarity 0", "--similarity is '0', but must be greater than 0"),
        ("--similarity 1.1", "--similarity is '1.1', but must be less than or equal to 1"),
        ("--shingle-words 0", "--shingle-words is '0', but must be greater than or equal to 1"),
        ("--num-hash-tables 0", "--num-hash-tables is '0'"),
        ("--hashes-per-table 0", "--hashes-per-table is '0'"),
        ("--max-pairs 0", "--max-pairs is '0'"),
        ("--max-bucket 0", "--max-bucket is '0'"),
        ("--similarity 0.2", "--hashes-per-table 4 in 4,314 bands, for --similarity 0.2, are more than 1,024"),
    ],
)
def test_settings_that_cannot_be_are_named(flags, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_settings(DedupSettings, flags.split(), "dedup")
