"""Compares the two engines in a process that has Spark: cases come in as lines of JSON, findings go out.

Run by the interpreter of the group validate-data-spark, with `scripts` on its path. Argument: a Spark Connect address,
or nothing for local mode. One session serves all cases.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from slipway import profiles
from slipway.data import reading, validation
from slipway.data.schema import Schema
from slipway.data.spark import session, table
from slipway.data.spark import validation as on_spark
from slipway.profiles import spark as profiles_spark
from slipway.report import Check
from slipway.runner.errors import SlipwayError


def answer(spark: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Findings of both engines, or what Spark refused."""
    if case.get("profile"):
        return profiled(spark, case["path"])
    schema, path = Schema.model_validate(case["schema"]), case["path"]
    now = datetime.fromisoformat(case["now"])
    frame = reading.scan(path)
    try:
        if case.get("in_store"):
            table.SCHEMES["gs"] = "file"  # Spark's own file system stands for that of a store
            read = table.of_address(spark, f"gs://{path}")
        else:
            read = table.of_files(spark, path, dict(frame.collect_schema()))
        theirs = on_spark.validate(schema, read, examples=case.get("examples", 3), now=now)
    except SlipwayError as error:
        return {"refused": type(error).__name__, "says": str(error)}
    ours = validation.validate(schema, frame, examples=case.get("examples", 3), now=now)
    return {"polars": plain(ours), "spark": plain(theirs)}


def profiled(spark: Any, path: str) -> dict[str, Any]:
    """The profiles of both engines."""
    frame = reading.scan(path)
    read = table.of_files(spark, path, dict(frame.collect_schema()))
    cut = read.frame.repartition(3) if path.endswith(".parquet") else read.frame
    found = profiles_spark.of_table(cut, read.types)
    return {"polars": json.loads(profiles.text(profiles.of_frame(frame))), "spark": json.loads(profiles.text(found))}


def plain(checks: list[Check]) -> list[dict[str, Any]]:
    """Checks as JSON."""
    return [check.model_dump(mode="json") for check in checks]


def main() -> None:
    """Answer until the input ends."""
    spark = session.at(sys.argv[1] if len(sys.argv) > 1 else "")
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(spark, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
