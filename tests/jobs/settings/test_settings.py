from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from jobs.ingest import IngestSettings
from jobs.rank import RankSettings
from jobs.settings.messages import setting_names
from jobs.settings.stage import StageSettings, load_settings
from jobs.stages import STAGES


class ToySettings(StageSettings):
    """A stage of these tests."""

    fraction: float | None = Field(None, gt=0, le=1, description="a share")
    mode: Literal["uniform", "zero"] = Field("uniform", description="one of two")
    count: int = Field(3, description="how many")
    dry_run: bool = Field(False, description="do nothing")
    json_output: bool = Field(False, alias="json", description="for programs")

    @model_validator(mode="after")
    def _not_thirteen(self) -> ToySettings:
        if self.count == 13:
            raise ValueError("--count 13 brings bad luck; take 12")
        return self


def toy(*argv: str) -> ToySettings:
    return load_settings(ToySettings, argv, "toy")


def load(stage: str, argv: list[str]) -> Any:
    return STAGES[stage].load_settings(argv)


def write_yaml(folder: Path, text: str) -> str:
    path = folder / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def ingest(*argv: str) -> IngestSettings:
    return load("ingest", ["--input", "x", *argv])


def test_flags_are_kebab_case_and_booleans_need_no_value():
    settings = toy("--dry-run", "--json", "--fraction", "0.5", "--mode=zero")
    assert (settings.dry_run, settings.json_output, settings.fraction, settings.mode) == (True, True, 0.5, "zero")


def test_nothing_given_leaves_every_default():
    assert toy() == ToySettings()
    assert ToySettings().namespace == "./attention_influence_data"


def test_flags_go_before_the_environment_and_that_before_the_yaml_file(tmp_path, monkeypatch):
    config = write_yaml(tmp_path, "namespace: ./from_yaml\nrank:\n  scorer_id: from_section\n")
    argv = ["--config", config]
    assert load("rank", argv).namespace == "./from_yaml"
    assert load("rank", argv).scorer_id == "from_section"
    monkeypatch.setenv("ATTENTION_INFLUENCE_NAMESPACE", "./from_env")
    assert load("rank", argv).namespace == "./from_env"
    assert load("rank", [*argv, "--namespace", "./from_flag"]).namespace == "./from_flag"


def test_the_environment_names_the_yaml_file_too_and_an_alias_goes_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTENTION_INFLUENCE_CONFIG", write_yaml(tmp_path, "rank:\n  scorer-id: abc\n"))
    monkeypatch.setenv("ATTENTION_INFLUENCE_JSON", "true")
    settings = load("rank", [])
    assert (settings.scorer_id, settings.json_output) == ("abc", True)


def test_a_section_goes_before_the_top_level_and_holds_for_its_stage_alone(tmp_path):
    config = write_yaml(tmp_path, "namespace: ./all\nlimit: 7\ndetect-heads:\n  namespace: ./other\nsql: {limit: 9}\n")
    assert load("sql", ["select 1", "--config", config]).limit == 9
    settings = ingest("--domain", "d", "--config", config)
    assert (settings.namespace, settings.limit) == ("./all", 7)


def test_a_shared_key_of_another_stage_is_no_error_and_is_not_passed_on(tmp_path):
    config = write_yaml(tmp_path, "domain_column: lang\nnamespace: ./all\n")
    assert load("rank", ["--config", config]).namespace == "./all"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("namspace: ./x", "unknown key 'namspace'; did you mean namespace?"),
        ("rank:\n  scorer_di: x", "section rank: unknown key 'scorer_di'; did you mean scorer_id?"),
        ("ingest: a", "section ingest is a, but must be a mapping"),
        (
            "rank:\n  limit: 3",
            "section rank: unknown key 'limit'; known are corpus_table, doc_id_column, domain_column, json, method, "
            "namespace, scorer_id, text_column",
        ),
        ("ingset:\n  domain: x", "unknown key 'ingset'; did you mean ingest?"),
        ("- a\n- b", "must be a mapping"),
        ("a: [1, 2", "is no YAML"),
    ],
)
def test_a_yaml_file_with_a_mistake_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ValueError, match=r"pipeline\.yaml") as error:
        load("rank", ["--config", write_yaml(tmp_path, text)])
    assert message in str(error.value)


def test_reading_a_file_with_every_stages_section_imports_this_stage_alone(tmp_path):
    config = write_yaml(tmp_path, "namespace: ./all\n" + "".join(f"{name}: {{}}\n" for name in STAGES))
    code = (
        "import sys; from jobs.stages import STAGES\n"
        f"assert STAGES['rank'].load_settings(['--config', {config!r}]).namespace == './all'\n"
        "print(*sorted({name.split('.')[1] for name in sys.modules if name.startswith('jobs.')}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["ranking", "settings", "spark", "stages", "terminal"]


def test_a_yaml_file_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="--config nowhere-at-all cannot be read"):
        toy("--config", "nowhere-at-all")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dry-rnu"], "unknown flag --dry-rnu; did you mean --dry-run?"),
        (["--dry_run"], "unknown flag --dry_run; did you mean --dry-run?"),
        (["--name", "./x"], "unknown flag --name; did you mean --namespace?"),
        (["stray"], "'stray' belongs to no flag"),
        (["--fraction", "0"], "--fraction is '0', but must be greater than 0"),
        (["--fraction=2"], "--fraction is '2', but must be less than or equal to 1"),
        (["--mode", "zro"], "--mode is 'zro', but must be one of uniform or zero"),
        (["--count", "many"], "--count is 'many', but must be a whole number"),
        (["--count", "13"], "--count 13 brings bad luck; take 12"),
        (["--fraction"], "argument --fraction: expected one argument"),
    ],
)
def test_a_wrong_flag_is_answered_with_what_is_allowed(argv, message):
    with pytest.raises(ValueError, match="see attention-influence toy --help") as error:
        toy(*argv)
    assert str(error.value).startswith(message)
    assert "pydantic" not in str(error.value)


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(ValueError, match=r"--fraction is '0'.*\n--mode is 'x'"):
        toy("--fraction", "0", "--mode", "x")


def test_a_wrong_value_says_where_it_came_from(tmp_path, monkeypatch):
    config = write_yaml(tmp_path, "ingest:\n  limit: -1\n")
    with pytest.raises(ValueError, match=r"--limit is -1 \(in .*pipeline.yaml\), but must be greater"):
        ingest("--domain", "d", "--config", config)
    monkeypatch.setenv("ATTENTION_INFLUENCE_LIMIT", "none")
    with pytest.raises(ValueError, match=r"--limit is 'none' \(ATTENTION_INFLUENCE_LIMIT\), but must be a whole"):
        ingest("--domain", "d")


def test_what_is_needed_and_missing_is_named():
    with pytest.raises(ValueError, match="--input is needed"):
        load("ingest", ["--domain", "x"])
    with pytest.raises(ValueError, match="QUERY is needed"):
        load("sql", [])


@pytest.mark.parametrize("name", ["None", "null", "[1]", '{"a": 1}', '"quoted"', "a,b", "true", " x "])
def test_text_arrives_as_it_was_typed(name):
    assert ingest("--domain", name).domain == name
    assert load("sql", [name]).query == name


@pytest.mark.parametrize("text", ["-1e-3", "-1E+2", "-.5", "-5.", "-1_000", "-0.001", "-7", "-1e-400"])
def test_every_negative_number_is_a_value(text):
    assert load("select", ["--threshold", text, "--json"]).threshold == float(text)
    assert load("select", ["--json", f"--threshold={text}"]).threshold == float(text)
    found = load("select", [f"--domain=x={text}", "--domain", f"y={text}", "--threshold", "1"])
    assert found.domain == {"x": float(text), "y": float(text)}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--threshold", "-inf"], "--threshold is '-inf', but must be a finite number"),
        (["--threshold", "-nan"], "--threshold is '-nan', but must be a finite number"),
        (["--fraction", "-1e-3"], "--fraction is '-1e-3', but must be greater than 0"),
        (["--fraction", "--dry-run"], "argument --fraction: expected one argument"),
        (["--threshold", "-x"], "argument --threshold: expected one argument"),
        (["--dry-run", "-1e3"], "unknown flag -1e3"),
        (["--threshold", "--", "-1e3"], "argument --threshold: expected one argument"),
    ],
)
def test_what_follows_a_flag_and_is_no_number_or_not_its_value_is_refused(argv, message):
    with pytest.raises(ValueError, match=r".") as error:
        load("select", argv)
    assert str(error.value).startswith(message)


def test_a_whole_number_may_have_an_exponent_too():
    assert ingest("--domain", "d", "--limit", "1e6").limit == 10**6
    with pytest.raises(ValueError, match=r"--limit is '1\.5e0', but must be a whole number"):
        ingest("--domain", "d", "--limit", "1.5e0")
    with pytest.raises(ValueError, match="--limit is '1e999999999', but must be a whole number"):
        ingest("--domain", "d", "--limit", "1e999999999")


def test_a_variable_is_text_unless_its_setting_is_not(monkeypatch):
    for name, value in {"DOMAIN": '{"no": 5, "1.10": 1e1}', "SCORER_ID": "0123", "TOKENS": "1e5"}.items():
        monkeypatch.setenv(f"ATTENTION_INFLUENCE_{name}", value)
    found = load("select", [])
    assert (found.domain, found.scorer_id, found.tokens) == ({"no": 5.0, "1.10": 10.0}, "0123", 1e5)


@pytest.mark.parametrize("value", ["no=0.5", '{"no": 0.5, "no": 0.7}', "{"])
def test_a_variable_that_is_no_json_or_has_a_name_twice_is_named(monkeypatch, value):
    monkeypatch.setenv("ATTENTION_INFLUENCE_DOMAIN", value)
    with pytest.raises(ValueError, match="ATTENTION_INFLUENCE_DOMAIN must be a JSON object with each name once"):
        load("select", [])


@pytest.mark.parametrize("argv", [[], ["--domain", "a", "--domain-column", "b"]])
def test_ingest_wants_one_domain_or_one_column_of_domains(argv):
    with pytest.raises(ValueError, match="--domain NAME or --domain-column COLUMN"):
        ingest(*argv)


def test_every_stage_has_settings_whose_every_field_is_described():
    for stage in STAGES.values():
        found = stage.settings_class()
        assert found.__doc__, f"{found.__name__} needs a docstring: it heads --help"
        for name, field in found.model_fields.items():
            assert field.description, f"{stage.name}: {name} needs a description"
    assert {"namespace", "config"} <= setting_names(RankSettings)


def test_the_example_pipeline_is_read_by_every_stage(monkeypatch):
    example = str(Path(__file__).parents[3] / "conf" / "pipeline.yaml")
    for stage in STAGES:
        argv = ["select 1"] if stage == "sql" else []
        assert load(stage, [*argv, "--config", example]).config == example


def test_help_shows_a_stages_own_flags_before_those_of_all_and_no_empty_defaults(capsys):
    with pytest.raises(SystemExit) as exit_:
        toy("--help")
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert shown.index("--fraction") < shown.index("--namespace")
    assert "(default: 3)" in shown
    assert "\0" not in shown
    assert "None" not in shown
