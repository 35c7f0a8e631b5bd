"""A look for drift in 1M rows x 30 columns of reference and current data against Evidently's preset, as processes.

Evidently needs an environment of its own (it does not import with pandas 3): EVIDENTLY_PYTHON names its Python. Without
it there is nothing to compare with, so this is not among what `make benchmark` runs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profiling import ROW_GROUP, SCRIPTS, process, write
from timing import Ratio

MOVED = {"number 0", "number 1", "number 2", "number 4", "category 10", "flag"}
OURS = f"""
import sys; sys.path.insert(0, {str(SCRIPTS)!r})
import json, polars as pl
from slipway import profiles
from slipway.drift import judging
from slipway.policy.drift import Drift
known, now = (profiles.of_frame(pl.scan_parquet(file)) for file in sys.argv[1:3])
found = judging.judge(known, now, Drift(current="live"))
open(sys.argv[3], "w").write(json.dumps([each.name for each in found if each.drifted]))
"""
EVIDENTLY = """
import sys, json, pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
before, now = (pd.read_parquet(file) for file in sys.argv[1:3])
done = Report([DataDriftPreset()], include_tests=True).run(now, before)
open(sys.argv[3], "w").write(json.dumps(str(done.dict())[:10]))
"""


def measure(evidently: str) -> Iterator[Ratio]:
    """Time and memory, after what was found was held against what was moved."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = [write(folder / "reference.parquet", 1), moved(write(folder / "current.parquet", 2))]
        found = folder / "found.json"
        ours, memory = process(OURS, [*files, found])
        drifted = set(json.loads(found.read_text(encoding="utf-8")))
        print(f"missed: {sorted(MOVED - drifted)}, false alarms: {sorted(drifted - MOVED)}", flush=True)
        peer, peer_memory = process(EVIDENTLY, [*files, found], python=evidently)
        yield Ratio("drift of 1M rows x 30, against Evidently", ours, peer, ours / peer, 1 / 80)
        yield Ratio("the same: peak memory", memory, peer_memory, memory / peer_memory, 1 / 10, "MB")


def moved(file: Path) -> Path:
    """Six columns drift: by place, by scale, by shape, by a tenth, and in their shares."""
    random = np.random.default_rng(3)
    made = pq.read_table(file)
    columns = {name: made[name] for name in made.column_names}
    columns["number 0"] = pc.add(columns["number 0"], 0.5)
    columns["number 1"] = pc.multiply(columns["number 1"], 1.6)
    columns["number 2"] = pc.multiply(columns["number 2"], 1.8)
    columns["number 4"] = pc.add(columns["number 4"], 5.0)
    few = pa.array(random.random(len(made)) < 0.3)
    columns["category 10"] = pc.if_else(few, pa.scalar("level 0"), columns["category 10"])
    columns["flag"] = pa.array(random.random(len(made)) < 0.5)
    pq.write_table(pa.table(columns), file, row_group_size=ROW_GROUP)
    return file


if __name__ == "__main__":
    named = os.environ.get("EVIDENTLY_PYTHON")
    if not named:
        sys.exit("EVIDENTLY_PYTHON is not set: it names a Python with `evidently` and `pandas<3`.")
    for ratio in measure(named):
        print(ratio.row(), flush=True)
