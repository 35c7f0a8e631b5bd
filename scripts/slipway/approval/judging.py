"""Who approved, when, and whether that person may: separation of duties over what GitHub tells of an approval.

GitHub's record of an approval has no time and no attempt (https://docs.github.com/rest/actions/workflow-runs), so the
time is an interval: from when the job began to wait for its environment to when it went on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from slipway.policy.release import Environment
from slipway.report import Check, Column, Table, Verdict

NOBODY = "ghost"
MACHINES = ("web-flow",)
"""Whom GitHub names as the committer of what was merged in a browser."""

State = Literal["approved", "rejected", "pending", "changes requested", "commented", "dismissed"]


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One person's word. after, before: between when it was given; both are equal where the time is known.

    sources: what `after` and `before` were read from. environment, environment_id: which was approved, by GitHub's own
    record of it. commit: what was looked at, for a review.
    """

    login: str
    id: int
    state: State
    comment: str = ""
    after: datetime | None = None
    before: datetime | None = None
    sources: tuple[str, str] = ("", "")
    environment: str = ""
    environment_id: int = 0
    commit: str = ""


def judge(
    said: Sequence[Approval],
    wanted: Environment,
    involved: Mapping[str, str],
    *,
    earlier: Sequence[str] = (),
    commit: str = "",
) -> tuple[Check, ...]:
    """Whether the approvals are enough.

    involved: what each person has to do with the change, by login in lower case (`author of the commit`, …). earlier:
    who approved in the environments before this one. commit: what a review must have looked at; any for environments.
    """
    if not wanted.reviewers:
        return (Check(name="approval", verdict=Verdict.PASS, detail="The policy wants nobody's approval here."),)
    found = [each for each in said if each.state == "approved" and (not commit or each.commit == commit)]
    if not found:
        stale = any(each.state == "approved" for each in said)
        detail = (
            "It was approved for another commit."
            if stale
            else "Nobody approved, and the job runs: the environment let it pass (no rule, or an administrator did)."
        )
        return (Check(name="approval", verdict=Verdict.FAIL, detail=detail),)
    checks = []
    # A job that was rejected does not run, so what a run rejected earlier was asked for again.
    against = [each.login for each in said if each.state == "changes requested"]
    if against:
        detail = f"{', '.join(against)} requested changes."
        checks.append(Check(name="rejection", verdict=Verdict.FAIL, detail=detail))
    own = {} if wanted.self_review else {each.login: involved.get(each.login.lower(), "") for each in found}
    others = [each for each in found if not own.get(each.login)]
    checks.append(_separation(own, others))
    named = [each.removeprefix("team/") for each in wanted.reviewers if each.startswith("team/")]
    people = {each.lower() for each in wanted.reviewers if not each.startswith("team/")}
    strangers = [each.login for each in others if each.login.lower() not in people]
    if strangers and not named:
        detail = f"{', '.join(strangers)}: no reviewer by the policy"
        checks.append(Check(name="reviewer", verdict=Verdict.FAIL, detail=detail))
    again = [each.login for each in others if each.login.lower() in {one.lower() for one in earlier}]
    if again and len(again) == len(others):
        detail = f"{', '.join(again)} approved in an environment before this one already; another person must."
        checks.append(Check(name="another person", verdict=Verdict.FAIL, detail=detail))
    elif earlier:
        checks.append(Check(name="another person", verdict=Verdict.PASS, detail=f"not {', '.join(earlier)}"))
    return tuple(checks)


def _separation(own: Mapping[str, str], others: Sequence[Approval]) -> Check:
    detail = "; ".join(f"{login} is {what}" for login, what in own.items() if what)
    if others:
        return Check(name="separation", verdict=Verdict.PASS, detail=", ".join(each.login for each in others))
    return Check(name="separation", verdict=Verdict.FAIL, detail=f"{detail}; another person must approve")


def table(said: Sequence[Approval]) -> Table:
    """Everything that was said, with the interval and where its ends come from."""
    rows = tuple(
        (
            *(each.login, str(each.id), each.state, each.comment, _interval(each)),
            " / ".join(filter(None, each.sources)),
            f"{each.environment} ({each.environment_id})" if each.environment else each.commit,
        )
        for each in said
    )
    columns = (
        *(Column(name="login", kind="code"), Column(name="id", kind="code"), Column(name="state")),
        *(Column(name="comment"), Column(name="when"), Column(name="by"), Column(name="of", kind="code")),
    )
    return Table(title="Approvals", columns=columns, rows=rows)


def _interval(said: Approval) -> str:
    ends = [f"{each:%Y-%m-%d %H:%M:%S} UTC" if each else "unknown" for each in (said.after, said.before)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
