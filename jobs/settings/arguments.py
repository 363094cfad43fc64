"""What argparse and pydantic-settings get wrong in flags and variables."""

from __future__ import annotations

import json
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource

from jobs.settings.messages import flag_of


def with_negative_numbers(cls: type[BaseSettings], arguments: list[str]) -> list[str]:
    """The arguments with --flag -1e-3 as --flag=-1e-3: argparse takes -1e-3, and -inf, for a flag."""
    flags = {flag_of(cls, name) for name, field in cls.model_fields.items() if field.annotation is not bool}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    joined: list[str] = []
    for word in arguments[:end]:
        if joined and joined[-1] in flags and word.startswith("-") and _is_number(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined + arguments[end:]


class EnvSource(EnvSettingsSource):
    """The environment as settings; JSON with a name twice is an error."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        """The variable's JSON; ValueError where it is none, or has a name twice."""
        return json.loads(value, object_pairs_hook=_once)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(values := dict(pairs)) < len(pairs):
        raise ValueError("a name is there twice")
    return values
