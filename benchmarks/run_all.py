"""Runs every benchmark and prints one table. `make benchmark`."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import agreement
import installation
import ledger
import paired_intervals
import profiling
import stage_overhead
from timing import HEADER


def main() -> None:
    """Measure, and exit with 1 where a budget is missed."""
    print(f"Python {platform.python_version()}, {platform.machine()}\n\n{HEADER}")
    missed = False
    for benchmark in (stage_overhead, paired_intervals, agreement, profiling, ledger, installation):
        for ratio in benchmark.measure():
            print(ratio.row(), flush=True)
            missed |= ratio.ratio > ratio.budget
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
