"""A pipeline file as people write it: text that looks like something else, and keys that are there twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.export import ExportSettings
from jobs.ingest import IngestSettings
from jobs.selecting.settings import SelectSettings
from jobs.settings.stage import StageSettings
from jobs.stages import STAGES

# What YAML 1.1 reads as a boolean, a number, a time, a date or nothing.
LOOKS_LIKE_MORE = [
    *("no", "NO", "yes", "on", "Off", "true", "False", "y"),
    *("007", "010", "0o17", "0x1F", "1_000", "1.10", "1e5", "12e4567890123456", "0123456789012345", "2024"),
    *("12:30:00", "2024-01-01", "2024-01-01T00:00:00Z", ".inf", ".nan", "+1", "-.5", "="),
]


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """The settings that a file gives, as those that were set."""

    def from_file(cls: type[StageSettings], content: str | bytes) -> dict[str, Any]:
        path = tmp_path / "p.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        stage = next(stage for stage in STAGES.values() if stage.settings_class() is cls)
        found = stage.load_settings(["--config", str(path)]).model_dump(exclude_unset=True)
        return {key: value for key, value in found.items() if key != "config"}

    return from_file


@pytest.mark.parametrize("text", LOOKS_LIKE_MORE)
def test_text_stays_as_it_is_written_whatever_it_looks_like(load: Any, text: str) -> None:
    assert load(SelectSettings, f"select:\n  scorer_id: {text}\n  domain: {{{text}: 0.5}}\n") == {
        "scorer_id": text,
        "domain": {text: 0.5},
    }


@pytest.mark.parametrize("text", ["null", "~", "Null"])
def test_a_plain_null_is_not_set_and_as_a_key_or_in_quotes_it_is_text(load: Any, text: str) -> None:
    assert load(SelectSettings, f"select:\n  scorer_id: {text}\n  dedup_table:\n  domain: {{{text}: 0.5}}\n") == {
        "domain": {text: 0.5}
    }
    assert load(SelectSettings, f"select: {{scorer_id: '{text}'}}") == {"scorer_id": text}


def test_a_setting_of_another_type_takes_what_its_type_reads(load: Any) -> None:
    text = "select: {tokens: 1e5, min_quality: -1_0.5e-3, threshold: null, dry_run: on, json: No, quality_table: t}"
    found = {"tokens": 1e5, "min_quality": -0.0105, "dry_run": True, "json_output": False, "quality_table": "t"}
    assert load(SelectSettings, text) == found
    assert load(IngestSettings, "ingest: {input: a, domain: no, limit: 1e3}")["limit"] == 1000
    assert load(ExportSettings, "export: {out: 2024, shard_bytes: 2.56e+8}") == {
        "out": "2024",
        "shard_bytes": 256 * 10**6,
    }
    assert load(IngestSettings, "ingest: {input: a, domain: !!str no, limit: !!int 3}")["limit"] == 3


def test_keys_that_other_programs_read_otherwise_are_named(load: Any, capsys: pytest.CaptureFixture[str]) -> None:
    load(SelectSettings, "select: {domain: {no: 0.5, 'yes': 0.5, code: 0.5}}\nmix: {domain_share: {off: 0.5}}")
    said = capsys.readouterr().err
    assert "p.yaml: read as text, as written: 'no'; YAML 1.1 would not, unless you quote them" in said
    assert "yes" not in said
    assert "off" not in said


@pytest.mark.parametrize(
    ("cls", "text", "message"),
    [
        (SelectSettings, "select: {tokens: .inf}", r"--tokens is \.inf \(in .*p\.yaml\), but must be a number"),
        (SelectSettings, "select: {threshold: inf}", r"--threshold is inf .* must be a finite number"),
        (SelectSettings, "select: {tokens: 12:30:00}", r"--tokens is 12:30:00 .* must be a number"),
        (SelectSettings, "select: {domain: {no: 0o17}}", r"--domain is no=0o17 \(in .*\), but must be a number"),
        (SelectSettings, "select: {domain: {no: }}", r"--domain is no=null \(in .*\), but must be a number"),
        (SelectSettings, "select: {domain: no}", r"--domain is no .* must be a mapping of names to values"),
        (SelectSettings, "select: {dry_run: 2024-01-01}", r"--dry-run is 2024-01-01 .* must be true or false"),
        (IngestSettings, "ingest: {input: a, domain: b, limit: 0x10}", "--limit is 0x10 .* must be a whole number"),
        (IngestSettings, "ingest: {input: a, domain: b, limit: 1.5e0}", "--limit is 1.5e0 .* must be a whole number"),
    ],
)
def test_a_value_that_does_not_suit_is_shown_as_it_is_written(load: Any, cls: Any, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(cls, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select:\n  domain:\n    code: 0.1\n    code: 0.9", "has the key 'code' twice in a mapping, again in line 4"),
        ("select: {domain: {no: 0.1, 'no': 0.9}}", "has the key 'no' twice"),
        ("select: {fraction: 0.1}\nmix: {}\nselect: {fraction: 0.2}", "has the key 'select' twice"),
        ("select: {dry-run: yes, dry_run: no}", "section select: dry_run is there twice, with - and with _"),
        ("detect-heads: {limit: 1}\ndetect_heads: {limit: 2}", "detect_heads is there twice, with - and with _"),
        ("select: 0.2", r"section select is 0\.2, but must be a mapping"),
        ("select: [fraction]", r"section select is \[fraction\], but must be a mapping"),
        ("no: 1", "unknown key 'no'"),
        ("some text", "must be a mapping"),
        ("select: {}\n---\nmix: {}", "expected a single document"),
        ("select:\n\tfraction: 0.1", r"'\\t' that cannot start any token.*line 2"),
        ("select: !!python/name:os.system", "is no YAML"),
        (b"# caf\xe9\n", "is no YAML.*#x00e9"),
        ("select: {}".encode("utf-16-le"), "is no YAML.*#x0000"),
    ],
)
def test_a_file_that_says_two_things_or_none_is_refused(load: Any, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        load(SelectSettings, text)
    assert "p.yaml" in str(error.value)


def test_a_merged_key_may_be_there_twice(load: Any) -> None:
    text = "ingest: &shared {domain_column: no, text_column: b}\nselect: {<<: *shared, text_column: c}\n"
    assert load(SelectSettings, text) == {"domain_column": "no", "text_column": "c"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_any_encoding_that_yaml_has_is_read(load: Any, encoding: str) -> None:
    assert load(SelectSettings, "select: {scorer_id: Blåbærgrød}".encode(encoding)) == {"scorer_id": "Blåbærgrød"}
    assert load(SelectSettings, "".encode(encoding)) == {}


def test_a_file_that_is_nested_without_end_is_one_line_and_no_traceback(load: Any) -> None:
    for text in ("[" * 2000 + "]" * 2000, "{a: " * 2000 + "}" * 2000, "- " * 2000):
        with pytest.raises(ValueError, match=r"^--config .*p\.yaml is nested too deeply to be read$"):
            load(SelectSettings, f"select: {text}" if text[0] != "-" else text)
