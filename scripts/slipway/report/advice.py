"""What to do next, in one or two sentences, by verdict."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from slipway.report.model import Check, Report, Verdict

EVALUATION = "evaluate-model"
FIRST_RELEASE = "a gate for the first release"
"""The check of a first release whose quality no gate can judge."""


def next_steps(
    verdict: Verdict, reports: Sequence[Report], missing: Sequence[str] = (), *, in_pull_request: bool = True
) -> str:
    """Plain text: what a person does now. A stage's own `advice` comes before what its checks say."""
    if verdict is Verdict.PASS:
        own = [each.advice for each in reports if each.stage == EVALUATION and each.advice]
        return " ".join([*own, _after_pass(in_pull_request=in_pull_request)])
    if verdict is Verdict.INCONCLUSIVE and missing:
        return "See in the run's log why not every stage reported, and run it again. Until then this is no pass."
    # The comparison is what people came for; where it has the verdict, it has the advice.
    blamed = sorted((each for each in reports if each.verdict is verdict), key=lambda each: each.stage != EVALUATION)
    if not blamed:
        return "Run the stages: there is no report yet."
    report = blamed[0]
    if report.advice:
        return report.advice
    return _after_fail(report) if verdict is Verdict.FAIL else _after_inconclusive(report)


def _after_pass(*, in_pull_request: bool) -> str:
    if in_pull_request:
        return (
            "Merge. The base branch's run judges the merged commit by the same gates and registers its version. "
            "Production stays as it is until somebody releases that version."
        )
    return "Release the candidate when you want to: production stays as it is until then."


def _after_fail(report: Report) -> str:
    failed = [check for check in report.checks if check.verdict is Verdict.FAIL]
    if not failed:
        return f"Read in the log of {report.stage} what stopped it, mend that, and push again."
    named = _named(failed)
    verb = "stand" if len(failed) > 1 else "stands"
    if report.stage == "validate-data":
        return (
            f"{named} {verb} in the way: correct the data and push again. Where the data are right and the rule is "
            "not, change the schema in a pull request of its own."
        )
    changed = [change.name for change in report.changes or ()]
    clue = f"Look first at what changed against production ({_listed(changed)})" if changed else "Mend the change"
    policy = report.provenance.get("policy") or "slipway.yml"
    return (
        f"{named} {verb} in the way. {clue} and push again; or accept the loss by changing the gate in {policy} "
        "in a pull request of its own, which leaves it on record."
    )


def _after_inconclusive(report: Report) -> str:
    undecided = [check for check in report.checks if check.verdict is Verdict.INCONCLUSIVE]
    if any(check.name == FIRST_RELEASE for check in undecided):
        return "Give the policy an absolute gate (min or max), so that a first release can be judged; or decide it."
    if not undecided:
        return f"Read in the log of {report.stage} what it could not find out, mend that, and run it again."
    needed = [check.values.get("rows_needed") for check in undecided]
    known = [rows for rows in needed if isinstance(rows, int) and not isinstance(rows, bool) and rows > 0]
    if known and len(known) == len(undecided):
        return (
            f"Give the holdout more rows: about {_rounded(max(known)):,} would settle {_named(undecided)} if the "
            "values stay. Until then a person decides."
        )
    return f"{_named(undecided)} could not be settled. Mend what the reasons above name and run again, or decide it."


def _named(checks: Sequence[Check]) -> str:
    return _listed([f"“{check.name[:80]}”" for check in checks])


def _listed(names: Sequence[str]) -> str:
    shown = [name[:90] for name in names[:2]]
    return ", ".join(shown) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _rounded(rows: int) -> int:
    """Up to two significant digits: it is an estimate."""
    scale: int = 10 ** max(0, floor(log10(rows)) - 1)
    return ceil(rows / scale) * scale
