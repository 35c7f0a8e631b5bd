"""Times models that serve requests: round by round each model once, in random order, on the same rows."""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from slipway.evaluation.latency import Timings
from slipway.policy.latency import Latency
from slipway.prediction import isolation
from slipway.prediction.isolation import Confinement
from slipway.prediction.process import MODEL_AT_FAULT, Job, Started, at_fault, broke, peak_memory, start
from slipway.runner.errors import GateError, RemoteError

WARM_UP = 20
MEGABYTE = 1_000_000
END_SECONDS = 60.0
"""How long a worker may take to end, once it was told to."""
ANSWER_BYTES = 100


def measure(
    jobs: Sequence[Job],
    features: Path,
    rules: Latency,
    *,
    rows: int,
    timeout: float,
    confinement: Confinement,
    seed: int,
    log: Path | None = None,
) -> list[Timings]:
    """Load and time the models; results in the order of `jobs`. rows: of `features`. timeout: in seconds, for all.

    log: parquet file for every request (docs/predictions.md). Our clock is used, outside of the models' processes.
    Raises GateError where a model cannot be loaded, cannot predict or takes too long; RemoteError where it broke.
    """
    deadline = time.monotonic() + timeout
    random = np.random.default_rng(seed)
    batch_rows = min(rules.batch_rows, rows)
    loads: list[list[float]] = [[] for _ in jobs]
    peaks: list[list[float]] = [[] for _ in jobs]
    with ExitStack() as stack:
        serving: list[Started] = []
        for turn in range(rules.starts):
            for place, job in enumerate(jobs):
                begun = time.perf_counter()
                server = start(
                    _of_turn(job, turn), ["serve", str(features.resolve())], [features], confinement, pipes=True
                )
                stack.callback(server.said.close)
                stack.callback(isolation.end, server.process)
                _answer(server, "ready", deadline)
                loads[place].append(time.perf_counter() - begun)
                if turn < rules.starts - 1:
                    _ask(server, 0, 1, deadline)  # a model that is only loaded has not used its memory
                    peaks[place].append(_finish(server))
                else:
                    serving.append(server)
        for _ in range(WARM_UP):
            for server in serving:
                _ask(server, 0, 1, deadline)
        singles = _rounds(serving, rules.requests, rows, 1, random, deadline)
        batches = _rounds(serving, rules.batches, rows, batch_rows, random, deadline)
        for place, server in enumerate(serving):
            peaks[place].append(_finish(server))
    if log:
        _write(log, jobs, {1: singles, batch_rows: batches})
    return [
        Timings(
            single_ms=singles[:, place],
            batch_ms=batches[:, place],
            batch_rows=batch_rows,
            load_seconds=tuple(loads[place]),
            memory_mb=tuple(peaks[place]),
            size_mb=sum(each.stat().st_size for each in job.model.rglob("*") if each.is_file()) / MEGABYTE,
        )
        for place, job in enumerate(jobs)
    ]


def _of_turn(job: Job, turn: int) -> Job:
    return replace(job, output=job.output.with_name(f"{job.output.name}-serving-{turn}"))


def _rounds(
    serving: list[Started], count: int, rows: int, size: int, random: np.random.Generator, deadline: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Milliseconds, (rounds, models)."""
    taken = np.empty((count, len(serving)))
    for one_round in taken:
        first = int(random.integers(0, rows - size + 1))
        for place in random.permutation(len(serving)):
            one_round[place] = _ask(serving[place], first, first + size, deadline)
    return taken


def _ask(server: Started, first: int, last: int, deadline: float) -> float:
    """Milliseconds from the request to its answer."""
    stdin, stdout = _pipes(server)
    if _readable(stdout, 0.0) and stdout.read(ANSWER_BYTES):  # nothing to read: it has ended, which is told below
        raise GateError(f"{server.job.name} answered a request before it was asked.")
    begun = time.perf_counter()
    try:
        if stdin.write(f"{first} {last}\n".encode()) is None:  # the pipe is full
            raise _too_late(server)
    except BrokenPipeError:
        pass  # why it ended is told below
    _answer(server, "done", deadline)
    return 1_000 * (time.perf_counter() - begun)


def _answer(server: Started, expected: str, deadline: float) -> None:
    """Wait for the line `expected`. The model's own code can write here, too: in pieces, without end or nothing."""
    _, stdout = _pipes(server)
    said = b""
    while not said.endswith(b"\n"):
        if not _readable(stdout, deadline - time.monotonic()):
            raise _too_late(server)
        piece = stdout.read(ANSWER_BYTES)
        said += piece
        if not piece or len(said) > ANSWER_BYTES:
            break
    if said == f"{expected}\n".encode():
        return
    if said:
        raise GateError(f"{server.job.name} answered a request with something else than its predictions.")
    if not isolation.ended(server.process, deadline):
        raise _too_late(server)
    raise _why_it_ended(server)


def _finish(server: Started) -> float:
    """Let the worker end; its peak memory in MB."""
    stdin, _ = _pipes(server)
    stdin.close()
    if not isolation.ended(server.process, time.monotonic() + END_SECONDS):
        raise GateError(
            f"{server.job.name} did not end after its last request.",
            why=f"It was told to, and still ran {END_SECONDS:g} seconds later. Its process was killed.",
            fix="End what the model starts (threads, child processes) with its process: make its threads daemons.",
        )
    if server.process.returncode:
        raise _why_it_ended(server)
    return peak_memory(server.job) / MEGABYTE


def _pipes(server: Started) -> tuple[IO[bytes], IO[bytes]]:
    """Our ends of its standard input and output."""
    stdin, stdout = server.process.stdin, server.process.stdout
    assert stdin is not None
    assert stdout is not None
    return stdin, stdout


def _readable(pipe: IO[bytes], seconds: float) -> bool:
    """Whether there is something to read, or its end, within so many seconds."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(max(0.0, seconds)))


def _too_late(server: Started) -> GateError:
    return GateError(f"{server.job.name} did not answer its requests in time.", fix="Make the model faster.")


def _why_it_ended(server: Started) -> GateError | RemoteError:
    return at_fault(server) if server.process.returncode in (0, MODEL_AT_FAULT) else broke(server)


def _write(
    log: Path, jobs: Sequence[Job], by_rows: dict[int, np.ndarray[tuple[int, int], np.dtype[np.float64]]]
) -> None:
    pieces = [
        pl.DataFrame({"model": job.name, "rows": size, "round": range(len(taken)), "milliseconds": taken[:, place]})
        for size, taken in by_rows.items()
        for place, job in enumerate(jobs)
    ]
    pl.concat(pieces).write_parquet(log)
