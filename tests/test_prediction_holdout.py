"""The holdout as read for the models, the groups that the policy names, and rows that training has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway import datasets
from slipway.policy.evaluation import Evaluation
from slipway.policy.model import Policy
from slipway.policy.source import SourcedPolicy
from slipway.prediction.holdout import overlap, read_holdout, schemas
from slipway.report import Check, Report, Subject, Verdict
from slipway.runner.errors import InputError, PolicyError


def sourced(tmp_path: Path, **evaluation: Any) -> tuple[SourcedPolicy, Evaluation]:
    """A policy whose training data are the whole holdout."""
    frame = pl.DataFrame({"id": range(60), "sex": ["a", "b"] * 30, "day": [1, 2, 3] * 20, "late": [True, False] * 30})
    for name in ("train", "holdout"):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    said = {"task": "binary", "holdout": "holdout", "target": "late", "metrics": {"accuracy": {}}, **evaluation}
    data = {name: {"path": str(tmp_path / f"{name}.parquet")} for name in ("train", "holdout")}
    policy = Policy.model_validate({"version": 1, "model": "m", "data": data, "evaluation": said})
    assert policy.evaluation
    return SourcedPolicy(policy, Path("slipway.yml")), policy.evaluation


def test_read_holdout__keeps_the_columns_of_groups_and_hides_the_target(tmp_path: Path) -> None:
    groups = {
        "slices": {"columns": ["day", ["day", "sex"]]},
        "fairness": {"groups": ["sex"], "metrics": {"recall": {}}},
    }
    policy, evaluation = sourced(tmp_path, cluster="day", **groups)
    holdout = read_holdout(policy, evaluation, tmp_path)
    assert holdout.named.columns == ["day", "sex"]
    assert holdout.named.height == 60
    assert holdout.clusters is not None
    assert [each.name for each in holdout.each_feature()] == ["id", "sex", "day"]
    assert read_holdout(*sourced(tmp_path), tmp_path).named.columns == []


def test_read_holdout__names_a_column_of_groups_that_is_not_there(tmp_path: Path) -> None:
    policy, evaluation = sourced(tmp_path, slices={"columns": ["carrier"]})
    with pytest.raises(InputError, match="no column `carrier`"):
        read_holdout(policy, evaluation, tmp_path)


def test_overlap__is_found_here_or_taken_from_validate_data(tmp_path: Path) -> None:
    policy, evaluation = sourced(tmp_path)
    found = overlap(policy, evaluation)
    assert found
    assert (found.verdict, found.values["shared"]) == (Verdict.FAIL, 60)
    check = Check(name="leakage: rows of holdout in train", verdict=Verdict.PASS, values={"shared": 0})
    versions = {name: str(datasets.identify(policy.policy.data[name].path)) for name in ("train", "holdout")}
    told = Report(
        stage="validate-data",
        model="m",
        verdict=Verdict.PASS,
        checks=(check,),
        subjects=tuple(Subject(role="data", name=name, id=version) for name, version in versions.items()),
    )
    assert overlap(policy, evaluation, told) == check
    of_other_data = told.model_copy(update={"subjects": told.subjects[:1]})
    assert overlap(policy, evaluation, of_other_data) == found


def test_overlap__without_training_data_is_not_known(tmp_path: Path) -> None:
    policy, evaluation = sourced(tmp_path)
    (tmp_path / "train.parquet").unlink()
    absent = overlap(policy, evaluation)
    assert absent
    assert absent.verdict is Verdict.INCONCLUSIVE
    alone = policy.policy.model_copy(update={"data": {"holdout": policy.policy.data["holdout"]}})
    assert overlap(SourcedPolicy(alone, Path("slipway.yml")), evaluation) is None


def test_read_holdout__takes_a_table_whose_first_column_has_no_name(tmp_path: Path) -> None:
    """As pandas writes its index into a CSV."""
    policy, evaluation = sourced(tmp_path)
    path = tmp_path / "holdout.csv"
    path.write_text(",x,late\n0,5,true\n1,6,false\n", encoding="utf-8")
    data = {"holdout": policy.policy.data["holdout"].model_copy(update={"path": str(path)})}
    policy = SourcedPolicy(policy.policy.model_copy(update={"data": data}), policy.path)
    read = read_holdout(policy, evaluation, tmp_path)
    assert read.truth.to_list() == [True, False]
    assert [each.name for each in read.each_feature()] == ["", "x"]


def test_read_holdout__refuses_a_cluster_of_lists(tmp_path: Path) -> None:
    policy, evaluation = sourced(tmp_path, cluster="days")
    path = tmp_path / "holdout.parquet"
    pl.read_parquet(path).with_columns(days=pl.concat_list("day", "id")).write_parquet(path)
    with pytest.raises(InputError, match="`days` is List"):
        read_holdout(policy, evaluation, tmp_path)


CODES = "columns: {zip: {dtype: String}, gone: {dtype: Float64, nullable: true}, late: {dtype: Boolean}}\n"


def of_csv(tmp_path: Path, schema: str = CODES, **evaluation: Any) -> tuple[SourcedPolicy, Evaluation]:
    """The policy of data in CSV, whose zip codes differ by their first zeros alone."""
    policy, asked = sourced(tmp_path, **evaluation)
    rows = "".join(f"{('01234', '1234', '001234')[n % 3]},,{n % 2 == 0}\n".lower() for n in range(60))
    data = {}
    for name in ("train", "holdout"):
        (tmp_path / f"{name}.csv").write_text("zip,gone,late\n" + rows, encoding="utf-8")
        (tmp_path / f"{name}.yml").write_text(schema, encoding="utf-8")
        said = {"path": str(tmp_path / f"{name}.csv"), "schema_": str(tmp_path / f"{name}.yml")}
        data[name] = policy.policy.data[name].model_copy(update=said)
    return SourcedPolicy(policy.policy.model_copy(update={"data": data}), policy.path), asked


def test_read_holdout__text_of_the_schema_is_text_for_models_slices_and_clusters(tmp_path: Path) -> None:
    read = read_holdout(*of_csv(tmp_path, cluster="zip", slices={"columns": ["zip"]}), tmp_path)
    codes = ["01234", "1234", "001234"]
    assert [each.head(3).to_list() for each in read.each_feature()] == [codes, [None] * 3]
    assert pl.read_parquet_schema(read.features) == {"zip": pl.String, "gone": pl.Float64}
    assert read.named["zip"].head(3).to_list() == codes
    assert read.clusters is not None and read.clusters.n_unique() == 3
    assert read.truth.dtype == pl.Boolean


def test_read_holdout__truths_that_the_schema_has_as_text(tmp_path: Path) -> None:
    schema = CODES.replace("Boolean", "String")
    assert read_holdout(*of_csv(tmp_path, schema), tmp_path).truth.head(2).to_list() == ["true", "false"]


def test_read_holdout__a_schema_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"holdout\.yml is not valid") as caught:
        read_holdout(*of_csv(tmp_path, "columns: {zip: {dtype: Strang}}"), tmp_path)
    assert caught.value.line == 1


def test_overlap__rows_that_differ_by_a_zero_are_other_rows(tmp_path: Path) -> None:
    policy, evaluation = of_csv(tmp_path)
    train = tmp_path / "train.csv"
    train.write_text("zip,gone,late\n" + "".join(f"{n},,true\n" for n in range(1000, 1060)), encoding="utf-8")
    (tmp_path / "holdout.csv").write_text(train.read_text().replace("\n1", "\n01"), encoding="utf-8")
    found = overlap(policy, evaluation)
    assert found and (found.verdict, found.values["shared"]) == (Verdict.PASS, 0)
    # As numbers they are the same.
    for name in ("train", "holdout"):
        (tmp_path / f"{name}.yml").write_text("columns: {late: {dtype: Boolean}}\n", encoding="utf-8")
    found = overlap(policy, evaluation)
    assert found and (found.verdict, found.values["shared"]) == (Verdict.FAIL, 60)


def test_schemas__are_those_by_which_data_are_read(tmp_path: Path) -> None:
    policy, evaluation = of_csv(tmp_path)
    before = schemas(policy, evaluation)
    assert [(each.role, Path(each.name).name) for each in before] == [
        ("schema", "holdout.yml"),
        ("schema", "train.yml"),
    ]
    (tmp_path / "holdout.yml").write_text(CODES.replace("zip", "other"), encoding="utf-8")
    after = schemas(policy, evaluation)
    assert after[0].id != before[0].id and after[1] == before[1]
    (tmp_path / "train.csv").unlink()
    assert schemas(policy, evaluation) == after[:1]
    typed, evaluation = sourced(tmp_path)
    assert schemas(typed, evaluation) == ()
