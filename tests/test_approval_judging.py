"""Whether an approval is enough: separation of duties, other commits, other persons, nobody at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.approval.judging import Approval, judge, table
from slipway.policy.release import Environment
from slipway.report import Verdict, combine

INVOLVED = {"mona": "author of pull request #7", "otto": "who started the run"}
PEOPLE = Environment(name="production", reviewers=("lena", "mona"))
TEAM = Environment(name="production", reviewers=("team/ml",))


def said(login: str, state: Any = "approved", **more: Any) -> Approval:
    return Approval(login=login, id=len(login), state=state, **more)


@pytest.mark.parametrize(
    ("approvals", "wanted", "how", "verdict", "words"),
    [
        ([said("lena")], PEOPLE, {}, "pass", "lena"),
        ([said("Lena")], PEOPLE, {}, "pass", "Lena"),
        ([said("Mona")], PEOPLE, {}, "fail", "Mona is author of pull request #7; another person must approve"),
        ([said("mona"), said("lena")], PEOPLE, {}, "pass", "lena"),
        ([said("otto")], TEAM, {}, "fail", "otto is who started the run"),
        ([said("anna")], TEAM, {}, "pass", "anna"),
        ([said("anna")], PEOPLE, {}, "fail", "anna: no reviewer by the policy"),
        ([], PEOPLE, {}, "fail", "Nobody approved, and the job runs"),
        ([said("lena", "rejected")], PEOPLE, {}, "fail", "Nobody approved"),
        ([said("lena", "rejected"), said("lena")], PEOPLE, {}, "pass", "lena"),
        ([], Environment(name="production-low"), {}, "pass", "wants nobody's approval"),
        ([said("lena")], PEOPLE, {"earlier": ["LENA"]}, "fail", "another person must"),
        ([said("lena")], PEOPLE, {"earlier": ["otto"]}, "pass", "not otto"),
        ([said("lena", commit="a" * 40)], TEAM, {"commit": "a" * 40}, "pass", "lena"),
        ([said("lena", commit="b" * 40)], TEAM, {"commit": "a" * 40}, "fail", "approved for another commit"),
        (
            [said("lena", commit="a" * 40), said("anna", "changes requested")],
            TEAM,
            {"commit": "a" * 40},
            "fail",
            "anna requested changes",
        ),
        ([said("mona")], PEOPLE.model_copy(update={"self_review": True}), {}, "pass", "mona"),
    ],
)
def test_judge(approvals: list[Approval], wanted: Environment, how: dict[str, Any], verdict: str, words: str) -> None:
    checks = judge(approvals, wanted, INVOLVED, **how)
    assert combine(each.verdict for each in checks) == Verdict(verdict)
    assert words in "\n".join(each.detail for each in checks)


def test_table__an_interval_with_its_sources() -> None:
    first, then = datetime(2026, 3, 1, 9, 0, tzinfo=UTC), datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    rows = table(
        [
            said("lena", after=first, before=then, sources=("waiting", "the next")),
            said("anna", after=first, before=first, sources=("submitted_at", "")),
            said("otto"),
        ]
    ).rows
    assert [row[4] for row in rows] == [
        "2026-03-01 09:00:00 UTC to 2026-03-01 09:30:00 UTC",
        "2026-03-01 09:00:00 UTC",
        "unknown",
    ]
    assert [row[5] for row in rows] == ["waiting / the next", "submitted_at", ""]
