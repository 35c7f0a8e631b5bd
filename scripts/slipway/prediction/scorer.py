"""Runs inside the scorers' environment: calls one function on all rows. Standard library only, and nothing of ours.

Arguments: folder of the module, `module:function`, rows (a JSON list of objects: the holdout's columns, the model's
`output` and, where there is one, `reference`), file for the scores (JSON). Exit code 3 with one line on stderr where
the function is at fault.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path


def main(folder: str, name: str, rows_file: str, output: str) -> str:
    """Score, write; what is wrong with the function, or nothing."""
    sys.path.insert(0, folder)
    module, _, function = name.partition(":")
    rows = json.loads(Path(rows_file).read_text(encoding="utf-8"))
    try:
        found = getattr(importlib.import_module(module), function)(rows)
        scores = [float(each) for each in found]
    except (Exception, SystemExit) as error:
        return f"it raised {type(error).__name__}: {error}"
    if len(scores) != len(rows):
        return f"it gave {len(scores)} scores for {len(rows)} rows"
    if not all(map(math.isfinite, scores)):
        return "it gave a score that is no finite number"
    Path(output).write_text(json.dumps(scores), encoding="utf-8")
    return ""


if __name__ == "__main__":
    problem = main(*sys.argv[1:])
    sys.stderr.write(" ".join(problem.split())[:2000])
    sys.exit(3 if problem else 0)
