"""The command line: one program with a subcommand per stage."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

from jobs.settings.messages import nearest
from jobs.settings.stage import PROGRAM
from jobs.stages import STAGES, Stage

# If this variable is set, every Spark error keeps its traceback and Java's stack.
DEBUG = "ATTENTION_INFLUENCE_DEBUG"
_OTHERS = re.compile(r"[/\\](pyspark|py4j)[/\\]")
# Packages that the wheel does not require, and the extra that installs each: a cluster may provide them.
EXTRAS = {
    "pyspark": "spark",
    "delta": "spark",
    "torch": "torch",
    "gguf": "gguf",
    "pyspark_huggingface": "hub",
    "datasets": "hub",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage that the first argument names with the rest; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return exit_status("help", lambda: print(_help())) or (0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"{PROGRAM} {_version()}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in STAGES:
        print(f"{PROGRAM}: error: there is no stage {name!r}; {nearest(name, STAGES)}", file=sys.stderr)
        return 2
    return run_stage(STAGES[name], rest)


def console() -> None:
    """Run main, and end the process where its status is not 0.

    A task of Databricks that runs a wheel calls the entry point and drops what it returns: it would pass for done.
    """
    if status := main():
        sys.exit(status)


def run_stage(stage: Stage, argv: Sequence[str]) -> int:
    """Load the stage's settings, get a session, run it; returns the exit status, as exit_status does."""

    def work() -> None:
        settings = stage.load_settings(argv)
        from jobs.spark.session import get_session

        stage.function()(settings, get_session(f"{PROGRAM} {stage.name}"))

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters that the terminal cannot encode are shown as escapes, and stop no job.
            stream.reconfigure(errors="backslashreplace")
    return exit_status(stage.name, work)


def exit_status(stage: str, work: Callable[[], object]) -> int:
    """0 when the work is done.

    A ValueError is a message for a person: on stderr, status 2, no traceback. So is an error of Spark that no stage
    foresaw, with status 1: a file, a disk or the JVM is its cause, which its last line says. Anything else is our
    mistake or the machine's, and keeps its traceback.
    """
    try:
        work()
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        return _missing_package(stage, error)
    except KeyboardInterrupt:
        print(f"{PROGRAM} {stage}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        # Subclasses of ValueError, such as UnicodeDecodeError, come from other people's code.
        if type(error) is ValueError:
            print(f"{PROGRAM} {stage}: error: {error}", file=sys.stderr)
            return 2
        if os.environ.get(DEBUG) or not _show_spark_error(stage, error):
            raise
        return 1
    return 0


def _show_spark_error(stage: str, error: Exception) -> bool:
    """Print what an error of Spark says; False for any other error.

    Java's stack, of a hundred lines, is left out. A query that Spark refused is our mistake: our part of the stack says
    where.
    """
    if "pyspark" not in sys.modules:
        return False
    from jobs.spark.spark_errors import explains_itself, is_spark_error, reason

    if not is_spark_error(error):
        return False
    where = f"; {DEBUG}=1 shows where"
    if explains_itself(error):
        where = ""
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if not _OTHERS.search(frame.filename)]
        print("Traceback (most recent call last):", *traceback.format_list(ours), sep="\n", end="", file=sys.stderr)
    print(f"{PROGRAM} {stage}: error: {reason(error)}{where}", file=sys.stderr)
    return True


def _help() -> str:
    width = max(map(len, STAGES))
    lines = [f"  {name:<{width}}  {stage.summary}" for name, stage in STAGES.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} STAGE [--flags]",
            "",
            "Score each document of a corpus by how much a language model's retrieval heads help predict it.",
            "",
            "stages, in the order in which they run:",
            *lines,
            "",
            f"{PROGRAM} STAGE --help shows a stage's flags. Start with: {PROGRAM} demo",
        ]
    )


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return "(not installed: run from its source)"


def _missing_package(stage: str, error: ModuleNotFoundError) -> int:
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        raise error
    print(
        f"{PROGRAM} {stage}: error: the package {package} is not installed here; "
        f"pip install '{PROGRAM}[{EXTRAS[package]}]', or run where the cluster provides it",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
