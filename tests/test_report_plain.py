"""What a person's terminal shows of a report."""

from __future__ import annotations

import pytest

from slipway.report import Column, Report, Table, Verdict, plain

HOSTILE = "Wide\x1b[2J trees\r\n\u202egpj"
REPORT = Report(
    stage="audit-trail",
    model="flights",
    verdict=Verdict.FAIL,
    headline="1 of 2 checks did not pass.",
    reasons=(f"version 1: {HOSTILE}", "a *second* one (#3)"),
    tables=(
        Table(
            title="Checks",
            columns=(Column(name="entry", kind="number"), Column(name="what", kind="code"), Column(name="why")),
            rows=((1234, "chain", "x" * 10), (2, "a|b", " ".join(["word"] * 30))),
            note="As recorded.",
        ),
    ),
    provenance={"ledger_head": "3:sha256:abc", "entries": 4000, "clean": True},
)


def test_page__is_plain_text() -> None:
    shown = plain.page(REPORT)
    assert shown.splitlines()[:3] == [
        "audit-trail: fail: 1 of 2 checks did not pass.",
        "- version 1: Wide[2J trees gpj",
        "- a *second* one (#3)",
    ]
    assert "Checks\n  entry  what    why\n" in shown and "\n  1,234  chain   xxxxxxxxxx\n" in shown
    assert "a|b" in shown and "As recorded." in shown
    assert max(map(len, shown.splitlines())) < 90
    assert shown.endswith("ledger head: 3:sha256:abc\nentries: 4,000\nclean: true")
    assert not {"\x1b", "\u200b", "\u202e", "\\"} & set(shown)


def test_tell__on_a_persons_machine_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    plain.tell(REPORT)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    plain.tell(REPORT)
    assert capsys.readouterr().out.startswith("audit-trail: fail: 1 of 2 checks did not pass.\n- version 1")
