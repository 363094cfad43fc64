"""Stage run: the stages that a pipeline's file describes, one after the other in one session."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from jobs.cli import main
from jobs.settings.messages import nearest
from jobs.settings.stage import StageSettings
from jobs.settings.yaml_file import load_mapping
from jobs.stages import STAGES
from jobs.terminal.display import plain_table
from jobs.terminal.progress import duration

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# In the order in which they run.
PIPELINE = ("ingest", "probes", "detect-heads", "score", "dedup", "rank", "select", "mix", "export")
# What a stage returns, which those after it take unless they name another.
PASSED_ON = ("mask_id", "scorer_id", "selection_id", "mixture_id")


class RunSettings(StageSettings):
    """Run the stages that have a section in the file of --config, in their order, in one Spark session.

    A stage that has nothing left to do is over in seconds, and one that was stopped goes on, as when it is run alone.
    The first failure ends the run; --from that stage goes on with it. A section may be empty: "rank:" runs rank.
    """

    first: str | None = Field(None, alias="from", description="the first stage to run; those before it are left out")
    last: str | None = Field(None, alias="to", description="the last stage to run")
    dry_run: bool = Field(False, description="check all settings, and say what each stage would do; write nothing")
    json_output: bool = Field(
        False, alias="json", description="print one JSON object with the stages' results at the end"
    )

    @model_validator(mode="after")
    def _known_stages(self) -> RunSettings:
        if self.config is None:
            raise ValueError("--config is missing: the file with a section for each stage to run")
        for flag, name in (("--from", self.first), ("--to", self.last)):
            if name is not None and name not in PIPELINE:
                raise ValueError(f"{flag} is {name!r}, but must be a stage of a pipeline; {nearest(name, PIPELINE)}")
        return self


@dataclass
class Step:
    """A stage of the run: its settings and, once it is over, how it ended and after how many seconds.

    title: what to call it as it begins, if not by its name. adapt: makes its settings, given these and the results of
    the stages before it by their names.
    """

    name: str
    settings: StageSettings
    title: str = ""
    adapt: Callable[[Any, dict[str, Any]], StageSettings] | None = None
    state: str = "not run"
    seconds: float = 0.0
    result: Any = None


def run(settings: RunSettings, spark: SparkSession) -> dict[str, Any]:
    """Run the stages; print a line as each begins and ends, and a table at the end; returns their results by name.

    Raises ValueError, before any work, for settings that are wrong in any section, and for a file without a stage.
    """
    steps = find_steps(settings)
    with redirect_stdout(sys.stderr) if settings.json_output else nullcontext():
        results = run_steps(steps, spark, dry_run=settings.dry_run)
    if settings.json_output:
        print(json.dumps(results, default=str))
    return results


def run_steps(steps: list[Step], spark: SparkSession, *, dry_run: bool = False, go_on: str = "") -> dict[str, Any]:
    """Run the stages in turn, up to the first that fails; a table at the end says how each ended.

    go_on: how to go on after a failure, if not with --from. Returns the results by the stages' names.
    """
    try:
        for number, step in enumerate(steps, start=1):
            passed_on = {
                key: step_before.result[key]
                for step_before in steps[: number - 1]
                for key in PASSED_ON
                if isinstance(step_before.result, dict) and key in step_before.result
            }
            if step.adapt:
                step.settings = step.adapt(step.settings, {other.name: other.result for other in steps[: number - 1]})
            print(f"\n[{number}/{len(steps)}] {step.title or step.name}", flush=True)
            how = go_on or f"go on with --from {step.name} once that is mended"
            run_step(step, spark, passed_on=passed_on, dry_run=dry_run, is_first=number == 1, go_on=how)
            print(f"[{number}/{len(steps)}] {step.name}: {step.state} in {duration(step.seconds)}", flush=True)
    finally:
        rows = [[step.name, step.state, duration(step.seconds) if step.seconds else ""] for step in steps]
        print("\n" + plain_table(["stage", "state", "time"], rows), flush=True)
    return {step.name: step.result for step in steps}


def find_steps(settings: RunSettings) -> list[Step]:
    """The stages with a section in the file, from the first to the last one that was asked for, with their settings."""
    content, _ = load_mapping(settings.config or "")
    sections = {key.replace("_", "-") for key in content}
    first = PIPELINE.index(settings.first) if settings.first else 0
    last = PIPELINE.index(settings.last) if settings.last else len(PIPELINE) - 1
    names = [name for name in PIPELINE[first : last + 1] if name in sections]
    if not names:
        between = f" from {PIPELINE[first]} to {PIPELINE[last]}" if settings.first or settings.last else ""
        raise ValueError(
            f"--config {settings.config} has no section of a stage{between}; write one for each stage to run, such as "
            "rank: (it may be empty)"
        )
    argv = ["--config", settings.config or ""]
    # A flag of the run is one of each stage. Without it, a section may have a namespace of its own.
    if settings.namespace != STAGES["run"].load_settings(argv).namespace:
        argv += ["--namespace", settings.namespace]
    steps, wrong = [], []
    for name in names:
        try:
            steps.append(Step(name, STAGES[name].load_settings(argv)))
        except ValueError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise ValueError("\n".join(wrong))
    return steps


def run_step(
    step: Step, spark: SparkSession, *, passed_on: dict[str, Any], dry_run: bool, is_first: bool, go_on: str
) -> None:
    """Run one stage, or say what it would do; an error names the stage and how to go on."""
    fields = type(step.settings).model_fields
    missing = {key: value for key, value in passed_on.items() if key in fields and getattr(step.settings, key) is None}
    if getattr(step.settings, "heads_file", None) is not None:
        missing.pop("mask_id", None)
    settings = step.settings.model_copy(update=missing)
    begin = time.monotonic()
    try:
        if not dry_run:
            step.result = STAGES[step.name].function()(settings, spark)
            step.state = "done"
        else:
            say_what_it_would_do(step.name, settings, spark, is_first=is_first)
            step.state = "would run"
    except BaseException as error:
        step.state = "failed"
        # Subclasses of ValueError, such as UnicodeDecodeError, come from other people's code.
        if type(error) is ValueError:
            raise ValueError(f"{step.name}: {error}\n({go_on})") from error
        print(f"{step.name} failed; {go_on}", file=sys.stderr)
        raise
    finally:
        step.seconds = time.monotonic() - begin


def say_what_it_would_do(name: str, settings: StageSettings, spark: SparkSession, *, is_first: bool) -> None:
    """Print the stage's settings and, where it can tell, what it would do."""
    chosen = settings.model_dump(exclude={"config"}, exclude_unset=True)
    print(f"would run {name} with " + ", ".join(f"{key} {value}" for key, value in chosen.items()))
    if "dry_run" in type(settings).model_fields:
        try:
            STAGES[name].function()(settings.model_copy(update={"dry_run": True}), spark)
        except ValueError as error:
            if is_first:
                raise
            # What the stages before it have not written yet may be missing.
            print(f"what it would do cannot be told yet: {error}")


if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
