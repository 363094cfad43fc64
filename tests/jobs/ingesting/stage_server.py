"""Stages run one after the other in one process with an environment of its own: Spark's workers have it too."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any


def serve() -> None:
    from jobs.cli import main

    answers = sys.stdout
    for line in sys.stdin:
        stage, argv = json.loads(line)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([stage, *argv])
        answer: dict[str, Any] = {"status": status, "out": out.getvalue(), "err": err.getvalue()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
