"""Runs inside the scorers' environment: calls one function on all rows. Standard library only, and nothing of ours.

    scorer.py MODULES OUTPUT MODULE:FUNCTION ROWS    writes scores.json into OUTPUT

ROWS is a JSON list of objects: the holdout's columns, the model's `output` and, where there is one, `reference`. Exit
code 3 with one line on stderr where the function is at fault.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

AT_FAULT = 3


def main(modules: str, output: str, name: str, rows_file: str) -> str:
    """Score, write; what is wrong with the function, or nothing."""
    sys.path.insert(0, modules)
    module, _, function = name.partition(":")
    rows = json.loads(Path(rows_file).read_text(encoding="utf-8"))
    try:
        found = getattr(importlib.import_module(module), function)(rows)
        scores = [number(each) for each in found]
    except (Exception, SystemExit) as error:
        return f"it raised {type(error).__name__}: {error}"
    if len(scores) != len(rows):
        return f"it gave {len(scores)} scores for {len(rows)} rows"
    if not all(map(math.isfinite, scores)):
        return "it gave a score that is no finite number"
    (Path(output) / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    return ""


def number(value: Any) -> float:
    """A score as a number; a text is none, even where Python can read it as one."""
    if isinstance(value, str | bytes | bytearray):
        raise TypeError(f"a score is of the type {type(value).__name__}, which is no number")
    return float(value)


if __name__ == "__main__":
    problem = main(*sys.argv[1:])
    # On a line of its own: the function may have written something before.
    sys.stderr.write("\n" + " ".join(problem.split())[:2000])
    sys.exit(AT_FAULT if problem else 0)
