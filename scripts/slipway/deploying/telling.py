"""What a deployment came to, for people: one line, what serves there now, and every step that was taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from slipway.deploying.case import Case
from slipway.deploying.record import Known
from slipway.report import Column, Report, Table, Verdict
from slipway.rollout.steps import OnRecord
from slipway.runner.errors import SlipwayError

State = Literal["live", "canary", "waiting", "rolled-back", "none"]
"""`waiting`: a canary that a person must decide. `none`: nothing was released there yet."""

Shown = Literal[State, "unknown"]
"""`unknown`: the ledger could not be read."""

VERDICTS: dict[State, Verdict] = {
    "live": Verdict.PASS,
    "canary": Verdict.INCONCLUSIVE,
    "waiting": Verdict.INCONCLUSIVE,
    "rolled-back": Verdict.FAIL,
    "none": Verdict.INCONCLUSIVE,
}


def state_of(record: OnRecord, version: str) -> State:
    """What became of the release of a version; of whatever is there where no version is asked for."""
    opened = record.opened
    if opened and version in ("", opened.version):
        return "waiting" if opened.decision == "hold" else "canary"
    if version in ("", record.live):
        return "live" if record.live else "none"
    return "rolled-back"


def told(case: Case, known: Known, version: str) -> Report:
    """The report at the end of a run. version: the release that the run was about; empty where there was none."""
    state = state_of(known.record, version)
    report = case.report
    return report.model_copy(
        update={
            "verdict": VERDICTS[state],
            "headline": headline(case, known.record, version, state),
            "checks": (*case.checks, *report.checks),
            "tables": (serving(case), *steps(case), *report.tables),
            "advice": ADVICE[state],
            "provenance": {
                **report.provenance,
                "target": case.target.shown,
                **({"url": case.target.url} if case.target.url else {}),
            },
        }
    )


def interrupted(case: Case | None, before: Report, failure: SlipwayError) -> Report:
    """The report of a run that an error ended: what it verified and did until then, and what was served."""
    if case is None:
        return before.after_failure(failure, provenance=before.provenance)
    tables = (*([serving(case)] if case.reconciler.served else []), *steps(case), *case.report.tables)
    report = case.report.model_copy(update={"checks": (*case.checks, *case.report.checks), "tables": tables})
    return report.after_failure(failure, provenance=before.provenance)


def served_share(case: Case, version: str) -> float | None:
    """The share of the requests that a version had when the target was last asked; None where it was not."""
    return next((each.share for each in case.reconciler.served if each.version == version), None)


ADVICE: dict[State, str] = {
    "live": "",
    "canary": "Nothing is to be done: looks of judge-canary decide, and the next run of deploy-model follows them.",
    "waiting": "Promote it with `promote: true` and a `reason`, or take it back with rollback-model.",
    "rolled-back": "Find out what differs, and revert the change on the default branch, whose next push would release "
    "it again. Another release of the version needs a new approval where one is asked for.",
    "none": "Give `model-version` to release a first version.",
}


def headline(case: Case, record: OnRecord, version: str, state: State) -> str:
    """One line."""
    where = case.environment
    opened = record.opened
    if state == "live":
        return f"Version {record.live} is live in {where}."
    if state in ("canary", "waiting") and opened:
        has = f"Version {opened.version} answers {opened.share:.3g} of the requests of {where} beside {opened.beside}"
        return f"{has}, and waits for a person." if state == "waiting" else f"{has} as a canary."
    if state == "rolled-back":
        now = f"version {record.live} is live" if record.live else "nothing is live there"
        return f"Version {version} was taken back from {where}; {now}."
    return f"Nothing was released to {where} yet."


def serving(case: Case) -> Table:
    """What the target has."""
    columns = (Column(name="version"), Column(name="share", kind="number"), Column(name="state"))
    rows = tuple((each.version, each.share, each.health) for each in case.reconciler.served)
    return Table(title=f"Serving {case.environment}", columns=columns, rows=rows)


def steps(case: Case) -> Iterator[Table]:
    """What the run did; nothing where there was nothing to do."""
    rows = tuple((number, said) for number, said in enumerate(case.reconciler.done, 1))
    if rows:
        yield Table(title="Steps", columns=(Column(name="#", kind="number"), Column(name="step")), rows=rows)
