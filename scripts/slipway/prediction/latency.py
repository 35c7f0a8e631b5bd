"""Times models that serve requests: round by round each model once, in random order, on the same rows."""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from slipway.evaluation.latency import Timings
from slipway.policy import Latency
from slipway.prediction import isolation
from slipway.prediction.isolation import Confinement
from slipway.prediction.process import Job, Started, at_fault, broke, start, usage_file
from slipway.runner.errors import GateError

WARM_UP = 20
MEGABYTE = 1_000_000


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
                    peaks[place].append(_finish(server, deadline))
                else:
                    serving.append(server)
        for _ in range(WARM_UP):
            for server in serving:
                _ask(server, 0, 1, deadline)
        singles = _rounds(serving, rules.requests, rows, 1, random, deadline)
        batches = _rounds(serving, rules.batches, rows, batch_rows, random, deadline)
        for place, server in enumerate(serving):
            peaks[place].append(_finish(server, deadline))
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
    assert server.process.stdin is not None
    begun = time.perf_counter()
    try:
        server.process.stdin.write(f"{first} {last}\n".encode())
        server.process.stdin.flush()
    except BrokenPipeError:
        pass  # why it ended is told below
    _answer(server, "done", deadline)
    return 1_000 * (time.perf_counter() - begun)


def _answer(server: Started, expected: str, deadline: float) -> None:
    """Wait for the line `expected`."""
    pipe = server.process.stdout
    assert pipe is not None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise GateError(f"{server.job.name} did not answer its requests in time.", fix="Make the model faster.")
    # What is short is read whole: the worker writes one line at once.
    said = pipe.readline(100)
    if said.strip() == expected.encode():
        return
    if said:
        raise GateError(f"{server.job.name} answered a request with something else than its predictions.")
    server.process.wait()
    raise at_fault(server) if server.process.returncode in (0, 3) else broke(server)


def _finish(server: Started, deadline: float) -> float:
    """Let the worker end; its peak memory in MB."""
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.wait(timeout=max(1.0, deadline - time.monotonic()))
    said = json.loads(usage_file(server.job).read_text(encoding="utf-8"))
    return float(said["peak_bytes"]) / MEGABYTE


def _write(
    log: Path, jobs: Sequence[Job], by_rows: dict[int, np.ndarray[tuple[int, int], np.dtype[np.float64]]]
) -> None:
    pieces = [
        pl.DataFrame({"model": job.name, "rows": size, "round": range(len(taken)), "milliseconds": taken[:, place]})
        for size, taken in by_rows.items()
        for place, job in enumerate(jobs)
    ]
    pl.concat(pieces).write_parquet(log)
