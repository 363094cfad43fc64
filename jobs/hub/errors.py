"""Errors of a hub's clients, here or inside Spark, in one line that says what to do and never shows a token."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.terminal.display import printable

if TYPE_CHECKING:
    from jobs.hub.address import HubInput

_TOKEN = "set HF_TOKEN in the environment to a token that opens it"
# The first pattern that matches the error or one of its causes counts.
_REASONS = {
    r"GatedRepo|gated dataset": f"is gated: ask for access on its page, and {_TOKEN}",
    r"RevisionNotFound|Revision '.*' doesn't exist": "has no revision {revision}; name a branch, a tag or a commit",
    r"429 (Client Error|Too Many)|Too ?Many ?Requests": (
        "cannot be read now: the hub has had too many requests (429); wait some minutes, or set HF_TOKEN in the "
        "environment, which raises the limit"
    ),
    r"LocalEntryNotFound|OfflineModeIsEnabled": (
        "at revision {revision} is not in the hub's cache on this machine, and HF_HUB_OFFLINE is set; download it "
        "where there is a hub: hf download --repo-type dataset {repo_id}"
    ),
    r"412 (Client Error|Precondition)": "got another commit since this began: what is there now was not touched",
    r"RepositoryNotFound|DatasetNotFound": f"is not there, or is private; check its name, or {_TOKEN}",
    r"\b40[13] (Client Error|Unauthorized|Forbidden)|Invalid user(name| token)": (
        f"may not be used so, with this token or without one: {_TOKEN}"
    ),
    r"Connect(ion)?(Error|Timeout)|ReadTimeout|RemoteProtocolError|MaxRetryError|Temporary failure in name": (
        "cannot be read: the hub cannot be reached; with HF_HUB_OFFLINE=1, what its cache holds is read"
    ),
    r"\b5\d\d (Server Error|Internal|Bad Gateway|Service)": "cannot be read now: the hub fails ({reason}); try later",
    r"DataFilesNotFound|EmptyDataset|Couldn't find any data file": (
        "holds no files that are known to be data ({reason}); name one by hf://datasets/{repo_id}/PATH"
    ),
    r"Dataset scripts are no longer supported": (
        "is made by a script of its own, which is not run; its files as Parquet may be at "
        "hf://datasets/{repo_id}@refs/convert/parquet"
    ),
}
_SUBSET = re.compile(r"BuilderConfig '?(?P<name>.*?)'? not found\. Available: (?P<known>\[.*?\])", re.DOTALL)
_WHICH = re.compile(r"pick one among the available configs: (?P<known>\[.*?\])", re.DOTALL)


@contextmanager
def hub_errors(hub_input: HubInput, subset: str | None = None) -> Iterator[None]:
    """Turn what the clients or Spark raise inside the block into a ValueError of one line.

    A client has many errors of several packages, and no base of them all.
    """
    try:
        yield
    except ModuleNotFoundError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(f"dataset {hub_input.repo_id} "):
            raise  # It is such a line already.
        # Without the cause: a client's error about a bad header shows the whole header, token included.
        raise ValueError(explain(error, hub_input, subset)) from None


def explain(error: BaseException, hub_input: HubInput, subset: str | None = None) -> str:
    """The line for an error of a client, or of Spark that quotes one."""
    text = _chain(error)
    named = f"dataset {hub_input.repo_id}"
    if match := _SUBSET.search(text) or _WHICH.search(text):
        return explain_subset(hub_input, subset, ast.literal_eval(match["known"]))
    values = {"repo_id": hub_input.repo_id, "revision": hub_input.revision or "main", "reason": _short(error)}
    for pattern, message in _REASONS.items():
        if re.search(pattern, text):
            return f"{named} {message.format(**values)}"
    return f"{named} cannot be read: {values['reason']}"


def explain_subset(hub_input: HubInput, subset: str | None, known: list[str]) -> str:
    """The line for a subset that the dataset does not have, or for none named although it has several."""
    shown = ", ".join(printable(str(name), 60) for name in known[:30])
    shown += f" and {len(known) - 30:,} more" if len(known) > 30 else ""
    if subset is None:
        return f"dataset {hub_input.repo_id} has several subsets; name one with --subset: {shown}"
    return f"dataset {hub_input.repo_id} has no subset {printable(subset, 60)!r}; it has: {shown}"


def without_token(text: str) -> str:
    """The text with stars in place of the environment's token."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text


def _chain(error: BaseException | None) -> str:
    lines: list[str] = []
    while error is not None and len(lines) < 10:
        lines.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(lines)


def _short(error: BaseException) -> str:
    from pyspark.errors import PySparkException

    from jobs.spark.spark_errors import reason

    text = str(reason(error)) if isinstance(error, PySparkException) else str(error)
    lines = [line for line in without_token(text).splitlines() if line.strip()]
    return printable(lines[0] if lines else type(error).__name__, 200)
