"""Same inputs, same report to the last digit: whatever the number of threads and the order of sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def report(threads: int, hash_seed: int) -> bytes:
    """What one evaluation finds, in a process of its own."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    settings = dict.fromkeys(counts, str(threads)) | {"PYTHONHASHSEED": str(hash_seed)}
    path = os.pathsep.join((str(ROOT / "scripts"), str(ROOT / "tests")))
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "deterministic_report.py")],
        env=os.environ | settings | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def test_report__does_not_change_with_threads_or_hash_seed() -> None:
    """BLAS adds in another order where it has other threads: `@` over all rows once changed a last digit."""
    one, other = report(1, 1), report(4, 2)
    assert len(one) > 10_000
    assert one == other
