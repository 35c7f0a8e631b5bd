"""Times two commands or functions in turn, A B A B …, so that a drifting machine slows both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Medians of both sides (in seconds unless `unit` says otherwise), and the median of the ratios ours / peer."""

    name: str
    ours: float
    peer: float
    ratio: float
    budget: float
    unit: str = "s"

    def row(self) -> str:
        """A line of the result's table."""
        met = "met" if self.ratio <= self.budget else "**missed**"
        sides = f"{self.ours:.3g} {self.unit} | {self.peer:.3g} {self.unit}"
        return f"| {self.name} | {sides} | {self.ratio:.3g} | {self.budget:g} | {met} |"


HEADER = "| what | ours | peer | ours / peer | budget | |\n|:--|--:|--:|--:|--:|:--|"


def compare(
    name: str, ours: Callable[[], object], peer: Callable[[], object], *, budget: float, runs: int = 5
) -> Ratio:
    """Run both sides once to warm up, then `runs` times in turn."""
    ours()
    peer()
    pairs = [(clock(ours), clock(peer)) for _ in range(runs)]
    mine, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    return Ratio(name, statistics.median(mine), statistics.median(theirs), ratio, budget)


def clock(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def process(command: Sequence[str], **extra: str) -> Callable[[], object]:
    """A whole process as something to time. Its failure ends the benchmark: a fast failure must not look like speed."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> object:
        return subprocess.run(command, env={**environ, **extra}, check=True, capture_output=True)

    return run
