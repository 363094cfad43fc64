"""Commits that conflict with those of other writers, and tables that others are creating: tried again."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# What Delta says when somebody else has written since we read.
_CONFLICTS = re.compile(
    r"DELTA_CONCURRENT_|DELTA_METADATA_CHANGED|DELTA_PROTOCOL_CHANGED|"
    r"Concurrent(Append|DeleteRead|DeleteDelete|Transaction|Write|Modification)Exception"
)
# What Delta says of a table whose folder another writer has made, but not yet its first commit.
_HALF_MADE = re.compile(r"DELTA_TABLE_NOT_FOUND|DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION|TABLE_\w*ALREADY_EXISTS")
MAX_CONFLICTS = 20
MAX_CREATIONS = 5


def is_conflict(error: BaseException) -> bool:
    """Whether the error says that another writer has committed first."""
    return bool(_CONFLICTS.search(f"{type(error).__name__} {error}"))


def retry_conflicts(commit: Callable[[], Result]) -> Result:
    """What commit returns, called again while other writers commit first; ValueError when they always do."""
    for attempt in range(1, MAX_CONFLICTS + 1):
        try:
            return commit()
        except Exception as error:
            if not is_conflict(error):
                raise
            if attempt == MAX_CONFLICTS:
                raise ValueError(
                    f"other runs of this scorer were faster {MAX_CONFLICTS} times in a row; run one at a time"
                ) from error
            print("another run wrote to the same table meanwhile; this is tried again", file=sys.stderr)
            time.sleep(min(10.0, 0.5 * attempt))
    raise AssertionError("unreachable")


def retry_creation(create: Callable[[], None]) -> None:
    """Call create, which makes a table; call it again for some seconds where another run may be making the same one."""
    for attempt in range(1, MAX_CREATIONS + 1):
        try:
            retry_conflicts(create)
            return
        except Exception as error:
            if attempt == MAX_CREATIONS or not _HALF_MADE.search(str(error)):
                raise
            time.sleep(0.5 * attempt)
