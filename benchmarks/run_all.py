"""Runs every benchmark and prints one table. `make benchmark`."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import installation  # noqa: E402 - the scripts are used by path, not installed
import paired_intervals  # noqa: E402
import stage_overhead  # noqa: E402
from timing import HEADER  # noqa: E402


def main() -> None:
    """Measure, and exit with 1 where a budget is missed."""
    print(f"Python {platform.python_version()}, {platform.machine()}\n\n{HEADER}")
    missed = False
    for benchmark in (stage_overhead, paired_intervals, installation):
        for ratio in benchmark.measure():
            print(ratio.row(), flush=True)
            missed |= ratio.ratio > ratio.budget
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
