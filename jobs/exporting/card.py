"""The data card of an export, README.md: for people who find the folder later."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jobs.terminal.display import printable

TEMPLATE = "card.md.jinja"
# More rows than these are only in the manifest.
ROWS_SHOWN = 200
CELL_WIDTH = 120
# Characters that are markup inside a line, or mathematics or mentions to some readers, or make an address a link.
_MARKUP = re.compile(r"[\\`*_\[\]|~$#@!]|:(?=/)|(?<=www)\.", re.IGNORECASE)


def data_card(manifest: Mapping[str, Any], scorer: Mapping[str, Any] | None) -> str:
    """The card in Markdown, with every value that came from a table or a setting escaped.

    scorer: its row of the scorers table, if there is one.
    """
    from jinja2 import Environment, StrictUndefined

    # finalize is called on every value of the template, so that no escape can be forgotten.
    environment = Environment(
        finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(files("jobs").joinpath("exporting", TEMPLATE).read_text(encoding="utf-8"))
    shards = manifest["shards"]
    # What the names of this run's shards end in: a late shard of an interrupted export has another ending.
    endings = {shard["file"].split("-", 2)[2] for shard in shards}
    # Some platforms add numbers at the end. commonprefix compares characters, not parts of a path, as is wanted here.
    shared = os.path.commonprefix(list(endings)) + ("*" if len(endings) > 1 else "")  # noqa: RUF071
    selection, mix_settings = manifest["selection"], _pairs(manifest["mixture"]["settings"])
    return template.render(
        manifest=manifest,
        parts=_largest(manifest["parts"], "tokens"),
        rules=_largest(selection["domains"], "num_documents") if selection else [],
        scorer=scorer,
        selection_settings=_pairs(selection["settings"]) if selection else [],
        mix_settings=mix_settings,
        baseline=dict(mix_settings).get("baseline"),
        pattern=Verbatim(f"data/part-*-{shared}"),
        rows_shown=ROWS_SHOWN,
    )


class Verbatim(str):
    """Text that goes into the card without escapes."""

    __slots__ = ()


def shown(value: object) -> str:
    """A value of the card as Markdown: numbers with commas, text with everything escaped that could be markup."""
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return _MARKUP.sub(r"\\\g<0>", html.escape(printable(str(value), CELL_WIDTH), quote=False))


def _largest(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    kept = sorted(rows, key=lambda row: -row[column])[:ROWS_SHOWN]
    return [row for row in rows if row in kept]


def _pairs(settings: Any) -> list[tuple[str, str]]:
    if not isinstance(settings, dict):
        return [("settings", str(settings))]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in settings.items()
    ]
