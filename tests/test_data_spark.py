"""Spark finds what polars finds: same checks, same counts, same examples, same verdict; or it says that it cannot.

Spark runs in a process of its own, in the environment of its group (spark_kit.py): one for local mode, and one that is
the client of a Spark Connect server on this machine.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import ValidationError

import bytecode
from slipway import profiles
from slipway.data.spark import patterns
from slipway.policy.dataset import Spark
from slipway.report import Report, Verdict
from slipway.runner import environments, outputs
from test_data_properties import schemas_and_frames

pytestmark = pytest.mark.xdist_group("spark")

ROOT = Path(__file__).parents[1]
NOW = datetime(2024, 1, 10, tzinfo=UTC)
NAN = float("nan")


class Engines:
    """A process that answers a case with the findings of both engines."""

    def __init__(self, python: Path, folder: Path, server: str = "") -> None:
        self.folder = folder
        self.log = (folder / "spark.log").open("w")
        # In a zone of its own, which must not matter.
        environ = {**with_java(), "PYTHONPATH": str(ROOT / "scripts"), "TZ": "America/New_York"}
        self.process = subprocess.Popen(
            [python, ROOT / "tests" / "spark_kit.py", *([server] if server else [])],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        assert self._line() == "ready"

    def _line(self) -> Any:
        assert self.process.stdout
        said = self.process.stdout.readline()
        assert said, (self.folder / "spark.log").read_text()[-3000:]
        return json.loads(said)

    def ask(self, schema: dict[str, Any], path: Path, **more: Any) -> dict[str, Any]:
        assert self.process.stdin
        case = {"schema": schema, "path": str(path), "now": NOW.isoformat(), **more}
        self.process.stdin.write(json.dumps(case, default=str) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = self._line()
        return answer

    def ask_of(self, frame: pl.DataFrame, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
        path = self.folder / "case.parquet"
        frame.write_parquet(path)
        return self.ask(schema, path, **more)

    def agree(self, frame: pl.DataFrame, schema: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        """The checks that both give."""
        answer = self.ask_of(frame, schema, **more)
        assert "refused" not in answer, answer["says"]
        assert answer["spark"] == answer["polars"]
        found: list[dict[str, Any]] = answer["spark"]
        return found

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=120)
        assert self.process.stdout
        self.process.stdout.close()
        self.log.close()


def with_java() -> dict[str, str]:
    """Programs of Java end before they have earned what the optimizing compiler and a parallel collector cost."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    return {**kept, "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


@pytest.fixture(scope="module")
def spark_python(environments_cache: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_CACHE", str(environments_cache))
        python = environments.for_group("validate-data-spark")
    bytecode.share(python)
    return python


@pytest.fixture(scope="module")
def engines(spark_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    started = Engines(spark_python, tmp_path_factory.mktemp("local"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def server(spark_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Spark Connect server on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    find = "import importlib.util as u; print(u.find_spec('pyspark').submodule_search_locations[0])"
    home = subprocess.run([spark_python, "-c", find], check=True, capture_output=True, text=True).stdout.strip()
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": 2,
    }
    log = (tmp_path_factory.mktemp("server") / "log.txt").open("w+")
    process = subprocess.Popen(
        [
            *(f"{home}/bin/spark-submit", "--master", "local[2]"),
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *(word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
            "spark-internal",
        ],
        env={**with_java(), "SPARK_HOME": home, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"},
        cwd=Path(log.name).parent, stdout=log, stderr=log,
    )  # fmt: skip
    while "server started" not in Path(log.name).read_text():
        assert process.poll() is None, Path(log.name).read_text()[-3000:]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
    yield f"sc://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=120)
    log.close()


def nasty() -> pl.DataFrame:
    """Eight rows of what two engines may take for different things."""
    start = datetime(2024, 1, 1, 0, 0, 0, 123456)
    frame = pl.DataFrame(
        {
            "double": [1.0, NAN, None, -0.0, 0.0, 2.5, 2.5, NAN],
            "text": ["a", "é😀", "ab\n", "", "abc", None, "X", "x"],
            "tiny": pl.Series([1, 2, 3, 127, -128, None, 7, 7], dtype=pl.Int8),
            "byte": pl.Series([1, 2, 3, 255, 0, None, 7, 7], dtype=pl.UInt8),
            "huge": pl.Series([1, 2, 3, 2**64 - 1, 0, None, 7, 7], dtype=pl.UInt64),
            "float": pl.Series([0.1, 0.2, NAN, None, 1e30, -1, 0, 0], dtype=pl.Float32),
            "day": [date(2024, 1, 1 + each) for each in range(8)],
            "moment": [start + timedelta(hours=each) for each in range(8)],
            "price": pl.Series([Decimal("1.50")] * 7 + [None], dtype=pl.Decimal(10, 2)),
            "flag": [True, False, None, True] * 2,
            "dots.and`ticks": [1] * 8,
            "DAY": list(range(8)),
            "kind": pl.Series(["x", "y", None, "z"] * 2, dtype=pl.Categorical),
            "rank": pl.Series(["low", "high"] * 4, dtype=pl.Enum(["low", "high"])),
            "raw": [b"a", b"\xff", None, b""] * 2,
            "list": [[1], [2]] * 4,
        }
    )
    milliseconds = pl.col("moment").dt.cast_time_unit("ms").alias("milli")
    return frame.with_columns(pl.col("moment").dt.replace_time_zone("Europe/Paris").alias("zoned"), milliseconds)


COLUMNS: dict[str, Any] = {
    "double": {
        "dtype": "Float64", "gt": 1, "in_range": {"min_value": 0, "max_value": 5}, "isin": [1.0, 0.0], "unique": True,
        "checks": {"lt": {"value": 2.5, "ignore_na": False}},
    },
    "text": {
        "dtype": "String", "unique": True, "str_matches": "[a-z]+$", "str_contains": r"(?i)x|\w",
        "str_length": {"min_value": 1, "max_value": 2}, "str_startswith": "a", "str_endswith": "b",
        "unique_values_eq": ["a", "b", "x"], "notin": ["X"], "eq": "z", "gt": "a",
    },
    "tiny": {"dtype": "Int8", "lt": 300, "ge": 2, "ne": 7, "isin": [1, 2, 3]},
    "byte": {"dtype": "UInt8", "lt": 200, "unique": True},
    "huge": {"dtype": "UInt64", "le": 7},
    "float": {"dtype": "Float32", "le": 0.1, "isin": [0.1, 0.2]},
    "day": {"dtype": "Date", "gt": "2024-01-03", "isin": ["2024-01-01"]},
    "moment": {"dtype": "Datetime", "le": "2024-01-01T03:00:00.123456"},
    "zoned": {"dtype": "Datetime(time_unit='us', time_zone='Europe/Paris')", "lt": "2024-01-01T03:00:00.123456"},
    "milli": {"dtype": "Datetime('ms')", "gt": "2024-01-01T03:00:00"},
    "price": {"dtype": "Decimal(precision=10, scale=2)", "lt": 1.5},
    "flag": {"dtype": "Boolean", "eq": True},
    "dots.and`ticks": {"gt": 1},
    "DAY": {"dtype": "Int64", "le": 6},
    "kind": {"dtype": "Categorical", "isin": ["x"], "ge": "y"},
    "rank": {"isin": ["low"], "eq": "high"},
    "raw": {"unique": True},
    "absent": {"dtype": "Int64", "gt": 0},
}  # fmt: skip
RULES = [
    *("double + 1 <= 3", "tiny * 2 > 0 AND text LIKE 'a%' OR \"dots.and`ticks\" IN (1, 2)", "NOT text IS NULL"),
    *("abs(double) / 2 > 1", "double BETWEEN 0 AND 2", "text LIKE '_b%'", "double = float", "tiny < DAY"),
    *("moment > day", "CASE WHEN tiny > 3 THEN double ELSE 2 END > 1", "COALESCE(tiny, 1) = 2", "tiny - DAY < 3"),
    *("text NOT LIKE 'a%b'", "text ILIKE 'X%'", "LENGTH(text) > 1", "day > DATE '2024-01-03'", "tiny NOT IN (1, 2)"),
    *("float * 3 > 0.3", "float = 0.1", "float IN (0.1, 0)", "float BETWEEN 0.1 AND 0.2", "tiny > 2.5", "flag"),
    *("tiny * 100 < 300", "DAY * 9223372036854775807 < 0", "double <> float", "double > 0 OR float > 0"),
]
"""The last but two overflow: both engines wrap around."""


def test_spark__counts_what_polars_counts(engines: Engines) -> None:
    slipway = {
        "rows": {"min": 3, "max": 7},
        "freshness": {"column": "zoned", "max_age_days": 2},
        "missing": {"gaps": 0.1},
        "compare": RULES,
    }
    columns = {**COLUMNS, "gaps": {"dtype": "Float64", "nullable": True}}
    frame = nasty().with_columns(gaps="double")
    found = engines.agree(frame, {"columns": columns, "unique": ["double", "float"], "slipway": slipway}, examples=0)
    verdicts = [check["verdict"] for check in found]
    assert len(found) > 90
    assert verdicts.count("fail") > 50 and verdicts.count("pass") > 20 and verdicts.count("inconclusive") > 0


def test_spark__quotes_the_rows_that_polars_quotes(engines: Engines, tmp_path: Path) -> None:
    frame = nasty().drop("list")
    for at, folder in enumerate(["day=2024-01-02", "day=2024-01-01"]):
        (tmp_path / folder).mkdir()
        for part in range(2):
            piece = frame.drop("day")[4 * part :][:4]
            piece.with_columns(number=pl.int_range(4) + 8 * at).write_parquet(tmp_path / folder / f"{part} a.parquet")
    (tmp_path / "_SUCCESS").touch()
    columns = {"number": {"lt": 8, "unique": True}, "zoned": {"gt": "2024-01-01T05:00:00"}, "double": {"gt": 5}}
    compare = ["byte < 200", "day > DATE '2024-01-01'", "huge < DAY"]
    answer = engines.ask({"columns": columns, "slipway": {"compare": compare}}, tmp_path)
    assert answer["spark"] == answer["polars"]
    by_name = {check["name"]: check for check in answer["spark"]}
    assert by_name["number: less_than(8)"]["examples"] == ["row 0: 8", "row 1: 9", "row 2: 10"]
    assert by_name["number: unique"]["count"] == 16
    assert by_name["rule day > DATE '2024-01-01'"]["examples"][0] == "row 0: 2024-01-01"


# A case costs Spark half a second, and a CPU as long.
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(schemas_and_frames())
def test_spark__agrees_on_any_schema_and_data(engines: Engines, drawn: Any) -> None:
    schema, frame = drawn
    answer = engines.ask_of(frame, schema.model_dump(mode="json", by_alias=True, exclude_unset=True), examples=0)
    assert "refused" not in answer, answer["says"]
    for ours, theirs in zip(answer["polars"], answer["spark"], strict=True):
        # Spark does not count the texts that are no numbers.
        same = ("name", "verdict") if theirs["detail"] == "found String" else tuple(ours)
        assert [ours[key] for key in same] == [theirs[key] for key in same]


CELLS = ["", "a", "ab", "ab\n", "\n", "A1", "é", "É", "ß", "😀", "٣", "x y", "a b", "a.b", "[a]", "\u2028", "a\rb", "-"]
PATTERNS = [
    *(
        "a",
        "^a$",
        "a|b",
        ".",
        "^.$",
        "a.b",
        r"\d",
        r"^\d+$",
        r"\w",
        r"^\W$",
        r"\s",
        r"\bb\b",
        "(?i)É",
        "(?i)^a",
        "[a-z]",
    ),
    *(
        "[^a-z]",
        "[^a]",
        r"[\w.-]+",
        r"\.",
        r"\[a\]",
        "(ab)+",
        "(?:a|b){2}",
        "a{1,2}b?",
        "a*?b",
        r"\p{L}",
        r"\pN",
        r"^\PL+$",
    ),
    *(r"\x41", r"\x{1F600}", "(?s)^.*$", "(?is:A.B)", r"\Aa", r"b\z", "b$", "^$", "[é-ü]", r"[\d-]"),
]


def test_patterns__find_in_java_what_they_find_in_rust(engines: Engines) -> None:
    rules = [f"text ~ '{pattern}'" for pattern in PATTERNS]
    found = engines.agree(pl.DataFrame({"text": CELLS}), {"slipway": {"compare": rules}}, examples=0)
    counts = [check["count"] for check in found]
    assert len(counts) == len(PATTERNS) and len(set(counts)) > 5


@pytest.mark.parametrize(
    "pattern",
    ["a++", "a**", "a*+", "a{,3}", "(?m)a$", "(?x) a", "(?U)a+", "(?P<name>a)", "[[:alpha:]]", "[a&&b]", "[a--b]",
     "[]a]", r"\p{Greek}", r"\v", r"\h", r"\<a", r"\b{start}", r"\u{41}", r"\Qa\E", r"\Z", "(?#x)a", r"\1"],
)  # fmt: skip
def test_patterns__that_two_engines_read_differently_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="does not mean the same"):
        patterns.to_java(pattern)


def test_coerce__converts_numbers_as_polars_does(engines: Engines) -> None:
    frame = pl.DataFrame(
        {
            "cut": [1.0, 127.9, -128.9, 128.0, NAN, None, 1e300],
            "narrow": [1, 300, -5, None, 2**40, 7, 8],
            "wide": pl.Series([0.1] * 7, dtype=pl.Float32),
            "edge": [2.0**63, -(2.0**63), -(2.0**63) * 1.1, 0, 1, 2, 3],
        }
    )
    columns = {
        "cut": {"dtype": "Int8", "coerce": True, "gt": 0},
        "narrow": {"dtype": "Int8", "coerce": True, "lt": 7, "nullable": True, "unique": True},
        "wide": {"dtype": "Float64", "coerce": True, "eq": 0.1},
        "edge": {"dtype": "Int64", "coerce": True, "gt": 0},
    }
    found = engines.agree(frame, {"columns": columns, "unique": ["cut", "narrow"]})
    by_name = {check["name"]: check for check in found}
    assert by_name["cut: type Int8"]["count"] == 3
    assert by_name["edge: type Int64"]["count"] == 2


def test_text__where_another_type_is_declared_fails_uncounted(engines: Engines) -> None:
    frame = pl.DataFrame({"day": ["2024-01-01", "x"]})
    answer = engines.ask_of(frame, {"columns": {"day": {"dtype": "Date"}}})
    ours, theirs = answer["polars"][0], answer["spark"][0]
    assert (ours["verdict"], ours["count"]) == ("fail", 1)
    assert (theirs["verdict"], theirs["detail"]) == ("fail", "found String")


@pytest.mark.parametrize(
    ("columns", "compare", "says"),
    [
        ({"text": {"str_contains": "[[:alpha:]]"}}, [], "does not mean the same"),
        ({"text": {"dtype": "Date", "coerce": True}}, [], "conversion"),
        ({"rank": {"gt": "low"}}, [], "the order of an Enum"),
        ({"span": {}}, [], "Duration"),
        ({}, ["UPPER(text) = 'A'"], "UPPER"),
        ({}, ["tiny / DAY > 1"], "division"),
        ({}, ["tiny % 2 = 0"], "tiny % 2"),
    ],
)
def test_spark__refuses_what_it_cannot_answer(
    engines: Engines, columns: dict[str, Any], compare: list[str], says: str
) -> None:
    frame = nasty().with_columns(span=pl.duration(days=1))
    answer = engines.ask_of(frame, {"columns": columns, "slipway": {"compare": compare}})
    assert answer["refused"] == "PolicyError"
    assert says in answer["says"] and "engine: spark" in answer["says"]


def test_types__in_a_store_are_sparks(engines: Engines, tmp_path: Path) -> None:
    nasty().select("tiny", "zoned", "text").write_parquet(tmp_path / "a.parquet")
    columns = {
        "tiny": {"dtype": "Int8", "lt": 5},
        "zoned": {"dtype": "Datetime('us', 'UTC')"},
        "text": {"dtype": "String"},
    }
    answer = engines.ask({"columns": columns}, tmp_path, in_store=True)
    assert answer["spark"][2] == answer["polars"][2] and answer["spark"][2]["count"] == 3
    assert [check["verdict"] for check in answer["spark"] if "type" in check["name"]] == ["pass"] * 3


def test_files__that_are_damaged_or_no_parquet_are_named(engines: Engines, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    answer = engines.ask({"columns": {"a": {}}}, tmp_path)
    assert answer["refused"] == "PolicyError" and "not parquet" in answer["says"]
    good = tmp_path / "good"
    good.mkdir()
    pl.DataFrame({"a": range(10_000)}).write_parquet(good / "a.parquet", use_pyarrow=False)
    whole = (good / "a.parquet").read_bytes()
    (good / "a.parquet").write_bytes(b"PAR1" + b"\0" * 3000 + whole[3004:])
    answer = engines.ask({"columns": {"a": {"gt": 0}}}, good)
    assert answer["refused"] == "InputError" and "cannot read" in answer["says"]


def test_connect__finds_the_same_on_a_server(spark_python: Path, server: str, tmp_path: Path) -> None:
    remote = Engines(spark_python, tmp_path, server)
    found = remote.agree(
        nasty(),
        {
            "columns": {name: COLUMNS[name] for name in ("double", "text", "zoned", "day", "huge")},
            "slipway": {"freshness": {"column": "zoned", "max_age_days": 2}, "compare": RULES[:6]},
        },
        examples=1,
    )
    remote.end()
    assert sum(check["verdict"] == "fail" for check in found) > 10


def rounded(said: Any) -> Any:
    """A profile but for the rounding of its sums."""
    if isinstance(said, dict):
        return {key: pytest.approx(each) if key in ("mean", "squares") else rounded(each) for key, each in said.items()}
    return said


def test_profile__is_that_of_polars(engines: Engines) -> None:
    answer = engines.ask_of(pl.concat([nasty()] * 20), {}, profile=True)
    assert answer["spark"]["columns"].keys() == answer["polars"]["columns"].keys()
    assert answer["spark"] == rounded(answer["polars"])


def test_profile_data__takes_spark_for_its_engine(spark_python: Path, tmp_path: Path) -> None:
    """Its workers are of the stage's own Python, whatever `python3` comes first on the path: that need not know what a
    profile needs."""
    other = tmp_path / "bin" / "python3"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 3\n")
    other.chmod(0o755)
    environ = with_java()
    environ["PATH"] = f"{other.parent}{os.pathsep}{environ['PATH']}"
    nasty().write_parquet(tmp_path / "a.parquet")
    arguments = [
        "--data",
        "a.parquet",
        "--engine",
        "spark",
        "--columns",
        "zoned\ndots.and`ticks",
        "--profile",
        "p.json",
    ]
    script = ROOT / "scripts" / "profile_data.py"
    command = [str(spark_python), str(script), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = profiles.read((tmp_path / "p.json").read_bytes())
    assert found.rows == 8 and list(found.columns) == ["dots.and`ticks", "zoned"]


@pytest.mark.parametrize(
    "remote", ["sc://spark", "sc://spark.internal:15002", "sc://h:443/;use_ssl=true;x-cluster-id=12-ab", "sc://h/"]
)
def test_policy__takes_the_address_of_a_server(remote: str) -> None:
    assert Spark(remote=remote).remote == remote


@pytest.mark.parametrize(
    "remote",
    [
        "http://h",
        "sc://",
        "sc://user:word@h",
        "sc://h/;token=abc",
        "sc://h/;use_ssl=true;TOKEN=abc",
        "sc://h\n",
        "sc://h/a",
    ],
)
def test_policy__takes_no_other_address_and_no_token(remote: str) -> None:
    with pytest.raises(ValidationError):
        Spark(remote=remote)


SCHEMA = """
columns:
  id: {dtype: Int64, unique: true}
  amount: {dtype: Float64, in_range: {min_value: 0, max_value: 2}}
  kind: {dtype: String, isin: [a, b]}
"""
POLICY = """
version: 1
model: churn
data:
  train: {path: data/train.parquet, schema: schema.yml, engine: ENGINE}
  holdout:
    path: data/holdout.parquet
    schema: schema.yml
    engine: ENGINE
    against:
      {reference: train, volume: {max_ratio: 0.5}, drift: fail, new_categories: fail, cluster: day, ignore: [id, at]}
evaluation: {task: binary, holdout: holdout, target: kind, metrics: {accuracy: {}}}
"""


def stage(folder: Path, cache: Path, policy: str) -> Report:
    """The report of validate-data, run as a step runs it."""
    (folder / "slipway.yml").write_text(policy)
    out = folder / "out.txt"
    out.write_text("")
    environ = {
        **with_java(),
        "GITHUB_OUTPUT": str(out),
        "GITHUB_ACTIONS": "true",
        "RUNNER_TEMP": str(folder / "temp"),
        "SLIPWAY_CACHE": str(cache),
        "SLIPWAY_SPARK_TOKEN": "",
    }
    script = ROOT / "scripts" / "validate_data.py"
    done = subprocess.run(
        [sys.executable, script], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return Report.read(Path(outputs.read(out)["report"]))


def test_stage__reports_the_same_from_every_engine(
    tmp_path: Path, environments_cache: Path, spark_python: Path, comparison_environment: Path, server: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "schema.yml").write_text(SCHEMA)
    for name, start in (("train", 0), ("holdout", 590)):
        rows = {"id": range(start, start + 600), "amount": [each / 500 for each in range(start, start + 600)]}
        new = pl.lit(name == "holdout") & (pl.col("id") >= 600)
        frame = pl.DataFrame(rows).with_columns(
            kind=pl.Series(["a", "b"] * 300),
            day=pl.col("id") % 20,
            gap=pl.when(~(new & (pl.col("id") % 2 == 1))).then(0.5),
            same=pl.when(pl.lit(name == "train") & (pl.col("id") % 3 == 0)).then(1).otherwise(2),
            word=pl.when(new & (pl.col("id") % 3 == 1)).then(pl.lit("new")).otherwise(pl.lit("x")),
        )
        if name == "holdout":  # Spark does not carry it: what is ignored is not read
            frame = frame.with_columns(at=pl.duration(days="day"))
        frame.write_parquet(tmp_path / "data" / f"{name}.parquet")
    ours = stage(tmp_path, environments_cache, POLICY.replace("ENGINE", "polars"))
    local = stage(tmp_path, environments_cache, POLICY.replace("ENGINE", "spark"))
    connected = POLICY.replace("ENGINE", "spark") + f"spark: {{remote: '{server}'}}\n"
    remote = stage(tmp_path, environments_cache, connected)
    assert ours.checks == local.checks == remote.checks
    assert ours.headline == local.headline and ours.reasons == local.reasons
    leak = next(check for check in ours.checks if check.name.startswith("leakage"))
    assert leak.values["shared"] == 7 and not re.search("not run", leak.detail)
    opening = "holdout against train: "
    compared = [each for each in ours.checks if each.name.startswith(opening)]
    assert {each.name.removeprefix(opening) for each in compared if each.verdict is Verdict.FAIL} == {
        "volume: at most 0.5 times the reference",
        *("amount: drift", "same: drift", "word: drift", "gap: missing values as before"),
        *("word: no new categories", "same: not constant"),
    }
    assert {said.provenance["reference_holdout"] for said in (ours, local, remote)} == {"train, 600 rows"}
