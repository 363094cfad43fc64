"""Runs contenders in turn, each in a process of its own, on the same documents."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch

from tests.benchmarks.workloads import Workload
from udfs.precision import multiply_in_full

# How long a contender may take to end, in seconds.
END_TIMEOUT = 60.0


@dataclass(frozen=True)
class Contender:
    """A way to score: prepare in module, with options; dtype None is the workload's own."""

    name: str
    module: str
    prepare: str = "prepare"
    dtype: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def load(self, workload: Workload) -> Callable[..., list[float]]:
        """The function that scores texts."""
        module = importlib.import_module(f"tests.benchmarks.contenders.{self.module}")
        options = dict(self.options)
        if options.pop("by_tokens", False):
            options["batches"] = module.by_tokens(workload.max_batch_tokens)
        prepared: Callable[..., list[float]] = getattr(module, self.prepare)(workload, self.dtype, **options)
        return prepared


@dataclass
class Timing:
    """What a contender did: seconds of each round, its scores, whether without padding, or why it has none."""

    contender: Contender
    startup_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    # In the last round's passes, padding included; None where the contender does not count them.
    num_read: int | None = None
    parts: dict[str, float] = field(default_factory=dict)
    failure: str | None = None

    @property
    def median(self) -> float:
        """The median round, in seconds."""
        return statistics.median(self.seconds)


def run_rounds(
    contenders: list[Contender], workload: Workload, num_rounds: int, num_threads: int, say: Callable[[str], None]
) -> list[Timing]:
    """One Timing a contender. On a CPU their rounds alternate; a GPU's memory holds one contender at a time."""
    groups = [[contender] for contender in contenders] if workload.device == "cuda" else [contenders]
    return [timing for group in groups for timing in _in_turn(group, workload, num_rounds, num_threads, say)]


def _in_turn(
    contenders: list[Contender], workload: Workload, num_rounds: int, num_threads: int, say: Callable[[str], None]
) -> list[Timing]:
    """One Timing a contender; the order turns by one from round to round. Whoever fails is left out from there on."""
    context = multiprocessing.get_context("forkserver")
    # Imported once for all of them, before any of them touches a device.
    context.set_forkserver_preload(["tests.benchmarks.contenders.ours"])
    running: list[tuple[Timing, Any, Connection]] = []
    timings = []
    for contender in contenders:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, contender, workload, num_threads), daemon=False)
        process.start()
        theirs.close()
        timing = Timing(contender)
        timings.append(timing)
        answer = _ask(timing, process, ours, None)
        if answer is not None:
            timing.startup_seconds = answer
            running.append((timing, process, ours))
        else:
            # Its memory is free before the next one starts.
            _end(process)
        say(f"{contender.name}: {timing.failure or f'started in {timing.startup_seconds:.1f} s'}")
    for number in range(num_rounds if running else 0):
        for timing, process, connection in running[number % len(running) :] + running[: number % len(running)]:
            answer = None if timing.failure else _ask(timing, process, connection, "score")
            if answer is not None:
                seconds, timing.scores = answer
                timing.seconds.append(seconds)
                say(f"round {number + 1} of {num_rounds}, {timing.contender.name}: {seconds:.2f} s")
    for timing, process, connection in running:
        answer = None if timing.failure else _ask(timing, process, connection, "stop")
        timing.peak_bytes, timing.parts, timing.num_read = answer or (0, {}, None)
        _end(process)
    return timings


def _end(process: Any) -> None:
    """Wait for a process that has nothing left to do; kill one that an engine of its own keeps from ending."""
    process.join(END_TIMEOUT)
    if process.is_alive():
        process.kill()
        process.join()


def _ask(timing: Timing, process: Any, connection: Connection, command: str | None) -> Any:
    """The process's answer; None, with the reason in timing.failure, where it has failed or died."""
    try:
        if command:
            connection.send(command)
        state, answer = connection.recv()
    except (EOFError, OSError):
        _end(process)
        state, answer = "failed", f"crashed with exit status {process.exitcode}"
    if state == "failed":
        timing.failure = answer
        return None
    return answer


def _serve(connection: Connection, contender: Contender, workload: Workload, num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    multiply_in_full()
    try:
        begin = time.perf_counter()
        score = contender.load(workload)
        # The longest alone, then a few: memory is claimed and kernels are compiled before the first round.
        longest = max(range(len(workload.texts)), key=lambda index: workload.num_tokens[index])
        score([workload.texts[longest]])
        if len(workload.texts) > 1:
            score(workload.texts[:3])
        connection.send(("done", time.perf_counter() - begin))
        if workload.device == "cuda":
            # What loading took, random weights in float32 among it, is not the scorer's memory.
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        while connection.recv() == "score":
            begin = time.perf_counter()
            scores = score(workload.texts)
            seconds = time.perf_counter() - begin
            _require_whole_batches(score, workload)
            connection.send(("done", (seconds, scores)))
        num_read, peak_bytes = getattr(score, "num_read", lambda: None)(), _peak_bytes(workload.device)
        # A profile takes as long as a round, and memory of its own.
        parts = _parts(score, workload) if contender.prepare == "paired" and not contender.options else {}
        connection.send(("done", (peak_bytes, parts, num_read)))
    except ModuleNotFoundError as error:
        connection.send(("failed", f"not installed ({error.name})"))
    except Exception as error:
        connection.send(("failed", f"{type(error).__name__}: {str(error)[:200]}"))


def _require_whole_batches(score: Callable[..., object], workload: Workload) -> None:
    """Raise RuntimeError where the scorer ran out of memory and halved its batches: that is another contender."""
    used = getattr(score, "batch_tokens", lambda: workload.max_batch_tokens)()
    if used < workload.max_batch_tokens:
        raise RuntimeError(f"out of memory in passes of {workload.max_batch_tokens:,} tokens")


def _peak_bytes(device: str) -> int:
    """GPU memory that was in use at most; on a CPU the process's, its mapped weights included."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _parts(score: Callable[..., object], workload: Workload) -> dict[str, float]:
    """Shares of the device's time in matrix products, attention and everything else, from a profile of a round."""
    activity = torch.profiler.ProfilerActivity
    activities = [activity.CPU, activity.CUDA] if workload.device == "cuda" else [activity.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        score(workload.texts)
    times = {"matrix products": 0.0, "attention": 0.0, "everything else": 0.0}
    for event in profile.key_averages():
        # On a GPU the kernels alone: an operator's time there is that of its kernels once more.
        if workload.device == "cuda" and event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        own = event.self_device_time_total if workload.device == "cuda" else event.self_cpu_time_total
        name = event.key.lower()
        # Attention first: its kernels' names hold those of the library that they are made with.
        if any(word in name for word in ("flash", "fmha", "attention", "sdpa")):
            part = "attention"
        elif any(word in name for word in ("gemm", "aten::mm", "aten::addmm", "aten::bmm", "cutlass", "nvjet")):
            part = "matrix products"
        else:
            part = "everything else"
        times[part] += own
    total = sum(times.values()) or 1.0
    return {part: own / total for part, own in times.items()}
