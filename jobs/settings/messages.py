"""What is wrong with a setting: the flag, the value, where it is from, what is allowed."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import Any

from pydantic_settings import BaseSettings

from jobs.terminal.display import printable

# Limits on names and values in messages: they may come from data.
NAME_WIDTH, MAX_NAMES, VALUE_WIDTH = 60, 30, 200


def setting_names(cls: type[BaseSettings]) -> set[str]:
    """The names of its settings, as a YAML file writes them."""
    return {field.alias or name for name, field in cls.model_fields.items()}


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest of the known names or, where none is near, all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {printable(close[0], NAME_WIDTH)}?"
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return f"known are {', '.join(printable(known, NAME_WIDTH) for known in names[:MAX_NAMES])}{more}"


def flag_of(cls: type[BaseSettings], name: str) -> str:
    """What a person types for the setting: --doc-id-column, or QUERY for one that has no flag."""
    for field_name, field in cls.model_fields.items():
        if name in (field_name, field.alias):
            if any(type(mark).__name__ == "_CliPositionalArg" for mark in field.metadata):
                return name.upper()
            name = field.alias or field_name
    return f"--{name.replace('_', '-')}"


def explain_value(cls: type[BaseSettings], problem: Any, *, arguments: list[str], config: str | None) -> str:
    """The message for one of pydantic's errors, about one value or the settings as a whole."""
    message, context = problem["msg"], problem.get("ctx", {})
    if not problem["loc"]:
        return str(context.get("error", message))
    name, *inside = map(str, problem["loc"])
    flag = flag_of(cls, name)
    if problem["type"] == "missing":
        return f"{flag} is needed"
    allowed = {
        "literal_error": f"must be one of {str(context.get('expected', '')).replace(chr(39), '')}",
        "int_parsing": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "bool_parsing": "must be true or false",
        "dict_type": "must be a mapping of names to values",
        "value_error": str(context.get("error", "")),
    }.get(problem["type"], message[:1].lower() + message[1:].replace("input should be", "must be"))
    allowed = re.sub(r"^input should be", "must be", allowed)
    if inside and "=" in str(problem["input"]):
        allowed += f"; {_how_to_name(flag)}"
    given = "null" if problem["input"] is None else repr(problem["input"])
    value = printable("".join(f"{key}=" for key in inside) + given, VALUE_WIDTH)
    return f"{flag} is {value}{_origin(cls, name, flag, arguments=arguments, config=config)}, but {allowed}"


def explain_flags(cls: type[BaseSettings], message: str) -> str:
    """The message for a command line or variable that pydantic-settings cannot parse."""
    message = message.removeprefix("error parsing CLI: ")
    if (needed := message.removeprefix("the following arguments are required: ")) != message:
        return f"{needed} is needed"
    if unreadable := re.match(r"Parsing error encountered for (\w+): ", message):
        flag = flag_of(cls, unreadable.group(1))
        return f"{flag} takes NAME=VALUE; {_how_to_name(flag)}"
    if variable := re.match(r'error parsing value for field "(\w+)" from source "Env', message):
        return (
            f"{_variable(cls, variable.group(1))} must be a JSON object with each name once, such as "
            """'{"code": 0.3}'"""
        )
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown == message:
        return message
    first = unknown.split()[0].split("=")[0]
    flags = {flag_of(cls, name) for name in setting_names(cls)}
    if first.startswith("-"):
        return f"unknown flag {first}; {nearest(first, flags)}"
    return f"{first!r} belongs to no flag"


def _origin(cls: type[BaseSettings], name: str, flag: str, *, arguments: list[str], config: str | None) -> str:
    if any(word == flag or word.startswith(f"{flag}=") for word in arguments) or flag == name.upper():
        return ""
    variable = _variable(cls, name)
    if variable in os.environ:
        return f" ({variable})"
    return f" (in {config})" if config else ""


def _variable(cls: type[BaseSettings], name: str) -> str:
    return f"{cls.model_config['env_prefix']}{name}".upper()


def _how_to_name(flag: str) -> str:
    """What to write for a name with a character that ends a name in NAME=VALUE."""
    return (
        f"""a name with = , " [ or {{ in it is written as JSON, {flag} '{{"a,b": 0.3}}', or in a YAML file (--config)"""
    )
