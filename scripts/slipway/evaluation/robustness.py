"""How much of a metric a model loses when its features are disturbed: paired, row by row, with itself."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.evaluation.findings import Findings
from slipway.evaluation.formulas import Interval
from slipway.evaluation.gates import Gate
from slipway.evaluation.judgement import Measured, check, decimals, measure
from slipway.evaluation.metrics import Metric, find
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.policy.robustness import Missing, Noise, Swap, Units
from slipway.report import Cell, Check, Column, Table, Verdict


def judge_robustness(
    evaluation: Evaluation,
    candidate: Mapping[str, Outcome | str],
    production: Mapping[str, Outcome | str] | None,
    sampling: Sampling,
) -> Findings:
    """The declared disturbances. candidate, production: outcome by disturbance, and `clean` for the rows as they are.

    In place of an outcome a sentence may say why a model did not answer disturbed rows: a candidate fails by it. The
    gate is on the candidate's own loss; production's is shown beside it. Raises KeyError for a metric that the task
    does not have.
    """
    assert evaluation.robustness is not None
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    for name, said in evaluation.robustness.declared.items():
        metric = find(said.metric, evaluation.task)
        up = metric.greater_is_better
        limit = -said.max_drop if up else said.max_drop
        gate = Gate(f"worse by at most {said.max_drop:.12g}", True, limit or 0.0, above=up)
        own = _loss(metric, candidate, name, sampling)
        theirs = _loss(metric, production, name, sampling) if production else None
        title = f"{name} ({', '.join(said.columns)}; {strength(said)})"
        if isinstance(own, str):
            named = f"{name}: {metric.name}: {gate.text}"
            checks.append(Check(name=named, verdict=Verdict.FAIL, detail=f"Under {title}: {own}"))
            rows.append((title, metric.name, _shown(theirs), "no answer", "–", gate.text, named))
            continue
        decided = check(own, gate, evaluation, sampling)
        # Robust, or blind to the columns: people should know that it may be the latter.
        same = isinstance(own.difference, Interval) and own.difference.value == own.difference.standard_error == 0
        remark = " Nothing changed: the model may not read what was disturbed." if same else ""
        checks.append(
            decided.model_copy(
                update={
                    "name": f"{name}: {decided.name}",
                    "detail": f"Under {title}: {_of_one_model(decided.detail)}{remark}",
                    "values": {
                        **{key: each for key, each in decided.values.items() if key not in ("production", "candidate")},
                        "clean": decided.values.get("production"),
                        "disturbed": decided.values.get("candidate"),
                        "production_drop": _value(theirs),
                    },
                }
            )
        )
        rows.append(
            (title, metric.name, _shown(theirs), _shown(own), _span(own.difference), gate.text, checks[-1].name)
        )
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


def strength(said: Noise | Missing | Swap | Units) -> str:
    """How much is disturbed."""
    match said:
        case Noise():
            return f"{said.scale:g} standard deviations"
        case Units():
            return f"times {said.factor:g}"
    return f"{100 * said.share:g} % of the rows"


def not_disturbed(evaluation: Evaluation, why: str) -> Findings:
    """The declared disturbances where no model can be asked: inconclusive, each of them."""
    assert evaluation.robustness is not None
    declared = evaluation.robustness.declared.items()
    names = [f"{name}: {said.metric}: worse by at most {said.max_drop:.12g}" for name, said in declared]
    return Findings(tuple(Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=why) for name in names), reasons=(why,))


def _of_one_model(detail: str) -> str:
    """The sentences of metrics speak of a candidate against production."""
    said = detail.replace("for the candidate", "on the disturbed rows")
    return said.replace("for production", "on the rows as they are")


def _loss(metric: Metric, model: Mapping[str, Outcome | str], name: str, sampling: Sampling) -> Measured | str:
    """The disturbed rows stand where a candidate stands, the clean ones where production does."""
    disturbed, clean = model[name], model["clean"]
    assert not isinstance(clean, str)
    return disturbed if isinstance(disturbed, str) else measure(metric, disturbed, clean, sampling)


def _value(loss: Measured | str | None) -> float | None:
    if isinstance(loss, Measured) and isinstance(loss.difference, Interval):
        return loss.difference.value
    return None


def _shown(loss: Measured | str | None) -> str:
    if isinstance(loss, str):
        return "no answer"
    if loss is None or not isinstance(loss.difference, Interval):
        return "–"
    return f"{loss.difference.value:+.{decimals(loss.difference.standard_error)}f}"


def _span(interval: Interval | str) -> str:
    if not isinstance(interval, Interval):
        return "–"
    digits = decimals(interval.standard_error)
    return f"{interval.low:+.{digits}f} to {interval.high:+.{digits}f}"
