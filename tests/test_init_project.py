"""A start from data: what it guesses holds for the data that it saw, and a damaged delivery fails it."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from init_project import Inputs, main
from slipway.data import inference, reading, starting, validation
from slipway.data.schema import read
from slipway.evaluation.metrics import METRICS
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.report import Check, Verdict
from slipway.runner.errors import ConflictError, InputError, SlipwayError

BAD_DELIVERY = Path(__file__).parents[1] / "examples" / "flights-candidates" / "bad-delivery.py"


def flights(rows: int = 2000, seed: int = 1) -> pl.DataFrame:
    """The columns of the example that its bad delivery damages, and the target."""
    rng = np.random.default_rng(seed)
    scheduled = [datetime(2013, 1, 1, 5) + timedelta(minutes=number) for number in range(rows)]
    return pl.DataFrame(
        {
            "date": [each.date() for each in scheduled],
            "hour": [each.hour for each in scheduled],
            "number": range(seed * 100_000, seed * 100_000 + rows),
            "tailnum": [f"N{number:05}" for number in rng.integers(0, 9999, rows)],
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            "dest": rng.choice(["SFO", "LAX", "ORD"], rows),
            "distance": rng.integers(90, 5000, rows),
            "wind_speed": np.where(rng.random(rows) < 0.02, np.nan, rng.gamma(2, 5, rows).round(2)),
            "late": rng.random(rows) < 0.2,
        }
    ).with_columns(pl.col("wind_speed").fill_nan(None))


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    flights(seed=1).write_parquet("data/train.parquet")
    flights(seed=2).write_parquet("data/holdout.parquet")
    return tmp_path


BOTH = "train=data/train.parquet\nholdout=data/holdout.parquet"


def held(path: str, schema: str = "schema.yml") -> list[Check]:
    """What the written schema says of data."""
    return validation.validate(read(Path(schema).read_text(encoding="utf-8"), file=schema), reading.scan(path))


def policy() -> Policy:
    return read_text(Path("slipway.yml").read_text(encoding="utf-8"), Policy, file="slipway.yml")


def test_init__writes_what_its_own_data_satisfy() -> None:
    main(Inputs(data=BOTH, target="late", model="delays"))
    for path in ("data/train.parquet", "data/holdout.parquet"):
        assert {check.verdict for check in held(path)} == {Verdict.PASS}
    said = policy()
    assert (said.model, list(said.data)) == ("delays", ["train", "holdout"])
    assert said.evaluation is not None
    assert (said.evaluation.task, said.evaluation.holdout, said.evaluation.target) == ("binary", "holdout", "late")


def test_init__the_examples_bad_delivery_fails() -> None:
    main(Inputs(data=BOTH, target="late"))
    bad = runpy.run_path(str(BAD_DELIVERY))["main"]
    bad(Path("data/holdout.parquet"), Path("bad.parquet"))
    failing = {check.name.split(":")[0] for check in held("bad.parquet") if check.verdict is Verdict.FAIL}
    assert failing == {"number", "tailnum", "origin", "distance", "wind_speed"}


def test_init__guesses_are_marked_for_review() -> None:
    main(Inputs(data=BOTH, target="late"))
    schema = Path("schema.yml").read_text(encoding="utf-8")
    columns = yaml.safe_load(schema)["columns"]
    assert columns["origin"]["isin"] == ["EWR", "JFK", "LGA"]
    assert columns["number"]["unique"] is True and "unique" not in columns["hour"]
    assert columns["distance"]["in_range"]["min_value"] == 0
    assert columns["wind_speed"]["nullable"] is True and columns["late"]["nullable"] is False
    for line in schema.splitlines():
        guess = line.strip().startswith(("nullable", "unique"))
        assert not guess or "# review: " in line
    text = Path("slipway.yml").read_text(encoding="utf-8")
    assert "task: binary  # review: late has 2 different values of type Boolean" in text
    workflow = Path(".github/workflows/slipway.yml").read_text(encoding="utf-8")
    assert "your-org/slipway/.github/workflows/pipeline.yml@<commit>" in workflow
    assert set(yaml.safe_load(workflow)["jobs"]) == {"gate"}


def test_init__never_writes_over_anything_unless_told(repository: Path) -> None:
    mine = repository / ".github" / "workflows" / "slipway.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConflictError, match=r"slipway\.yml is there already"):
        main(Inputs(data=BOTH))
    assert mine.read_text() == "mine"
    assert not (repository / "schema.yml").exists() and not (repository / "slipway.yml").exists()
    main(Inputs(data=BOTH, force=True))
    assert mine.read_text() != "mine" and (repository / "schema.yml").exists()


def test_init__one_path_is_the_holdout_and_training_data_alone_are_no_evaluation() -> None:
    main(Inputs(data="data/train.parquet"))
    assert list(policy().data) == ["holdout"]
    main(Inputs(data="train=data/train.parquet", force=True))
    assert policy().evaluation is None
    assert "nothing can be judged" in Path("slipway.yml").read_text(encoding="utf-8")


def test_init__datasets_with_other_columns_get_schemas_of_their_own() -> None:
    flights(seed=3).drop("late").write_parquet("data/live.parquet")
    main(Inputs(data=f"live=data/live.parquet\n{BOTH}", target="late"))
    assert {name: each.schema_ for name, each in policy().data.items()} == {
        "live": "schema.yml",
        "train": "schema-train.yml",
        "holdout": "schema-train.yml",
    }
    assert {check.verdict for check in held("data/train.parquet", "schema-train.yml")} == {Verdict.PASS}


def test_init__names_and_values_of_others_stay_text() -> None:
    rows = 100
    hostile = pl.DataFrame(
        {
            "a: b # c\n  evil": ["yes", "no\n- x: 1"] * (rows // 2),
            "null": ['"', "\u2028é😀"] * (rows // 2),
            "1": list(range(rows)),
            "y": [0.5, 1.5] * (rows // 2),
        }
    )
    hostile.write_parquet("data/odd.parquet")
    main(Inputs(data="data/odd.parquet", target="a: b # c\n  evil"))
    columns = yaml.safe_load(Path("schema.yml").read_text(encoding="utf-8"))["columns"]
    assert list(columns) == hostile.columns
    assert columns["null"]["isin"] == sorted(set(hostile["null"]))
    said = policy().evaluation
    assert said is not None and said.target == hostile.columns[0]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("c", [None] * 40),
        pl.Series("c", [7] * 40),
        pl.Series("c", [0.0] * 40),
        pl.Series("c", [1e308, -1e308] * 20),
        pl.Series("c", [float("inf"), 1.0] * 20),
        pl.Series("c", [float("nan"), 1.0] * 20),
        pl.Series("c", [1e-300, 3e-300] * 20),
        pl.Series("c", [2**62, -(2**62)] * 20),
        pl.Series("c", ["a", None] * 20),
        pl.Series("c", [b"a", b"b"] * 20),
        pl.Series("c", [[1], [2, 3]] * 20),
        pl.Series("c", [timedelta(days=1)] * 40),
        pl.Series("c", [datetime(2026, 1, 1)] * 40).dt.replace_time_zone("Europe/Berlin"),
        pl.Series("c", ["a", "b"] * 20, dtype=pl.Categorical),
        pl.Series("c", ["1.50", "2.25"] * 20).cast(pl.Decimal(10, 2)),
    ],
    ids=lambda column: str(column.dtype) + str(column[0])[:12],
)
def test_init__any_column_gets_a_schema_that_it_satisfies(column: pl.Series) -> None:
    pl.DataFrame([column, pl.Series("y", [0, 1] * 20)]).write_parquet("data/odd.parquet")
    main(Inputs(data="data/odd.parquet"))
    assert {check.verdict for check in held("data/odd.parquet")} == {Verdict.PASS}


def test_init__one_row_and_wide_frames() -> None:
    pl.DataFrame({f"c{number}": [number] for number in range(2000)}).write_parquet("data/wide.parquet")
    main(Inputs(data="data/wide.parquet"))
    assert {check.verdict for check in held("data/wide.parquet")} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("data", "target", "said"),
    [
        ("train=data/train.parquet\nfoo", "", "is not `name=path`"),
        ("a=data/train.parquet\na=data/holdout.parquet", "", "given twice"),
        ("data/none.parquet", "", "There are no data"),
        ("data/cut.parquet", "", "cannot be read"),
        (BOTH, "lat", "has no column `lat`"),
    ],
)
def test_init__refuses_what_it_cannot_use(repository: Path, data: str, target: str, said: str) -> None:
    (repository / "data" / "cut.parquet").write_bytes((repository / "data" / "train.parquet").read_bytes()[:2000])
    with pytest.raises(SlipwayError) as refused:
        main(Inputs(data=data, target=target))
    assert isinstance(refused.value, InputError) and said in str(refused.value)
    assert not (repository / "slipway.yml").exists()


def test_init__gates_name_metrics_of_their_task() -> None:
    known = {(metric.task, metric.name) for metric in METRICS}
    used = {(task, gate.partition(":")[0]) for task, gates in starting.GATES.items() for gate in gates}
    assert used - known == set()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 100, (0, 110)), (50, 60, (49, 61)), (-10, 0, (-11, 0)), (7, 7, (6, 8)), (1.0, 3.0, (0.8, 3.2))],
)
def test_bounds__leave_a_margin_and_do_not_pass_zero(low: float, high: float, expected: tuple[float, float]) -> None:
    assert inference.bounds(low, high) == pytest.approx(expected)


def test_a_wide_frame_is_looked_at_some_columns_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = flights().lazy()
    at_once = inference.look([frame])
    monkeypatch.setattr(inference, "AT_ONCE", 2)
    asked: list[int] = []
    facts = inference._facts

    def counted(frame: pl.LazyFrame, strip: Mapping[str, pl.DataType]) -> dict[str, dict[str, Any]]:
        asked.append(len(strip))
        return facts(frame, strip)

    monkeypatch.setattr(inference, "_facts", counted)
    assert inference.look([frame]) == at_once
    assert asked == [2, 2, 2, 2, 1]


def test_a_column_without_any_value_is_declared_without_a_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("holdout.csv").write_text("x,comment,target\n" + "".join(f"{n},,{n % 2}\n" for n in range(40)))
    main(Inputs(data="holdout.csv"))
    declared = yaml.safe_load(Path("schema.yml").read_text())["columns"]["comment"]
    assert declared == {"nullable": True}


def test_counters_get_no_bound_and_truth_values_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pl.DataFrame({"order": range(100, 160), "late": [0, 1] * 30, "items": [1, 2, 5] * 20})
    frame.write_parquet("holdout.parquet")
    main(Inputs(data="holdout.parquet", target="late"))
    declared = yaml.safe_load(Path("schema.yml").read_text())["columns"]
    assert declared["order"] == {"dtype": "Int64", "nullable": False, "unique": True}
    assert declared["late"]["in_range"] == {"min_value": 0, "max_value": 1}
    assert declared["items"]["in_range"] == {"min_value": 0, "max_value": 6}


def test_init__codes_of_a_csv_are_text_in_all_data() -> None:
    """In the holdout no code happens to begin with a zero: one schema serves both all the same."""
    Path("train.csv").write_text("zip,n,target\n" + "".join(f"{n:05},{n},{n % 2}\n" for n in range(9980, 10020)))
    Path("holdout.csv").write_text("zip,n,target\n" + "".join(f"{n:05},{n},{n % 2}\n" for n in range(20000, 20040)))
    main(Inputs(data="train=train.csv\nholdout=holdout.csv"))
    said = read(Path("schema.yml").read_text(encoding="utf-8"), file="schema.yml")
    assert {name: str(dtype) for name, dtype in said.types.named.items()} == {
        "zip": "String",
        "n": "Int64",
        "target": "Int64",
    }
    assert list(Path().glob("schema*.yml")) == [Path("schema.yml")]
