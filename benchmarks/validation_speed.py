"""Thirty checks of 1M rows x 30 columns: the stage validate-data against Great Expectations and against one fused
aggregation of polars that finds the same counts, as whole processes.

Great Expectations needs an environment of its own: GREAT_EXPECTATIONS_PYTHON names its Python. Without it there is
nothing to compare with, so this is not among what `make benchmark` runs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import yaml

from profiling import RUNS, SCRIPTS, in_turn, write
from timing import Ratio, compare

sys.path.insert(0, str(SCRIPTS))

from slipway.data.schema import read
from slipway.data.validation import validate
from slipway.runner import environments

RANGES = {f"number {number}": (-1e9, 1e9) for number in range(12)}
COMPLETE = [f"number {number}" for number in range(0, 16, 2)]
SETS = {f"category {levels}": [f"level {each}" for each in range(levels)] for levels in (3, 5, 10, 20, 50, 100)}
LENGTHS = ("category 250", "category 500")
PATTERNS = ("category 250", "category 500")
PATTERN = "^level [0-9]+$"
CHECKS = len(RANGES) + len(COMPLETE) + len(SETS) + len(LENGTHS) + len(PATTERNS)

OURS = f"""
import os, runpy, sys
sys.path.insert(0, {str(SCRIPTS)!r})
os.environ.update(INPUT_DATA=sys.argv[1], INPUT_SCHEMA=sys.argv[2], INPUT_REPORT=sys.argv[3])
sys.argv = ["validate_data.py"]
try:
    runpy.run_path({str(SCRIPTS / "validate_data.py")!r}, run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
"""
FUSED = """
import json, sys, polars as pl
said = json.load(open(sys.argv[2]))
asked = [pl.len().alias("rows")]
for name, (low, high) in said["ranges"].items():
    asked.append(((pl.col(name) < low) | (pl.col(name) > high) | pl.col(name).is_nan()).sum().alias("range " + name))
for name in said["complete"]:
    asked.append((pl.col(name).null_count() + pl.col(name).is_nan().sum()).alias("complete " + name))
for name, values in said["sets"].items():
    asked.append(pl.col(name).is_in(values).not_().sum().alias("set " + name))
for name in said["lengths"]:
    asked.append((pl.col(name).str.len_chars().is_between(1, 20).not_()).sum().alias("length " + name))
for name in said["patterns"]:
    asked.append((pl.col(name).str.contains(said["pattern"]).not_()).sum().alias("pattern " + name))
found = pl.scan_parquet(sys.argv[1]).select(asked).collect(engine="streaming")
assert len(asked) == 31 and sum(found.row(0)[1:]) == 0
"""
PEER = """
import json, sys, pandas as pd, great_expectations as gx
from great_expectations import expectations as expect
said = json.load(open(sys.argv[2]))
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
suite = context.suites.add(gx.ExpectationSuite(name="s"))
asked = [expect.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high)
         for name, (low, high) in said["ranges"].items()]
asked += [expect.ExpectColumnValuesToNotBeNull(column=name) for name in said["complete"]]
asked += [expect.ExpectColumnValuesToBeInSet(column=name, value_set=each) for name, each in said["sets"].items()]
asked += [
    expect.ExpectColumnValueLengthsToBeBetween(column=name, min_value=1, max_value=20) for name in said["lengths"]
]
asked += [expect.ExpectColumnValuesToMatchRegex(column=name, regex=said["pattern"]) for name in said["patterns"]]
for each in asked:
    suite.add_expectation(each)
definition = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=batch, suite=suite))
done = definition.run(batch_parameters={"dataframe": pd.read_parquet(sys.argv[1])}, result_format="SUMMARY")
assert done.success and len(done.results) == 30
"""


def measure(peer: str) -> Iterator[Ratio]:
    """Time and memory of all three in turn."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    for name in [name for name in os.environ if name.startswith(("INPUT_", "GITHUB_"))]:
        del os.environ[name]
    own = str(environments.for_group("validate-data"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data, said = write(folder / "data.parquet", 1), folder / "checks.json"
        said.write_text(json.dumps(declared()), encoding="utf-8")
        expected = folder / "schema.yml"
        expected.write_text(yaml.safe_dump(schema(), sort_keys=False), encoding="utf-8")
        report = folder / "report.json"
        runs = [
            (OURS, [data, expected, report], own),
            (FUSED, [data, said], own),
            (PEER, [data, said], peer),
        ]
        (ours, memory), (fused, _), (theirs, their_memory) = in_turn(*runs)
        checks = json.loads(report.read_text(encoding="utf-8"))["checks"]
        ran = [each for each in checks if each.get("count") is not None]
        assert len(ran) == CHECKS == 30
        assert {each["verdict"] for each in checks} == {"pass"}
        name = f"{CHECKS} checks of 1M rows x 30 columns (median of {RUNS})"
        yield Ratio(f"{name}, against Great Expectations", ours, theirs, ours / theirs, 1 / 6)
        yield Ratio("the same: peak memory", memory, their_memory, memory / their_memory, 1.0, "MB")
        yield Ratio(f"{name}, against one fused aggregation", ours, fused, ours / fused, 1.5)
        sys.argv = ["", str(data), str(said)]
        code, rules = compile(FUSED, "fused", "exec"), read(expected.read_text(encoding="utf-8"), file="schema.yml")
        frame = pl.scan_parquet(data)
        yield compare(
            "the same: the checks alone, of a process that has started",
            lambda: validate(rules, frame),
            lambda: exec(code, {}),  # noqa: S102 - the text above
            budget=1.5,
        )


def declared() -> dict[str, object]:
    """The checks for the other two."""
    return {
        "ranges": RANGES,
        "complete": COMPLETE,
        "sets": SETS,
        "lengths": LENGTHS,
        "patterns": PATTERNS,
        "pattern": PATTERN,
    }


def schema() -> dict[str, object]:
    """The checks as pandera declares them."""
    columns: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys((*RANGES, *COMPLETE, *SETS, *LENGTHS, *PATTERNS)):
        checks: dict[str, object] = {}
        if name in RANGES:
            checks["in_range"] = dict(zip(("min_value", "max_value"), RANGES[name], strict=True))
        if name in SETS:
            checks["isin"] = SETS[name]
        if name in LENGTHS:
            checks["str_length"] = {"min_value": 1, "max_value": 20}
        if name in PATTERNS:
            checks["str_matches"] = PATTERN
        columns[name] = {"nullable": name not in COMPLETE, "checks": checks}
    return {"columns": columns}


if __name__ == "__main__":
    named = os.environ.get("GREAT_EXPECTATIONS_PYTHON")
    if not named:
        sys.exit(
            "GREAT_EXPECTATIONS_PYTHON is not set: it names a Python with `great_expectations`, `pandas`, `pyarrow`."
        )
    for ratio in measure(named):
        print(ratio.row(), flush=True)
