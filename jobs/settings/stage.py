"""Settings: one typed model per stage, from a YAML file, the environment and flags, in rising priority."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from decimal import Decimal
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

PROGRAM = "attention-influence"
ENV_PREFIX = "ATTENTION_INFLUENCE_"
# Stands for no value in a flag. By default that is the word None, which could then not be the name of a domain.
NO_VALUE = "\0"

_yaml_values: ContextVar[dict[str, Any]] = ContextVar("yaml_values", default={})  # noqa: B039 - never changed
Settings = TypeVar("Settings", bound="StageSettings")
# The name of each stage, and a function that returns the class of its settings.
Sections = Mapping[str, Callable[[], "type[StageSettings]"]]


class StageSettings(BaseSettings):
    """The settings that every stage has. A stage's own model adds fields, each with a description for --help."""

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
        None,
        description="YAML file of settings: flags as keys, with _ for -, for all stages or under a stage's name",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _whole_with_exponent(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept 1e6 for 1000000 where a whole number is wanted."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if int not in (annotation, *get_args(annotation)) or not isinstance(value, str):
            return value
        # Few digits: 1e999999999 would fill the memory.
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
        """Arguments of the class, environment and YAML file, in falling priority; flags override all of them."""
        return init_settings, EnvSource(settings_cls), InitSettingsSource(settings_cls, _yaml_values.get())


def load_settings(
    cls: type[Settings], argv: Sequence[str] | None, stage: str, sections: Sections | None = None
) -> Settings:
    """The stage's settings from its YAML file, the environment and flags, in rising priority.

    argv None: the program's own arguments. sections: the stages whose sections a YAML file may have, this one's among
    them; by default this one's alone. Prints help and exits where it is asked for. Raises ValueError, with one line per
    mistake, for unknown names and for values that are not allowed.
    """
    prog = f"{PROGRAM} {stage}"
    arguments = with_negative_numbers(cls, list(sys.argv[1:] if argv is None else argv))
    config = None if {"-h", "--help"} & set(arguments) else _config_path(arguments)
    token = _yaml_values.set(_read_yaml(config, cls, stage, sections=sections or {}) if config else {})
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            cls, cli_prog_name=prog, cli_parse_args=arguments, formatter_class=_HelpFormatter
        )
        build: Any = cls  # Its underscored argument is not in the signature that mypy's pydantic sees.
        settings: Settings = build(_cli_settings_source=source)
        return settings
    except ValidationError as error:
        lines = [explain_value(cls, problem, arguments=arguments, config=config) for problem in error.errors()]
        raise ValueError("\n".join(lines) + f"; see {prog} --help") from None
    except SettingsError as error:
        raise ValueError(f"{explain_flags(cls, str(error))}; see {prog} --help") from None
    finally:
        _yaml_values.reset(token)


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
        path = parser.parse_known_args(arguments)[0].config
    except argparse.ArgumentError:
        return None  # The stage's own parser says what is wrong.
    return path or os.environ.get(f"{ENV_PREFIX}CONFIG") or None


def _read_yaml(path: str, cls: type[StageSettings], stage: str, *, sections: Sections) -> dict[str, Any]:
    """This stage's values from a pipeline's file: the shared ones that it knows, overridden by its own section.

    Raises ValueError for a file that cannot be read, for a shared key that no stage knows, and for a key of this
    stage's section that it does not know. Other sections are read, and checked, by their own stages.
    """
    content, guessed = _load_yaml(path)
    own = setting_names(cls) - {"config"}
    names = {name.replace("-", "_"): name for name in {stage, *sections}}
    known = own | names.keys()
    if not {key.replace("-", "_") for key in content} <= known:
        # A setting of other stages, or a mistake: to tell, the settings of all stages are imported.
        known |= {key for load in sections.values() for key in setting_names(load())} - {"config"}
    values = _by_name(content, known, path)
    section: dict[str, Any] = {}
    for key in names.keys() & values.keys():
        section_values, where = values.pop(key), f"{path}, section {key}"
        if not isinstance(section_values, dict | None):
            raise ValueError(f"{where} is {section_values!r}, but must be a mapping of that stage's settings")
        if names[key] == stage:
            section = _by_name(section_values or {}, own, where)
    merged = {key: value for key, value in {**values, **section}.items() if value is not None and key in own}
    _say_what_was_read_as_text(merged, guessed, path)
    return merged


def _load_yaml(path: str) -> tuple[dict[str, Any], set[str]]:
    from jobs.settings.yaml_file import load_mapping

    try:
        return load_mapping(path)
    except OSError as error:
        raise ValueError(f"--config {path} cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"--config {path} {error}") from None


def _by_name(values: dict[str, Any], known: set[str], where: str) -> dict[str, Any]:
    """The values with _ for - in their keys; ValueError for an unknown key, and for one that is there in both forms."""
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
    """Name on stderr the keys, such as no for Norwegian, that other programs would not read as text."""
    keys = sorted({key for value in values.values() if isinstance(value, dict) for key in value if key in guessed})
    if keys:
        names = printable(", ".join(map(repr, map(str, keys))), VALUE_WIDTH)
        print(f"{path}: read as text, as written: {names}; YAML 1.1 would not, unless you quote them", file=sys.stderr)
