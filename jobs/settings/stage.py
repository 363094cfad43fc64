"""Settings: one typed model a stage, from a YAML file, the environment and flags, in rising priority."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from decimal import Decimal
from types import ModuleType
from typing import Any, TypeVar, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobs.settings.arguments import EnvSource, with_negative_numbers
from jobs.settings.messages import VALUE_WIDTH, explain_flags, explain_value, setting_names
from jobs.settings.messages import nearest as nearest
from jobs.terminal.display import printable

# In the order in which they run. Stage a-b is the module jobs.a_b, but for those below; its settings are ABSettings.
STAGES = {
    "ingest": "read documents from files or a table into the corpus table",
    "probes": "make the look-up probes that show which heads retrieve",
    "detect-heads": "find a model's retrieval heads with the probes, and write them as a mask",
    "estimate": "say how long scoring would take and what it would cost, before it is spent",
    "score": "score every document of a corpus, or of any Delta table, under a mask",
    "status": "show what the scoring runs did or are doing, how fast, and what failed",
    "dedup": "find documents that are copies or near-copies of each other, as clusters",
    "rank": "rank the scored documents within their domains",
    "select": "select the best documents of each domain, beside your dedup and quality tables",
    "mix": "mix a selection with the corpus that it is of, as an index",
    "views": "create the views current_scores, domain_summary, score_errors, selected_documents in a schema",
    "export": "write a training mix with its texts as shuffled shards, with a manifest and a data card",
    "sql": "run Spark SQL over the namespace's tables by their bare names",
    "demo": "run everything on a small real corpus and model, and show what came out",
}
# A file named select.py would hide the standard library's module of that name from whatever runs beside it.
_MODULES = {"select": "selection"}
ENV_PREFIX = "ATTENTION_INFLUENCE_"
# What stands for no value in a flag; the usual None would take a domain called None from its documents.
NO_VALUE = "\0"

_yaml_values: ContextVar[dict[str, Any]] = ContextVar("yaml_values", default={})  # noqa: B039 - never changed
Settings = TypeVar("Settings", bound="StageSettings")


class StageSettings(BaseSettings):
    """What every stage knows. A stage's own model adds its fields, each with a description for --help."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_prefix_target="all",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        cli_hide_none_type=True,
        cli_implicit_flags="toggle",
        cli_kebab_case=True,
        cli_parse_none_str=NO_VALUE,
    )

    namespace: str = Field(
        "./attention_influence_data",
        description="where the tables live: a schema (catalog.schema or schema), or a folder or URI (with a /)",
    )
    config: str | None = Field(
        None, description="YAML file: keys are flags with _ for -, for all stages or under a stage's name"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _whole_with_exponent(cls, value: Any, info: ValidationInfo) -> Any:
        """1e6 for 1000000, where a whole number is wanted: it is one."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if int not in (annotation, *get_args(annotation)) or not isinstance(value, str):
            return value
        # So few digits that no number grows without end.
        if not re.fullmatch(r"[+-]?\d{1,20}(\.\d{1,20})?[eE]\+?\d{1,2}", value, re.ASCII):
            return value
        number = Decimal(value)
        return f"{number:f}".partition(".")[0] if number == int(number) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, YAML file; flags come before all of them."""
        return init_settings, EnvSource(settings_cls), InitSettingsSource(settings_cls, _yaml_values.get())


def load_settings(cls: type[Settings], argv: Sequence[str] | None, prog: str) -> Settings:
    """The stage's settings from its YAML file, the environment and flags, in rising priority.

    argv None: the program's own arguments. Prints help and exits where it is asked for. Raises ValueError, a
    line for each mistake, for unknown names and for values that are not allowed.
    """
    arguments = with_negative_numbers(cls, list(sys.argv[1:] if argv is None else argv))
    config = None if {"-h", "--help"} & set(arguments) else _config_path(arguments)
    token = _yaml_values.set(read_yaml(config, cls) if config else {})
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            cls, cli_prog_name=prog, cli_parse_args=arguments, formatter_class=_HelpFormatter
        )
        build: Any = cls  # Its underscored argument is not in the signature that mypy's pydantic sees.
        settings: Settings = build(_cli_settings_source=source)
        return settings
    except ValidationError as error:
        lines = [explain_value(cls, problem, arguments, config) for problem in error.errors()]
        raise ValueError("\n".join(lines) + f"; see {prog} --help") from None
    except SettingsError as error:
        raise ValueError(f"{explain_flags(cls, str(error))}; see {prog} --help") from None
    finally:
        _yaml_values.reset(token)


def read_yaml(path: str, cls: type[StageSettings]) -> dict[str, Any]:
    """This stage's values from a pipeline file: the shared ones that it knows, then those of its own section.

    Raises ValueError for a file that cannot be read, and for any key that no stage, or this section's, knows.
    """
    content, guessed = _load_yaml(path)
    own = {name: settings_class(name) for name in STAGES}
    known = {key for stage in own.values() for key in setting_names(stage)} - {"config"}
    shared, section = {}, {}
    for key, value in _by_name(content, known | {name.replace("-", "_") for name in STAGES}, path).items():
        stage = key.replace("_", "-")
        if stage not in STAGES:
            shared[key] = value
            continue
        where = f"{path}, section {key}"
        if not isinstance(value, dict | None):
            raise ValueError(f"{where} is {value!r}, but must be a mapping of that stage's settings")
        values = _by_name(value or {}, setting_names(own[stage]) - {"config"}, where)
        if stage == stage_name(cls):
            section = values
    merged = {key: value for key, value in {**shared, **section}.items() if value is not None}
    found = {key: value for key, value in merged.items() if key in setting_names(cls)}
    _say_what_was_read_as_text(found, guessed, path)
    return found


def stage_name(cls: type[StageSettings]) -> str:
    """The stage whose settings the class holds: detect-heads for DetectHeadsSettings."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__.removesuffix("Settings")).lower()


def stage_module(stage: str) -> ModuleType:
    """The module that runs the stage: jobs.detect_heads for detect-heads."""
    return importlib.import_module(f"jobs.{_MODULES.get(stage, stage.replace('-', '_'))}")


def settings_class(stage: str) -> type[StageSettings]:
    """The class that holds the stage's settings."""
    found: type[StageSettings] = getattr(
        stage_module(stage), "".join(word.capitalize() for word in stage.split("-")) + "Settings"
    )
    return found


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """The stage's own flags first, with their defaults where there are any."""

    def add_usage(self, usage: Any, actions: Iterable[argparse.Action], *rest: Any, **named: Any) -> None:
        super().add_usage(usage, self._own_first(actions), *rest, **named)

    def add_arguments(self, actions: Iterable[argparse.Action]) -> None:
        super().add_arguments(self._own_first(actions))

    def _own_first(self, actions: Iterable[argparse.Action]) -> list[argparse.Action]:
        shared = {f"--{name}" for name in StageSettings.model_fields}
        return sorted(actions, key=lambda action: bool(shared & set(action.option_strings)))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(inspect.cleandoc(text), width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return re.sub(rf" \(default: ({NO_VALUE}|None|False)\)$", "", action.help or "")


def _config_path(arguments: list[str]) -> str | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        found = parser.parse_known_args(arguments)[0].config
    except argparse.ArgumentError:
        return None  # The stage's own parser says what is wrong.
    return found or os.environ.get(f"{ENV_PREFIX}CONFIG") or None


def _load_yaml(path: str) -> tuple[dict[str, Any], set[str]]:
    from jobs.settings.yaml_file import load_mapping

    try:
        return load_mapping(path)
    except OSError as error:
        raise ValueError(f"--config {path} cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"--config {path} {error}") from None


def _by_name(values: dict[str, Any], known: set[str], where: str) -> dict[str, Any]:
    """The values with _ for - in their keys; ValueError for a key that is not known, or there with - and with _."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ValueError(f"{where}: unknown key {str(key)!r}; {nearest(name, known)}")
        if name in named:
            raise ValueError(f"{where}: {name} is there twice, with - and with _; leave one out")
        named[name] = value
    return named


def _say_what_was_read_as_text(values: dict[str, Any], guessed: set[str], path: str) -> None:
    """On stderr: other programs would read these keys, such as no for Norwegian, otherwise."""
    keys = sorted({key for value in values.values() if isinstance(value, dict) for key in value if key in guessed})
    if keys:
        names = printable(", ".join(map(repr, map(str, keys))), VALUE_WIDTH)
        print(f"{path}: read as text, as written: {names}; YAML 1.1 would not, unless you quote them", file=sys.stderr)
