"""What the tests of faults share: the score stage as its own process, and ways to end it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.jobs.scoring.scoring_cases import WINDOW

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """Starts `attention-influence score` over a namespace with a tiny model, as often as asked."""

    namespace: str
    model: str
    heads_file: str
    log: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, program: tuple[str, ...] = ("-m", "jobs.cli", "score")) -> subprocess.Popen[bytes]:
        """A new process of the stage, in a session of its own, so that nothing of it outlives the test."""
        command = [sys.executable, *program, "--namespace", self.namespace, "--model", self.model]
        command += ["--heads-file", self.heads_file, "--window", str(WINDOW), "--max-failed-fraction", "1"]
        command += ["--allow-implausible-model", *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        self.started.append(process)
        return process

    def run(self, *arguments: str, seconds: float = 300) -> str:
        """Run the stage to its end; returns what it printed."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        process = self.start(*arguments)
        status = process.wait(seconds)
        said = self.log.read_bytes()[begin:].decode()
        assert status == 0, said[-3000:]
        return said

    def said(self) -> str:
        """Everything that the processes printed so far."""
        return self.log.read_text() if self.log.exists() else ""

    def end_all(self) -> None:
        """Kill whatever is left."""
        for process in self.started:
            kill_tree(process)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """kill -9 the process and everything that it started, the process first, as a machine that goes away would."""
    if process.poll() is not None:
        # Its number may be another process's by now.
        return
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def children(process: subprocess.Popen[bytes], matches: Callable[[str], bool]) -> list[psutil.Process]:
    """The living descendants whose command line matches."""
    found = []
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if matches(" ".join(child.cmdline())):
                    found.append(child)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    except psutil.NoSuchProcess:
        pass
    return found


def wait_until(condition: Callable[[], Any], seconds: float, process: subprocess.Popen[bytes] | None = None) -> Any:
    """What condition returns once that is true; None when the time is over, or the process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (process is None or process.poll() is None):
        if found := condition():
            return found
        time.sleep(0.05)
    return condition()


def commits(stage: Stage, table: str = "scores") -> int:
    """Commits of the table so far, from its log."""
    return len(list(Path(stage.namespace, table, "_delta_log").glob("*.json")))
