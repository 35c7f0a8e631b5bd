"""The report: what verdicts add up to, what is no report, files that are never half written, and what fails a step."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.report import Check, Column, Report, Table, Verdict, combine, enforce
from slipway.runner.errors import GateError, InputError, RemoteError

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        ([], OPEN),
        ([PASS], PASS),
        ([FAIL], FAIL),
        ([OPEN], OPEN),
        ([PASS, PASS], PASS),
        ([PASS, FAIL], FAIL),
        ([PASS, OPEN], OPEN),
        ([FAIL, OPEN], FAIL),
        ([PASS, FAIL, OPEN], FAIL),
    ],
)
def test_combine__truth_table(verdicts: list[Verdict], together: Verdict) -> None:
    for order in itertools.permutations(verdicts):
        assert combine(order) is together
        assert combine([*order, *order]) is together
        assert combine(iter(order)) is together


def test_verdict__there_is_no_fourth() -> None:
    assert [each.value for each in Verdict] == ["pass", "fail", "inconclusive"]


def report(**said: Any) -> Report:
    return Report(**{"stage": "validate-data", "model": "m", "verdict": PASS, **said})


def full() -> Report:
    return report(
        headline="Rows: 3",
        reasons=("one", "zwei 🚢"),
        checks=(
            Check(name="a", verdict=FAIL, detail="d", count=3, examples=("x",), values={"p": 0.5, "n": 3, "t": True}),
        ),
        tables=(
            Table(title="T", columns=(Column(name="c"), Column(name="n", kind="number")), rows=(("x", 1.5), (None, 2))),
        ),
        provenance={"commit": "abc", "clean": True, "rows": 3, "share": 1.0, "nothing": None},
        links={"run": "https://ci.invalid/1"},
        started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seconds=1.25,
    )


def test_report__survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "report.json"
    assert full().write(path) == path
    assert Report.read(path) == full()
    assert json.loads(path.read_text(encoding="utf-8"))["checks"][0]["values"] == {"p": 0.5, "n": 3, "t": True}


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
CELLS = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(
    text=st.text(),
    provenance=st.dictionaries(st.text(), VALUES),
    rows=st.lists(st.tuples(CELLS, CELLS)),
    verdict=st.sampled_from(list(Verdict)),
)
def test_report__any_value_keeps_its_type_through_the_file(
    text: str, provenance: dict[str, Any], rows: list[Any], verdict: Verdict
) -> None:
    table = Table(title=text, columns=(Column(name=text), Column(name="n")), rows=tuple(rows))
    before = report(model=text, headline=text, verdict=verdict, provenance=provenance, tables=(table,))
    with tempfile.TemporaryDirectory() as folder:
        after = Report.read(before.write(Path(folder) / "report.json"))
    assert after == before
    assert [type(value) for value in after.provenance.values()] == [type(value) for value in provenance.values()]
    assert [[type(cell) for cell in row] for row in after.tables[0].rows] == [
        [type(cell) for cell in row] for row in rows
    ]


def broken(tmp_path: Path, change: Any) -> InputError:
    said = json.loads(full().model_dump_json())
    change(said)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(InputError, match="is not a report of Slipway") as caught:
        Report.read(path)
    assert "`report` output" in caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda it: it.update(verdcit="pass"), "verdcit"),
        (lambda it: it["checks"][0].update(extra=1), "checks.0.extra"),
        (lambda it: it["tables"][0]["columns"][0].update(html="<b>"), "tables.0.columns.0.html"),
        (lambda it: it.update(verdict="passed"), "verdict"),
        (lambda it: it.update(verdict="PASS"), "verdict"),
        (lambda it: it.update(verdict=None), "verdict"),
        (lambda it: it.pop("verdict"), "verdict"),
        (lambda it: it.pop("stage"), "stage"),
        (lambda it: it.pop("model"), "model"),
        (lambda it: it.update(schema_version=2), "schema_version"),
        (lambda it: it.update(seconds=float("nan")), "seconds"),
        (lambda it: it.update(seconds=float("inf")), "seconds"),
        (lambda it: it["provenance"].update(share=float("nan")), "provenance.share"),
        (lambda it: it["provenance"].update(share=[1]), "provenance.share"),
        (lambda it: it["checks"][0]["values"].update(p=float("-inf")), "checks.0.values.p"),
        (lambda it: it["tables"][0]["rows"][0].__setitem__(1, float("nan")), "tables.0.rows.0.1"),
        (lambda it: it["tables"][0]["rows"][0].append("more"), "tables.0"),
        (lambda it: it["tables"][0]["rows"].append([]), "tables.0"),
        (lambda it: it["tables"][0].update(columns=[], rows=[[]]), "tables.0"),
        (lambda it: it["tables"][0]["columns"][0].update(kind="html"), "tables.0.columns.0.kind"),
        (lambda it: it.update(started="yesterday"), "started"),
        (lambda it: it.update(reasons="text"), "reasons"),
    ],
)
def test_read__what_is_no_report_is_refused_with_its_place(change: Any, place: str, tmp_path: Path) -> None:
    assert broken(tmp_path, change).why.startswith(place)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"pass"', b"{}" * 2])
def test_read__what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a report of Slipway") as caught:
        Report.read(path)
    assert caught.value.why[0].isalpha()


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_read__what_cannot_be_opened_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Report.read(tmp_path / name)


def test_report__is_never_changed_after_it_was_made() -> None:
    with pytest.raises(ValidationError):
        full().verdict = PASS


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_report__cannot_be_made_with_a_number_that_is_none(number: float) -> None:
    with pytest.raises(ValidationError):
        report(seconds=number)
    with pytest.raises(ValidationError):
        Check(name="c", verdict=PASS, values={"p": number})


def test_write__a_crash_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = full().write(tmp_path / "report.json")
    before = path.read_bytes()

    def crash(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        report(verdict=FAIL).write(path)
    assert path.read_bytes() == before


def test_write__nobody_sees_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    full().write(path)
    seen: list[Report] = []
    replace = Path.replace

    def look_first(self: Path, target: Path) -> Path:
        seen.append(Report.read(path))  # the moment before: still the whole document before
        seen.append(Report.read(self))  # and what takes its place is whole, too
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look_first)
    report(verdict=FAIL).write(path)
    assert [each.verdict for each in seen] == [PASS, FAIL]
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208 - names are wanted


def test_finished__measures_from_the_start() -> None:
    begun = datetime.now(UTC) - timedelta(seconds=10)
    done = report(started=begun).finished()
    assert 10 <= done.seconds < 60
    assert done.started == begun


def test_after_failure__a_gate_fails() -> None:
    failure = GateError("Too few rows.", why="3\n  < 10", fix="More\n rows.")
    after = report(reasons=("remark",)).after_failure(failure, provenance={"commit": "abc"})
    assert after.advice == "More rows."
    assert after.verdict is FAIL
    assert after.headline == "Too few rows."
    assert after.reasons == ("3 < 10", "remark")
    assert after.provenance == {"commit": "abc"}


@pytest.mark.parametrize("failure", [InputError("No."), RemoteError("No.")])
def test_after_failure__anything_else_was_not_judged_and_is_no_pass(failure: InputError | RemoteError) -> None:
    after = report(verdict=PASS).after_failure(failure, provenance={})
    assert (after.verdict, after.reasons) == (OPEN, ())


def test_after_failure__each_point_of_a_list_is_a_reason() -> None:
    failure = InputError("No.", why="\n- `a` is\t missing.\n- `b` is missing." + 20 * "\n- more")
    reasons = report(reasons=("remark",)).after_failure(failure, provenance={}).reasons
    assert reasons[:3] == ("`a` is missing.", "`b` is missing.", "more")
    assert (len(reasons), reasons[-1]) == (11, "remark")


def test_after_failure__a_long_reason_is_shortened() -> None:
    after = report().after_failure(InputError("No.", why="x" * 5000), provenance={})
    assert after.reasons == ("x" * 500,)


Policy = Literal["warn", "fail"]


@pytest.mark.parametrize("on_inconclusive", ["warn", "fail"])
def test_enforce__a_pass_passes(on_inconclusive: Policy, on_runner: None, capsys: pytest.CaptureFixture[str]) -> None:
    enforce(report(), on_inconclusive=on_inconclusive)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("on_inconclusive", ["warn", "fail"])
def test_enforce__a_fail_fails_with_its_reasons(on_inconclusive: Policy, on_runner: None) -> None:
    with pytest.raises(GateError) as caught:
        enforce(report(verdict=FAIL, headline="Worse.", reasons=("a", "b")), on_inconclusive=on_inconclusive)
    assert str(caught.value) == "Worse.\nWhy: \n- a\n- b"


def test_enforce__does_not_repeat_what_a_person_has_just_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    with pytest.raises(GateError) as caught:
        enforce(report(verdict=FAIL, headline="Worse.", reasons=("a", "b")), on_inconclusive="warn")
    assert str(caught.value) == "Worse."
    enforce(report(verdict=OPEN, headline="Close.", reasons=("a",)), on_inconclusive="warn")
    assert "- a" not in capsys.readouterr().out


def test_enforce__inconclusive_may_warn(on_runner: None, capsys: pytest.CaptureFixture[str]) -> None:
    enforce(report(verdict=OPEN, headline="Close.", reasons=("a",)), on_inconclusive="warn")
    assert capsys.readouterr().out == "::warning title=Inconclusive::Close.%0A- a\n"


def test_enforce__inconclusive_may_fail_and_says_that_the_policy_wants_it() -> None:
    with pytest.raises(GateError, match="validate-data: inconclusive") as caught:
        enforce(report(verdict=OPEN), on_inconclusive="fail")
    assert "on_inconclusive: fail" in caught.value.fix
    assert caught.value.why == ""
