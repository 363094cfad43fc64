"""Settings: one typed model a stage, from a YAML file, the environment and flags, in rising priority."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobs.display import printable

# Of names in messages: they may come from data.
NAME_WIDTH, MAX_NAMES = 60, 30
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
        return init_settings, env_settings, InitSettingsSource(settings_cls, _yaml_values.get())


def load_settings(cls: type[Settings], argv: Sequence[str] | None, prog: str) -> Settings:
    """The stage's settings from its YAML file, the environment and flags, in rising priority.

    argv None: the program's own arguments. Prints help and exits where it is asked for. Raises ValueError, a
    line for each mistake, for unknown names and for values that are not allowed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
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
        lines = [_explain(cls, problem, arguments, config) for problem in error.errors()]
        raise ValueError("\n".join(lines) + f"; see {prog} --help") from None
    except SettingsError as error:
        raise ValueError(f"{_explain_flags(cls, str(error))}; see {prog} --help") from None
    finally:
        _yaml_values.reset(token)


def read_yaml(path: str, cls: type[StageSettings]) -> dict[str, Any]:
    """This stage's values from a pipeline file: the shared ones that it knows, then those of its own section.

    Raises ValueError for a file that cannot be read, and for any key that no stage, or this section's, knows.
    """
    content = _load_yaml(path)
    own = {name: settings_class(name) for name in STAGES}
    known = {key for stage in own.values() for key in setting_names(stage)} - {"config"}
    shared, sections = {}, {}
    for key, value in content.items():
        if (section := key.replace("_", "-")) in STAGES and (isinstance(value, dict) or value is None):
            sections[section] = value or {}
            _require_known(value or {}, setting_names(own[section]) - {"config"}, f"{path}, section {key}")
        else:
            shared[key] = value
    _require_known(shared, known | {name.replace("-", "_") for name in STAGES}, path)
    merged = {**shared, **sections.get(stage_name(cls), {})}
    values = {key.replace("-", "_"): value for key, value in merged.items() if value is not None}
    return {key: value for key, value in values.items() if key in setting_names(cls)}


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


def setting_names(cls: type[StageSettings]) -> set[str]:
    """The names of its settings, as a YAML file writes them."""
    return {field.alias or name for name, field in cls.model_fields.items()}


def nearest(name: str, known: Iterable[str]) -> str:
    """Words that name the nearest of the known names, or all of them where none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {printable(close[0], NAME_WIDTH)}?"
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return f"known are {', '.join(printable(known, NAME_WIDTH) for known in names[:MAX_NAMES])}{more}"


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


def _load_yaml(path: str) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"--config {path} is no YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"--config {path} must be a mapping of names to values, such as  namespace: ./data")
    return content


def _require_known(values: dict[str, Any], known: set[str], where: str) -> None:
    for key in values:
        if str(key).replace("-", "_") not in known:
            raise ValueError(f"{where}: unknown key {str(key)!r}; {nearest(str(key).replace('-', '_'), known)}")


def _explain(cls: type[StageSettings], problem: Any, arguments: list[str], config: str | None) -> str:
    """One of pydantic's errors in our words: the flag, the value, what is allowed."""
    message, context = problem["msg"], problem.get("ctx", {})
    if not problem["loc"]:
        return str(context.get("error", message))
    name = str(problem["loc"][0])
    flag = _flag(cls, name)
    if problem["type"] == "missing":
        return f"{flag} is needed"
    allowed = {
        "literal_error": f"must be one of {str(context.get('expected', '')).replace(chr(39), '')}",
        "int_parsing": "must be a whole number",
        "float_parsing": "must be a number",
        "value_error": str(context.get("error", "")),
    }.get(problem["type"], message[:1].lower() + message[1:].replace("input should be", "must be"))
    allowed = re.sub(r"^input should be", "must be", allowed)
    if len(problem["loc"]) > 1 and "=" in str(problem["input"]):
        allowed += f"; {_how_to_name(flag)}"
    given_as_flag = any(word == flag or word.startswith(f"{flag}=") for word in arguments)
    variable = f"{ENV_PREFIX}{name.upper()}"
    where = "" if given_as_flag or flag == name.upper() else f" ({variable})" if variable in os.environ else ""
    if config and not given_as_flag and not where:
        where = f" (in {config})"
    return f"{flag} is {problem['input']!r}{where}, but {allowed}"


def _flag(cls: type[StageSettings], name: str) -> str:
    for field_name, field in cls.model_fields.items():
        if name in (field_name, field.alias):
            if any(type(mark).__name__ == "_CliPositionalArg" for mark in field.metadata):
                return name.upper()
            name = field.alias or field_name
    return f"--{name.replace('_', '-')}"


def _explain_flags(cls: type[StageSettings], message: str) -> str:
    message = message.removeprefix("error parsing CLI: ")
    if (needed := message.removeprefix("the following arguments are required: ")) != message:
        return f"{needed} is needed"
    if unreadable := re.match(r"Parsing error encountered for (\w+): ", message):
        flag = _flag(cls, unreadable.group(1))
        return f"{flag} takes NAME=VALUE; {_how_to_name(flag)}"
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown == message:
        return message
    first = unknown.split()[0].split("=")[0]
    flags = {_flag(cls, name) for name in setting_names(cls)}
    if first.startswith("-"):
        return f"unknown flag {first}; {nearest(first, flags)}"
    return f"{first!r} belongs to no flag"


def _how_to_name(flag: str) -> str:
    """What to write for a name with a character that ends a name in NAME=VALUE."""
    return (
        f"""a name with = , " [ or {{ in it is written as JSON, {flag} '{{"a,b": 0.3}}', or in a YAML file (--config)"""
    )
