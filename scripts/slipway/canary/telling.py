"""What a look found, for people: one line, checks, tables, and the evidence over looks."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite, log

from slipway.canary import bands, counts, looking, ratios
from slipway.canary.looking import CanaryState, Decision
from slipway.canary.metrics import CellsState, RateState, ratio_of
from slipway.policy.canary import Canary, ErrorRule, OutcomeRule, Rule
from slipway.report import Cell, Chart, Check, Column, Point, Series, Span, Table, Verdict

SAID: dict[Decision, str] = {
    "continue": "Go on as it is.",
    "advance": "Give it more traffic.",
    "promote": "Promote it.",
    "roll-back": "Roll it back.",
    "inconclusive": "A person decides.",
}
VERDICTS: dict[Decision, Verdict] = {
    "continue": Verdict.INCONCLUSIVE,
    "advance": Verdict.PASS,
    "promote": Verdict.PASS,
    "roll-back": Verdict.FAIL,
    "inconclusive": Verdict.INCONCLUSIVE,
}
ADVICE: dict[Decision, str] = {
    "continue": "Nothing is to be done: the next look goes on.",
    "advance": "Give the canary the share of the next stage.",
    "promote": "Make the canary the version in production.",
    "roll-back": "Take the traffic from the canary. Another try of the same version needs `begin-anew`.",
    "inconclusive": "Promote it or roll it back by hand; looking longer needs `begin-anew`, with a longer horizon.",
}
QUANTILES = (0.5, 0.95, 0.99)
SHOWN = 4.0
"""Powers of ten beyond the limits that a chart shows: evidence of 1e-300 would flatten all the rest."""


def headline(state: CanaryState, rules: Canary, version: str) -> str:
    """The result in one line."""
    stage = min(state.stage, len(rules.stages) - 1)
    share = rules.stages[stage].share
    before = rules.stages[stage - 1].share if state.decision == "advance" else share
    where = f"from {before:.3g} to {share:.3g}" if state.decision == "advance" else f"at {share:.3g}"
    looks = "1 look" if state.looks == 1 else f"{state.looks} looks"
    return f"Canary {version} {where} of the traffic after {looks}: {state.decision}. {SAID[state.decision]}"


def share_of(state: CanaryState, rules: Canary) -> float | None:
    """The share of the traffic that the canary should have now; None where a person decides."""
    if state.decision in ("promote", "roll-back"):
        return 1.0 if state.decision == "promote" else 0.0
    return None if state.decision == "inconclusive" else rules.stages[state.stage].share


def checks(state: CanaryState, rules: Canary) -> tuple[Check, ...]:
    """Every metric, and what the stage asks for."""
    return (*_metrics(state, rules), *_of_stage(state, rules))


def _metrics(state: CanaryState, rules: Canary) -> Iterator[Check]:
    for name, rule in rules.metrics.rules.items():
        held = state.metrics[name]
        harm, proof = held.harm_evidence, held.proof_evidence
        yield Check(
            name=name,
            verdict=verdict_of(state, rules, name, rule),
            detail=_detail(state, rules, name, rule),
            values={
                "log_evidence_of_harm": round(harm, 6),
                "log_evidence_of_harm_needed": round(looking.needed_for_harm(rules), 6),
                "log_evidence_of_no_harm": round(proof, 6) if rule.margin is not None else None,
                "log_evidence_of_no_harm_needed": round(looking.needed_for_proof(rules), 6),
                **({"ratio": _finite(ratio_of(held))} if isinstance(held, RateState) else {}),
            },
        )


def verdict_of(state: CanaryState, rules: Canary, name: str, rule: Rule) -> Verdict:
    """Fail where harm is shown, pass where it is shown that it is not worse than a margin."""
    held = state.metrics[name]
    if held.harm_evidence >= looking.needed_for_harm(rules):
        return Verdict.FAIL
    shown = rule.margin is not None and held.settled and held.proof_evidence >= looking.needed_for_proof(rules)
    return Verdict.PASS if shown else Verdict.INCONCLUSIVE


def _detail(state: CanaryState, rules: Canary, name: str, rule: Rule) -> str:
    held = state.metrics[name]
    if not held.settled:
        return "there are too few data yet"
    harm = f"evidence of harm {_times(held.harm_evidence)} of {_times(looking.needed_for_harm(rules))} that roll back"
    said = f"{harm}; {_margin(rule)}"
    if rule.margin is not None:
        said += f": evidence {_times(held.proof_evidence)} of {_times(looking.needed_for_proof(rules))}"
    if isinstance(held, RateState) and isinstance(rule, ErrorRule) and rule.margin is not None:
        share = rules.stages[min(state.stage, len(rules.stages) - 1)].share
        wanted = -log(rules.beta) + log(3 * counts.FEWER)
        needed = counts.events_needed(share, rule.margin, 1.0, wanted)
        seen = held.canary[0] + held.baseline[0]
        said += (
            f"; an equal canary at {share:g} of the traffic needs about {needed:,.0f} errors of both ({seen:,} so far)"
        )
    return said


def _margin(rule: Rule) -> str:
    if rule.margin is None:
        return "no proof is asked for"
    return f"less than {rule.margin:g} times" if isinstance(rule, ErrorRule) else f"worse by less than {rule.margin:g}"


def _of_stage(state: CanaryState, rules: Canary) -> Iterator[Check]:
    stage = rules.stages[min(state.stage, len(rules.stages) - 1)]
    for name, has, needs in (
        ("stage: minutes", state.minutes, stage.minutes),
        ("stage: requests", float(state.requests), float(stage.requests)),
    ):
        verdict = Verdict.PASS if has >= needs else Verdict.INCONCLUSIVE
        yield Check(name=name, verdict=verdict, detail=f"{has:,.6g} of {needs:,.6g} at {stage.share:g} of the traffic")
    wrong = state.assignment.evidence >= -log(rules.assignment.alpha)
    yield Check(
        name="assignment",
        verdict=Verdict.INCONCLUSIVE if wrong or not state.assignment.canary else Verdict.PASS,
        detail=f"{state.assignment.share:.4g} of the requests in this stage",
        values={"log_evidence": round(state.assignment.evidence, 6)},
    )


def tables(state: CanaryState, rules: Canary) -> tuple[Table, ...]:
    """The metrics, and the quantiles of the latency in this stage."""
    columns = (
        *(Column(name="metric"), Column(name="canary", kind="number"), Column(name="baseline", kind="number")),
        *(Column(name="difference", kind="number"), Column(name="margin", kind="number")),
        *(Column(name="harm", kind="number"), Column(name="no harm", kind="number")),
        Column(name="verdict", kind="verdict"),
    )
    rows = [
        (
            *_row(state, rules, name, rule),
            "–" if rule.margin is None else f"× {rule.margin:g}" if isinstance(rule, ErrorRule) else f"{rule.margin:g}",
            _times(state.metrics[name].harm_evidence),
            "–" if rule.margin is None else _times(state.metrics[name].proof_evidence),
            verdict_of(state, rules, name, rule).value,
        )
        for name, rule in rules.metrics.rules.items()
    ]
    note = (
        f"Harm rolls back at {_times(looking.needed_for_harm(rules))}, no harm is shown at "
        f"{_times(looking.needed_for_proof(rules))}. Evidence holds at every look."
    )
    found = [Table(title="Canary against baseline", columns=columns, rows=tuple(rows), note=note)]
    return (*found, *_quantiles(state, rules))


def _row(state: CanaryState, rules: Canary, name: str, rule: Rule) -> tuple[Cell, ...]:
    held = state.metrics[name]
    if isinstance(held, RateState):
        (x, n), (y, m) = held.canary, held.baseline
        return name, f"{x:,} of {n:,}", f"{y:,} of {m:,}", _ratio(held, rules, rule)
    assert isinstance(held, CellsState), "there are two kinds"
    worst = held.worst
    if worst is None or not worst[1].weights:
        return name, "–", "–", "–"
    label, cell = worst
    shown = name if label == "mean" else f"{name}: {label}"
    turned = label.startswith("less: ") or (isinstance(rule, OutcomeRule) and rule.greater_is_better)
    means = [total / size for total, size in (cell.canary, cell.baseline)]
    # Of what is turned round more is worse, and people look at it as it is.
    return shown, *(f"{1 - mean if turned else mean:.4f}" for mean in means), f"{cell.difference:+.4f} worse"


def _ratio(held: RateState, rules: Canary, rule: Rule) -> Cell:
    ratio = ratio_of(held)
    if not (held.looks and isfinite(ratio)):
        return "–"
    low, high = ratios.interval(held.greater, held.smaller, rules.alpha)
    said = f"× {ratio:.3g} ({low:.2g} to {high:.2g})" if high < inf else f"× {ratio:.3g} (from {low:.2g})"
    if high == inf:
        return said
    return Span(text=said, low=min(low, ratio), value=ratio, high=max(high, ratio), limit=rule.margin, above=False)


def _quantiles(state: CanaryState, rules: Canary) -> Iterator[Table]:
    if state.times.keys() != {"canary", "baseline"}:
        return
    columns = (
        Column(name="latency"),
        *(Column(name=name, kind="number") for name in ("canary", "interval", "baseline", "baseline's interval")),
    )
    level = rules.alpha / 2
    rows = []
    for p in QUANTILES:
        cells = [f"p{100 * p:g}"]
        for arm in ("canary", "baseline"):
            low, value, high = bands.quantile(state.times[arm], p, level)
            within = f"{_seconds(low)} to {_seconds(high)}" if isfinite(low) or isfinite(high) else "–"
            cells += [_seconds(value), within]
        rows.append(tuple(cells))
    yield Table(
        title="Latency in this stage",
        columns=columns,
        rows=tuple(rows),
        note="To the cell of the histogram: a value is its upper bound. The intervals hold at every look.",
    )


def charts(state: CanaryState, rules: Canary) -> tuple[Chart, ...]:
    """The evidence over looks, by metric, in powers of ten."""
    if len(state.trail) < 2:
        return ()
    harm, proof = looking.needed_for_harm(rules) / log(10), looking.needed_for_proof(rules) / log(10)
    return tuple(_chart(state, name, rule, harm, proof) for name, rule in rules.metrics.rules.items())[:20]


def _chart(state: CanaryState, name: str, rule: Rule, harm: float, proof: float) -> Chart:
    def series(title: str, values: list[float]) -> Series:
        limits = -SHOWN, max(harm, proof) + SHOWN
        points = [
            Point(y=min(max(value, limits[0]), limits[1]), label=f"look {each.look}, {each.share:.3g} of the traffic")
            for value, each in zip(values, state.trail, strict=True)
        ]
        return Series(name=title, points=tuple(points))

    found = [series("harm", [each.harm[name] for each in state.trail])]
    limits = {"rolls back": harm}
    if rule.margin is not None:
        found.append(series("no harm", [each.proof[name] for each in state.trail]))
        # One line would hide the other.
        limits = {"either is shown": harm} if harm == proof else {**limits, "no harm is shown": proof}
    found += [series(title, [value] * len(state.trail)) for title, value in limits.items()]
    return Chart(kind="history", title=f"Evidence on {name}, powers of ten", series=tuple(found))


def _times(evidence: float) -> str:
    """Evidence as a number, of logarithms that may be far out."""
    power = evidence / log(10)
    return f"{10**power:.3g}" if -3 < power < 6 else f"1e{power:+.0f}"


def _seconds(value: float) -> str:
    if value in (inf, -inf):
        return "?"
    return f"{1_000 * value:,.4g} ms"


def _finite(value: float) -> float | None:
    return round(value, 6) if isfinite(value) else None
