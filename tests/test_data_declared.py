"""The types that a schema file declares, as every stage reads them: those that validate-data has, without pandera."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from slipway.data import declared
from slipway.data.schema import read
from slipway.data.types import Types
from slipway.policy.model import Policy
from slipway.policy.source import SourcedPolicy
from slipway.runner.errors import InputError, PolicyError
from test_data_schema import EVERY_CHECK

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "text",
    [
        str(EVERY_CHECK.to_yaml()),
        *(file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("examples/*/schema*.yml"))),
        "columns: {zip: {dtype: str, isin: ['01234']}, n: {nullable: true}}\nslipway: {rows: {min: 5}}\n",
        "columns: {kind: {dtype: category}, at: {dtype: 'datetime64[ns]'}}\n",
        "strict: false\n",
        "columns: {'code_.*': {dtype: str, regex: true}, '^n_.*$': {dtype: int}, code_n: {}}\n",
    ],
)
def test_types__are_those_of_the_schema(text: str) -> None:
    assert declared.types(text, file="schema.yml") == read(text, file="schema.yml").types


def test_types__of_no_schema_name_the_file_and_what_was_meant() -> None:
    with pytest.raises(PolicyError, match="`Strng` is not a known type; did you mean `String`") as caught:
        declared.types("columns:\n  zip: {dtype: Strng}\n", file="schema.yml")
    assert (caught.value.file, caught.value.line) == ("schema.yml", 2)
    with pytest.raises(PolicyError, match=r"schema\.yml"):
        declared.types("columns: [zip]\n", file="schema.yml")


def test_types__of_columns_by_pattern_as_validation_gives_them() -> None:
    text = "columns: {'code_.*': {dtype: String, regex: true}, '^n_.*$': {dtype: Int64}, code_n: {}, 'x.*': {}}\n"
    found = declared.types(text, file="schema.yml")
    said = {name: found.of(name) for name in ("code_1", "code_n", "n_1", "an_1", "x.*", "xy", "code_.*")}
    assert said == {"code_1": pl.String(), "n_1": pl.Int64(), "code_.*": pl.String()} | dict.fromkeys(
        ("code_n", "an_1", "x.*", "xy")
    ), "what is declared by its name has no type of a pattern"
    assert found.but_for(["code_1"]).of("code_1") is None and found.but_for(["code_1"]).of("code_2") == pl.String()


@pytest.mark.parametrize("reader", [declared.types, read])
def test_types__a_pattern_that_is_none_is_named(reader: Callable[..., object]) -> None:
    text = "columns:\n  id: {dtype: Int64}\n  'co(de': {dtype: String, regex: true}\n"
    with pytest.raises(PolicyError, match=r"`co\(de` is no pattern: missing \)") as caught:
        reader(text, file="s.yml")
    assert (caught.value.file, caught.value.line) == ("s.yml", 3)


def test_types_in__a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The schema .*none\.yml cannot be read"):
        declared.types_in(tmp_path / "none.yml")


def test_types_of__a_dataset_whose_files_carry_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("zip\n01234\n")
    pl.DataFrame({"zip": [1234]}).write_parquet("a.parquet")
    data = {
        "csv": {"path": "a.csv", "schema": "schema.yml"},
        "free": {"path": "a.csv"},
        "parquet": {"path": "a.parquet", "schema": "absent.yml"},
        "lost": {"path": "a.csv", "schema": "absent.yml"},
    }
    sourced = SourcedPolicy(Policy.model_validate({"version": 1, "model": "m", "data": data}), Path("slipway.yml"))
    Path("schema.yml").write_text("columns: {zip: {dtype: String}}\n")
    assert declared.types_of(sourced, "csv", "a.csv") == Types({"zip": pl.String()})
    assert declared.types_of(sourced, "free", "a.csv") == Types()
    assert declared.types_of(sourced, "parquet", "a.parquet") == Types(), "they are of the types that they say"
    with pytest.raises(PolicyError, match=r"There is no schema at absent\.yml"):
        declared.types_of(sourced, "lost", "a.csv")


def test_reading_the_types_needs_no_pandera() -> None:
    """Evaluation, drift and profiles do not install it."""
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import slipway.data.declared; "
    done = subprocess.run([sys.executable, "-c", program + "print(*sys.modules)"], capture_output=True, check=True)
    assert not {b"pandera", b"pandas", b"numpy"} & set(done.stdout.split())
