"""How a dataset of a hub is named: hf://datasets/OWNER/NAME[@REVISION][/PATH]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from jobs.terminal.display import printable

SCHEME = "hf://"
_NAME = r"[A-Za-z0-9_.-]+"
_DATASET = re.compile(
    rf"hf://datasets/(?P<repo_id>{_NAME}/{_NAME})(@(?P<revision>refs/(convert|pr)/[^/]+|[^/]+))?(/(?P<path>.+))?"
)


@dataclass(frozen=True)
class HubInput:
    """A dataset, at a branch, tag or commit (None: the default branch), or one file or folder of it."""

    repo_id: str
    revision: str | None = None
    path: str | None = None


def parse_hub_input(text: str) -> HubInput | None:
    """The dataset that hf://datasets/OWNER/NAME[@REVISION][/PATH] names; None if the text names no hub.

    Raises ValueError for another name that begins with hf://.
    """
    if not text.startswith(SCHEME):
        return None
    match = _DATASET.fullmatch(text.rstrip("/"))
    if match is None:
        raise ValueError(
            f"{printable(text, 120)} is no dataset of a hub; write hf://datasets/OWNER/NAME, with @REVISION after it "
            "for a branch, tag or commit, and /PATH for one file or folder of it"
        )
    revision = unquote(match["revision"]) if match["revision"] else None
    return HubInput(match["repo_id"], revision, match["path"])
