from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.errors import AnalysisException, PySparkException, PySparkValueError

from jobs import cli
from jobs.stages import STAGES

ROOT = Path(__file__).parents[2]


def status_of(error: BaseException) -> int:
    def work() -> None:
        raise error

    return cli.exit_status("toy", work)


def command(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "jobs.cli", *argv], capture_output=True, text=True, cwd=ROOT)


def test_help_lists_every_stage_with_a_line_each(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out.splitlines()
    for stage, summary in ((stage.name, stage.summary) for stage in STAGES.values()):
        assert any(line.split(maxsplit=1) == [stage, summary] for line in shown)


def test_no_stage_at_all_is_an_error_that_shows_the_help(capsys):
    assert cli.main([]) == 2
    assert "detect-heads" in capsys.readouterr().out


def test_an_unknown_stage_is_answered_with_the_nearest(capsys):
    assert cli.main(["scor"]) == 2
    assert capsys.readouterr().err == ("attention-influence: error: there is no stage 'scor'; did you mean score?\n")


def test_the_installed_program_ends_the_process_where_a_stage_failed_whoever_calls_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["attention-influence", "scor"])
    with pytest.raises(SystemExit) as ended:
        cli.console()
    assert ended.value.code == 2
    monkeypatch.setattr(sys, "argv", ["attention-influence", "--version"])
    cli.console()
    assert capsys.readouterr().out.startswith("attention-influence ")
    assert 'attention-influence = "jobs.cli:console"' in (ROOT / "pyproject.toml").read_text()


def test_a_value_error_is_a_message_without_a_traceback(capsys):
    assert status_of(ValueError("--name is 'x'; take another")) == 2
    assert capsys.readouterr().err == "attention-influence toy: error: --name is 'x'; take another\n"


def test_a_mistake_in_other_code_keeps_its_traceback():
    with pytest.raises(UnicodeDecodeError):
        cli.exit_status("toy", lambda: b"\xff".decode())
    with pytest.raises(RuntimeError):
        status_of(RuntimeError("broken"))


def test_an_error_of_spark_that_no_stage_foresaw_ends_in_one_line(monkeypatch, capsys):
    error = PySparkException(
        ": org.apache.spark.SparkException: It failed.\n\tat a.B.c\nCaused by: a.C: the disk is full"
    )
    assert status_of(error) == 1
    said = "attention-influence toy: error: It failed: the disk is full; ATTENTION_INFLUENCE_DEBUG=1 shows where\n"
    assert capsys.readouterr().err == said
    # It is a ValueError, too.
    assert status_of(PySparkValueError("no such value")) == 1
    assert capsys.readouterr().err.startswith("attention-influence toy: error: no such value; ")
    monkeypatch.setenv("ATTENTION_INFLUENCE_DEBUG", "1")
    with pytest.raises(PySparkException):
        status_of(error)


def test_a_query_that_spark_refuses_is_our_mistake_and_says_where_we_made_it(capsys):
    assert status_of(AnalysisException("[UNRESOLVED_COLUMN] A column is missing.\n'Project [x]")) == 1
    first, *frames, last = capsys.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert any("test_cli.py" in frame for frame in frames)
    assert last == "attention-influence toy: error: [UNRESOLVED_COLUMN] A column is missing"


def test_help_that_is_not_read_to_its_end_leaves_no_traceback():
    shown = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    # Nobody reads: the pipe is closed before anything is printed.
    shown.stdout.close()
    assert shown.stderr.read() == b""
    assert shown.wait(60) == 141


def test_a_stage_that_did_its_work_exits_with_0_and_an_interrupted_one_does_not(capsys):
    assert cli.exit_status("toy", lambda: None) == 0
    assert status_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "attention-influence toy: stopped\n"


def test_a_package_that_the_cluster_or_an_extra_provides_is_named_when_it_is_missing(capsys):
    assert status_of(ModuleNotFoundError("No module named 'torch'", name="torch")) == 2
    assert "pip install 'attention-influence[torch]'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        status_of(ModuleNotFoundError("No module named 'jobs.typo'", name="jobs.typo"))


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_starts_neither_torch_nor_spark(stage):
    code = (
        "import sys; from jobs.cli import main\n"
        f"try: main([{stage!r}, '--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "heavy = {'torch', 'pyspark', 'transformers', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert f"usage: attention-influence {stage}" in result.stdout


def test_a_wrong_flag_ends_the_process_with_2_and_one_line():
    result = command("rank", "--scorer", "x")
    assert result.returncode == 2
    assert result.stderr == (
        "attention-influence rank: error: unknown flag --scorer; did you mean --scorer-id?; "
        "see attention-influence rank --help\n"
    )
