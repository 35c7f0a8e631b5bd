"""How much of a metric a model loses when its features are disturbed: paired, row by row, with itself."""

from __future__ import annotations

from slipway.evaluation.findings import Findings
from slipway.evaluation.gates import Gate
from slipway.evaluation.intervals import Interval, Sampling
from slipway.evaluation.judgement import check, decimals, measure
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Outcome
from slipway.policy import Evaluation
from slipway.report import Cell, Check, Column, Table, Verdict


def judge_robustness(
    evaluation: Evaluation,
    candidate: dict[str, Outcome],
    production: dict[str, Outcome] | None,
    sampling: Sampling,
) -> Findings:
    """The declared disturbances. candidate, production: outcome by disturbance, and `clean` for the rows as they are.

    The gate is on the candidate's own loss; production's is shown beside it. Raises KeyError for a metric that the
    task does not have.
    """
    assert evaluation.robustness is not None
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    for name, said in evaluation.robustness.declared.items():
        metric = find(said.metric, evaluation.task)
        up = metric.greater_is_better
        limit = -said.max_drop if up else said.max_drop
        gate = Gate(f"worse by less than {said.max_drop:g}", True, limit or 0.0, above=up, strict=True)
        # The disturbed rows stand where a candidate stands, the clean ones where production does.
        own = measure(metric, candidate[name], candidate["clean"], sampling)
        theirs = measure(metric, production[name], production["clean"], sampling) if production else None
        decided = check(own, gate, evaluation, sampling)
        title = f"{name} ({', '.join(said.columns)})"
        checks.append(
            decided.model_copy(
                update={
                    "name": f"{name}: {decided.name}",
                    "detail": f"Under {title}: {decided.detail}",
                    "values": {
                        **{key: each for key, each in decided.values.items() if key not in ("production", "candidate")},
                        "clean": decided.values.get("production"),
                        "disturbed": decided.values.get("candidate"),
                        "production_drop": _value(theirs.difference) if theirs else None,
                    },
                }
            )
        )
        rows.append((title, metric.name, _shown(theirs.difference if theirs else ""), _shown(own.difference)))
        rows[-1] += (_span(own.difference), gate.text, checks[-1].name)
    columns = (
        Column(name="disturbance"),
        Column(name="metric", kind="code"),
        Column(name="production's change", kind="number"),
        Column(name="candidate's change", kind="number"),
        Column(name=f"{100 * sampling.confidence:g} % interval", kind="number"),
        Column(name="gate"),
        Column(name="verdict", kind="verdict"),
    )
    failed = tuple(each.detail for each in checks if each.verdict is Verdict.FAIL)
    unsettled = tuple(each.detail for each in checks if each.verdict is Verdict.INCONCLUSIVE)
    return Findings(tuple(checks), (Table(title="Robustness", columns=columns, rows=tuple(rows)),), failed + unsettled)


def _value(interval: Interval | str) -> float | None:
    return interval.value if isinstance(interval, Interval) else None


def _shown(interval: Interval | str) -> str:
    return f"{interval.value:+.{decimals(interval.standard_error)}f}" if isinstance(interval, Interval) else "–"


def _span(interval: Interval | str) -> str:
    if not isinstance(interval, Interval):
        return "–"
    digits = decimals(interval.standard_error)
    return f"{interval.low:+.{digits}f} to {interval.high:+.{digits}f}"
