"""The stage as a step runs it: inputs from the environment; exit code, outputs, annotations, summary and report."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml

import warm_stage
from slipway.report import Check, Report, Verdict
from slipway.runner import outputs

SCRIPT = Path(__file__).parents[1] / "scripts" / "validate_data.py"

SCHEMA = """
columns:
  id: {dtype: Int64, unique: true}
  amount: {dtype: Float64, in_range: {min_value: 0, max_value: 100}}
  kind: {dtype: String, isin: [a, b]}
strict: true
"""
POLICY = """
version: 1
model: churn
data:
  train: {path: data/train.parquet, schema: schema.yml}
  holdout: {path: data/holdout.parquet, schema: schema.yml}
evaluation:
  task: binary
  holdout: holdout
  target: kind
  metrics: {accuracy: {}}
"""


@dataclass
class Step:
    """What a step of a job leaves."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str

    @property
    def report(self) -> Report:
        return Report.read(Path(self.outputs["report"]))

    def check(self, name: str) -> Check:
        return next(check for check in self.report.checks if check.name == name)


def run(folder: Path, cache: str = "", **inputs: str) -> Step:
    files = {"GITHUB_OUTPUT": folder / "out.txt", "GITHUB_STEP_SUMMARY": folder / "summary.md"}
    for file in files.values():
        file.write_text("")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ = {
        **kept,
        **{name: str(file) for name, file in files.items()},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        "GITHUB_ACTIONS": "true",
        "RUNNER_TEMP": str(folder / "temp"),
        "PYTHONWARNINGS": "error",
    }
    if cache:  # the comparison runs in an environment of its own, with MLflow, which warns of itself
        environ.pop("PYTHONWARNINGS")
        environ["SLIPWAY_CACHE"] = cache
    if (folder / "event.json").exists():
        environ["GITHUB_EVENT_PATH"] = str(folder / "event.json")
    python = warm_stage.python_for(SCRIPT, sys.executable, "-W", "error")
    done = subprocess.run(
        [python, str(SCRIPT)], cwd=folder / "repo", env=environ, capture_output=True, text=True, check=False
    )
    return Step(
        code=done.returncode,
        log=done.stdout + done.stderr,
        outputs=outputs.read(files["GITHUB_OUTPUT"]),
        summary=files["GITHUB_STEP_SUMMARY"].read_text(),
    )


def frame(start: int, count: int = 40) -> pl.DataFrame:
    numbers = range(start, start + count)
    return pl.DataFrame({"id": numbers, "amount": [n / 10 for n in range(count)], "kind": ["a", "b"] * (count // 2)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder with a repository whose data satisfy its schema."""
    repo = tmp_path / "repo"
    (repo / "data").mkdir(parents=True)
    (repo / "slipway.yml").write_text(POLICY)
    (repo / "schema.yml").write_text(SCHEMA)
    frame(0).write_parquet(repo / "data" / "train.parquet")
    frame(1000).write_parquet(repo / "data" / "holdout.parquet")
    return tmp_path


def commit(repo: Path) -> str:
    git = ["git", "-C", str(repo), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "base"]):
        subprocess.run([*git, *command], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def test_good_data_pass(folder: Path) -> None:
    commit(folder / "repo")
    step = run(folder)
    assert step.code == 0, step.log
    assert "::error" not in step.log
    assert step.outputs["verdict"] == "pass"
    assert Path(step.outputs["report"]) == folder / "temp/slipway/reports/churn/validate-data.json"
    report = step.report
    assert (report.stage, report.model, report.verdict) == ("validate-data", "churn", Verdict.PASS)
    assert report.headline == "All 21 checks of 2 datasets passed."
    assert report.reasons == ()
    assert {check.verdict for check in report.checks} == {Verdict.PASS}
    assert str(report.provenance["data_train"]).startswith("data/train.parquet git ")
    assert "sha256:" in str(report.provenance["schema_train"])
    assert str(report.provenance["policy_digest"]).startswith("sha256:")
    assert [table.folded for table in report.tables] == [True]
    assert "✅" in step.summary


def test_a_column_that_only_the_evaluation_asks_for(folder: Path) -> None:
    policy = folder / "repo" / "slipway.yml"
    said = POLICY.replace("target: kind", "target: late\n  cluster: airline")
    assert said != POLICY
    policy.write_text(said)
    step = run(folder)
    assert step.code == 1
    failing = {check.name: check.detail for check in step.report.checks if check.verdict is Verdict.FAIL}
    line, known = said[: said.index("target: late")].count("\n") + 1, "the columns are id, amount, kind"
    assert failing == {
        "holdout: column late": f"`evaluation.target` (slipway.yml, line {line}) names it; {known}",
        "holdout: column airline": f"`evaluation.cluster` (slipway.yml, line {line + 1}) names it; {known}",
    }


def test_every_misspelt_column_of_the_evaluation_is_found_with_its_line(folder: Path) -> None:
    policy = folder / "repo" / "slipway.yml"
    said = POLICY.replace(
        "target: kind",
        "target: kind\n  key: [id, ammount]\n  slices:\n    columns: [kind, [knd, amount]]\n"
        "  fairness: {groups: [kidn], metrics: {accuracy: {}}}\n"
        "  robustness:\n    noise: {columns: [amout], metric: accuracy, max_drop: 0.1}",
    )
    policy.write_text(said)
    step = run(folder)
    assert step.code == 1
    first = said[: said.index("key:")].count("\n") + 1
    details = [check.detail for check in step.report.checks if check.verdict is Verdict.FAIL]
    assert details == [
        f"`evaluation.key` (slipway.yml, line {first}) names it; did you mean `amount`?",
        f"`evaluation.slices.columns` (slipway.yml, line {first + 2}) names it; did you mean `kind`?",
        f"`evaluation.fairness.groups` (slipway.yml, line {first + 3}) names it; did you mean `kind`?",
        f"`evaluation.robustness.noise.columns` (slipway.yml, line {first + 5}) names it; did you mean `amount`?",
    ]


def test_columns_of_a_task_that_only_the_evaluation_asks_for(folder: Path) -> None:
    policy = folder / "repo" / "slipway.yml"
    said = yaml.safe_load(POLICY)
    of_series = {"task": "forecasting", "target": "amount", "time": "day", "series": "shop", "metrics": {"wape": {}}}
    said["evaluation"] = {"holdout": "holdout", **of_series}
    policy.write_text(yaml.safe_dump(said))
    failing = {check.name for check in run(folder).report.checks if check.verdict is Verdict.FAIL}
    assert failing == {"holdout: column shop", "holdout: column day"}


def test_a_text_task_without_a_target_asks_for_no_column(folder: Path) -> None:
    policy = folder / "repo" / "slipway.yml"
    said = yaml.safe_load(POLICY)
    said["evaluation"] = {"holdout": "holdout", "task": "text", "metrics": {"json_valid": {}}}
    policy.write_text(yaml.safe_dump(said))
    assert run(folder).code == 0


def test_bad_data_fail_with_every_violation_named(folder: Path) -> None:
    bad = frame(0).with_columns(
        amount=pl.when(pl.col("id") < 3).then(-1.0).otherwise(pl.col("amount")),
        kind=pl.when(pl.col("id") == 7).then(pl.lit("z")).otherwise(pl.col("kind")),
    )
    bad.write_parquet(folder / "repo/data/train.parquet")
    step = run(folder)
    assert step.code == 1
    assert step.outputs["verdict"] == "fail"
    amount = step.check("train: amount: 0 <= value <= 100")
    assert (amount.verdict, amount.count) == (Verdict.FAIL, 3)
    assert amount.examples == ("row 0: -1.0", "row 1: -1.0", "row 2: -1.0")
    assert step.check("train: kind: isin(['a', 'b'])").examples == ("row 7: 'z'",)
    assert step.log.count("::error") == 1
    assert "3 of 40 rows (7.5 %25) violate it" in step.log
    assert step.report.tables[0].title == "Violated checks"
    assert len(step.report.tables[0].rows) == 2
    assert "❌" in step.summary


def test_no_value_of_the_data_is_shown_where_examples_are_forbidden(folder: Path) -> None:
    secret = frame(0).with_columns(kind=pl.lit("very-personal"))
    secret.write_parquet(folder / "repo/data/train.parquet")
    step = run(folder, examples="0")
    assert step.code == 1
    assert "very-personal" not in step.log + step.summary + step.report.model_dump_json()
    assert "very-personal" in run(folder).summary.replace("\\", "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There are no data at data/train.parquet."),
        (b"", "is empty (0 bytes)"),
        (b"PAR1 nonsense", "cannot be read"),
    ],
)
def test_data_that_cannot_be_used_fail_and_the_other_dataset_is_still_judged(
    folder: Path, content: bytes | None, said: str
) -> None:
    path = folder / "repo/data/train.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    step = run(folder)
    assert step.code == 1
    assert step.check("train: readable").verdict is Verdict.FAIL
    assert said in step.check("train: readable").detail
    assert step.check("holdout: id: unique").verdict is Verdict.PASS
    assert "Traceback" not in step.log
    # Which file it was can be looked up, if there is one.
    assert ("data_train" in step.report.provenance) == (content is not None)


def test_a_schema_that_names_an_absent_column_says_so(folder: Path) -> None:
    schema = folder / "repo/schema.yml"
    schema.write_text(SCHEMA.replace("amount:", "amonut:"))
    step = run(folder)
    assert step.code == 1
    assert step.check("train: amonut: present").detail == "the data have no column `amonut`; the nearest is `amount`"
    assert step.check("train: amonut: 0 <= value <= 100").verdict is Verdict.INCONCLUSIVE


def test_a_misspelt_check_is_an_annotation_on_its_line_and_leaves_a_report(folder: Path) -> None:
    (folder / "repo/schema.yml").write_text("columns:\n  id:\n    dtype: Int64\n    grater_than: 0\n")
    step = run(folder)
    assert step.code == 1
    assert "::error title=Policy,file=schema.yml,line=4::" in step.log
    assert "did you mean `greater_than`?" in step.log
    assert step.outputs["verdict"] == "inconclusive"
    assert step.report.verdict is Verdict.INCONCLUSIVE


def test_without_a_schema_nothing_was_checked_and_that_is_no_pass(folder: Path) -> None:
    policy = folder / "repo/slipway.yml"
    policy.write_text(POLICY.replace(", schema: schema.yml", ""))
    step = run(folder)
    assert (step.code, step.outputs["verdict"]) == (0, "inconclusive")
    assert "::warning" in step.log
    assert "no schema: nothing was checked" in step.check("train: schema").detail
    policy.write_text(policy.read_text().replace("metrics:", "on_inconclusive: fail\n  metrics:"))
    assert run(folder).code == 1


def test_rows_of_the_holdout_in_the_training_data_fail(folder: Path) -> None:
    pl.concat([frame(0), frame(1000).head(4)]).write_parquet(folder / "repo/data/train.parquet")
    step = run(folder)
    assert step.code == 1
    leak = step.check("leakage: rows of holdout in train")
    assert (leak.verdict, leak.count) == (Verdict.FAIL, 4)


def test_data_outside_of_version_control_are_remarked(folder: Path) -> None:
    reasons = run(folder).report.reasons
    assert any("data/train.parquet is not versioned" in reason for reason in reasons)


def test_one_dataset_without_a_policy(folder: Path) -> None:
    (folder / "repo/slipway.yml").unlink()
    step = run(folder, data="data/train.parquet", schema="schema.yml", report=str(folder / "r" / "x.json"))
    assert step.code == 0, step.log
    assert Path(step.outputs["report"]) == folder / "r" / "x.json"
    assert step.report.model == "train"
    assert run(folder, data="data/*.parquet", schema="schema.yml").code == 0
    assert run(folder, data="data", schema="schema.yml").report.model == "data"
    assert run(folder, data="data/train.parquet").outputs["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"schema": "schema.yml"}, "`schema` was given without `data`"),
        ({"examples": "-1"}, "must not be negative"),
        ({"examples": "many"}, "must be a whole number"),
        ({"policy": "none.yml"}, "There is no policy at none.yml"),
        ({"data": "data/train.parquet", "schema": "none.yml"}, "The schema none.yml cannot be read"),
    ],
)
def test_wrong_inputs_are_one_annotation(folder: Path, inputs: dict[str, str], said: str) -> None:
    step = run(folder, **inputs)
    assert step.code == 1
    assert step.log.count("::error") == 1
    assert said in step.log


def test_in_a_pull_request_the_base_branchs_schema_judges(folder: Path) -> None:
    repo = folder / "repo"
    base = commit(repo)
    frame(0).with_columns(amount=pl.lit(-1.0)).write_parquet(repo / "data/train.parquet")
    (repo / "schema.yml").write_text(SCHEMA.replace("min_value: 0", "min_value: -5"))
    (folder / "event.json").write_text(
        f'{{"pull_request": {{"base": {{"sha": "{base}"}}, "head": {{"sha": "{base}"}}}}}}'
    )
    step = run(folder)
    assert step.code == 1
    assert step.check("train: amount: 0 <= value <= 100").count == 40
    assert "This pull request changes `schema.yml`; the base branch's copy judged the data." in step.report.reasons
    (folder / "event.json").unlink()
    assert run(folder).code == 0


def test_names_in_the_data_forge_no_workflow_command_and_no_markup(folder: Path) -> None:
    name = "x\n::error::forged|<img>"
    frame(0).with_columns(pl.lit(1).alias(name)).write_parquet(folder / "repo/data/train.parquet")
    step = run(folder)
    assert step.code == 1
    assert not any(line.startswith("::error::forged") for line in step.log.splitlines())
    assert "<img>" not in step.summary


# Never doing work twice


@pytest.mark.parametrize("change", ["nothing", "schema", "data", "policy"])
def test_reuse__only_where_nothing_has_changed(folder: Path, change: str) -> None:
    repo, given = folder / "repo", {"reuse_from": str(folder / "passed")}
    commit(repo)
    first = run(folder, **given)
    assert (first.code, first.outputs["verdict"]) == (0, "pass"), first.log
    kept = first.report
    if change == "schema":
        (repo / "schema.yml").write_text(SCHEMA.replace("max_value: 100", "max_value: 1000"))
    elif change == "policy":
        (repo / "slipway.yml").write_text(POLICY.replace("accuracy: {}", "accuracy: {min: 0.5}"))
    elif change == "data":
        frame(0, 38).write_parquet(repo / "data" / "train.parquet")
        commit(repo)
    second = run(folder, **given)
    assert second.code == 0, second.log
    assert bool(second.report.reused_from) == (change == "nothing")
    if change == "nothing":
        assert second.report.checks == kept.checks
        assert second.report.provenance == kept.provenance


def test_reuse__never_of_data_that_are_not_pinned(folder: Path) -> None:
    for _ in range(2):
        assert run(folder, reuse_from=str(folder / "passed")).report.reused_from == ""
    assert not (folder / "passed").exists()


@pytest.mark.parametrize("as_of", ["", ", as_of: 2030-01-01"])
def test_reuse__never_where_the_time_of_day_decides(folder: Path, as_of: str) -> None:
    rule = f"slipway: {{freshness: {{column: day, max_age_days: 99999{as_of}}}}}\n"
    (folder / "repo" / "schema.yml").write_text(SCHEMA.replace("strict: true\n", "") + rule)
    for name, start in (("train", 0), ("holdout", 1000)):
        dated = frame(start).with_columns(day=pl.lit(datetime(2026, 11, 1, tzinfo=UTC)))
        dated.write_parquet(folder / "repo" / "data" / f"{name}.parquet")
    commit(folder / "repo")
    done = run(folder, reuse_from=str(folder / "passed"))
    assert done.code == 0, done.log
    assert (folder / "passed").exists() == bool(as_of)
