"""Gates on timings: quantiles with intervals that assume no distribution, and ratios of interleaved requests.

Timings of one machine are noisy and come in bursts. Both models are therefore asked in turn, the intervals are wide
where the timings are, and what an interval does not settle is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import floor, inf, isfinite, log10

import numpy as np

from slipway.evaluation.findings import Findings
from slipway.evaluation.gates import Gate
from slipway.evaluation.outcomes import Floats
from slipway.policy.latency import Latency, LeastRule, MostRule
from slipway.report import Cell, Check, Column, Table, Verdict

DRAWS = 2_000
"""Resamples of a ratio of two interleaved series."""

SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
QUANTITIES = (*SHARES, "throughput", "load_seconds", "memory_mb", "size_mb")


@dataclass(frozen=True)
class Span:
    """A value, the ends of its interval, and how they were found."""

    value: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Timings:
    """What was measured of one model.

    single_ms: (requests,) and batch_ms: (batches,) milliseconds in the order in which both models were asked.
    load_seconds, memory_mb: one for each start. size_mb: of the model's files.
    """

    single_ms: Floats
    batch_ms: Floats
    batch_rows: int
    load_seconds: tuple[float, ...]
    memory_mb: tuple[float, ...]
    size_mb: float


def judge_latency(
    rules: Latency, candidate: Timings, production: Timings | None, *, confidence: float, seed: int
) -> Findings:
    """The policy's latency gates. Without production, a first release, ratios rest."""
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    for name in QUANTITIES:
        rule: MostRule | LeastRule = getattr(rules, name)
        own = measured(name, candidate, confidence)
        theirs = None if production is None else measured(name, production, confidence)
        ratio = None if production is None else ratio_of(name, candidate, production, confidence, seed)
        decided = [
            _check(name, gate, interval, p_beyond(name, gate, candidate, production, seed))
            for gate, interval in ((_own_gate(rule), own), (_ratio_gate(rule), ratio))
            if gate is not None and interval is not None
        ]
        checks.extend(decided)
        rows.extend(_rows(name, own, theirs, ratio, decided))
    failed = [each.detail for each in checks if each.verdict is Verdict.FAIL]
    unsettled = [each.detail for each in checks if each.verdict is Verdict.INCONCLUSIVE]
    return Findings(tuple(checks), (_table(rows, candidate, confidence),), (*failed, *unsettled))


def not_timed(rules: Latency, why: str, *, ratios_only: bool) -> Findings:
    """The policy's latency gates where nothing was timed: inconclusive, each of them.

    ratios_only: whether the candidate's own values are judged elsewhere, so that only its ratios to production are not.
    """
    names = []
    for name in QUANTITIES:
        rule: MostRule | LeastRule = getattr(rules, name)
        gates = (None if ratios_only else _own_gate(rule), _ratio_gate(rule))
        names += [f"{name}: {gate.text}" for gate in gates if gate is not None]
    checks = tuple(Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=why) for name in names)
    return Findings(checks, reasons=(why,))


def measured(name: str, timings: Timings, confidence: float) -> Span:
    """One quantity of one model."""
    if name in SHARES:
        return quantile(timings.single_ms, SHARES[name], confidence)
    if name == "throughput":
        taken = quantile(timings.batch_ms, 0.5, confidence)
        rows = 1_000 * timings.batch_rows
        return Span(rows / taken.value, rows / taken.high, rows / taken.low if taken.low else inf, taken.method)
    values: Iterable[float] = (timings.size_mb,) if name == "size_mb" else getattr(timings, name)
    return _range(list(values))


def quantile(values: Floats, share: float, confidence: float) -> Span:
    """A quantile between two order statistics (Hahn & Meeker 1991, section 5.2). values: (n,).

    The number of values below the quantile is binomial, whatever their distribution. Where there are too few values
    for a bound, that end is 0 or infinite.
    """
    from scipy import stats  # here: it takes as long to import as all else, and most policies time nothing

    ordered = np.sort(values)
    count = len(ordered)
    tail = (1 - confidence) / 2
    below = int(stats.binom.ppf(tail, count, share))
    above = int(stats.binom.ppf(1 - tail, count, share)) + 1
    low = float(ordered[below - 1]) if below >= 1 else 0.0
    high = float(ordered[above - 1]) if above <= count else inf
    value = float(np.quantile(ordered, share, method="inverted_cdf"))
    return Span(value, low, high, "order statistics")


def ratio_of(name: str, candidate: Timings, production: Timings, confidence: float, seed: int) -> Span:
    """How many times production's value the candidate's is."""
    if name in SHARES:
        return quantile_ratio(candidate.single_ms, production.single_ms, SHARES[name], confidence, seed)
    if name == "throughput":
        return quantile_ratio(production.batch_ms, candidate.batch_ms, 0.5, confidence, seed)
    own, theirs = measured(name, candidate, confidence), measured(name, production, confidence)
    return Span(own.value / theirs.value, own.low / theirs.high, own.high / theirs.low, own.method)


def quantile_ratio(ours: Floats, theirs: Floats, share: float, confidence: float, seed: int) -> Span:
    """Ratio of a quantile of two interleaved series, by a circular block bootstrap (Politis & Romano 1992).

    ours, theirs: (n,) in the order of the rounds in which both were asked. Blocks of n^(1/3) rounds, rounded up, are
    drawn for both together, so that a burst of noise stays with both.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(_ratio_draws(ours, theirs, share, seed), [tail, 1 - tail])
    value = float(_quantiles(ours, share, 0) / _quantiles(theirs, share, 0))
    return Span(value, float(low), float(high), f"paired block bootstrap, {DRAWS:,} draws")


def _ratio_draws(ours: Floats, theirs: Floats, share: float, seed: int) -> Floats:
    """(DRAWS,) ratios over blocks of rounds that were drawn anew."""
    count = len(ours)
    length = int(np.ceil(count ** (1 / 3)))
    random = np.random.default_rng(seed)
    starts = random.integers(0, count, size=(DRAWS, -(-count // length)))
    rounds = ((starts[:, :, None] + np.arange(length)) % count).reshape(DRAWS, -1)[:, :count]
    return _quantiles(ours[rounds], share, 1) / _quantiles(theirs[rounds], share, 1)


def _quantiles(values: Floats, share: float, axis: int) -> Floats:
    return np.asarray(np.quantile(values, share, axis=axis, method="inverted_cdf"), dtype=np.float64)


def p_beyond(name: str, gate: Gate, candidate: Timings, production: Timings | None, seed: int) -> float | None:
    """One-sided p-value of the gate's rule being kept; None where a few starts were all that was measured.

    Of a quantile: of as few values within the limit as there are, or fewer (binomial, as its interval). Of a ratio: the
    share of draws within the limit.
    """
    if name in SHARES:
        share, limit = SHARES[name], gate.limit
        ours, theirs = candidate.single_ms, None if production is None else production.single_ms
    elif name == "throughput":  # of the time that a batch takes, which is at most so long
        share, limit = 0.5, 1 / gate.limit if gate.relative else 1_000 * candidate.batch_rows / gate.limit
        ours, theirs = candidate.batch_ms, None if production is None else production.batch_ms
    else:
        return None
    if not gate.relative:
        from scipy import stats

        return float(stats.binom.cdf(np.sum(ours <= limit), len(ours), share))
    assert theirs is not None
    draws = _ratio_draws(ours, theirs, share, seed)
    return float((1 + np.sum(draws <= limit)) / (1 + DRAWS))


def _range(values: list[float]) -> Span:
    """The median of a few values, and all that occurred as its interval: a gate must hold for each of them."""
    return Span(float(np.median(values)), min(values), max(values), f"range of {len(values)}")


def _own_gate(rule: MostRule | LeastRule) -> Gate | None:
    if isinstance(rule, MostRule):
        return None if rule.max is None else Gate(f"at most {rule.max:.12g}", False, rule.max, above=False)
    return None if rule.min is None else Gate(f"at least {rule.min:.12g}", False, rule.min, above=True)


def _ratio_gate(rule: MostRule | LeastRule) -> Gate | None:
    if rule.ratio is None:
        return None
    least = isinstance(rule, LeastRule)
    return Gate(f"at {'least' if least else 'most'} {rule.ratio:.12g} × production", True, rule.ratio, above=least)


def _check(name: str, gate: Gate, interval: Span, p: float | None) -> Check:
    worst, best = (interval.low, interval.high) if gate.above else (-interval.high, -interval.low)
    limit = gate.limit if gate.above else -gate.limit
    verdict = Verdict.PASS if worst >= limit else Verdict.FAIL if best < limit else Verdict.INCONCLUSIVE
    what = f"{name} is {_number(interval.value)}{' × production' if gate.relative else ''}"
    span = f"{_number(interval.low)} to {_number(interval.high)}"
    end = {
        Verdict.PASS: f"clear of the limit {gate.limit:.12g}.",
        Verdict.FAIL: f"all of it is beyond the limit {gate.limit:.12g} of “{gate.text}”.",
        Verdict.INCONCLUSIVE: f"the limit {gate.limit:.12g} of “{gate.text}” lies inside. More requests, or a quieter "
        "machine, would settle it.",
    }[verdict]
    finite = {"value": interval.value, "low": interval.low, "high": interval.high}
    values = {key: value if np.isfinite(value) else None for key, value in finite.items()}
    return Check(
        name=f"{name}: {gate.text}",
        verdict=verdict,
        detail=f"{what} ({span}): {end}",
        values={
            **values,
            "limit": gate.limit,
            "method": interval.method,
            **({} if p is None else {"p_beyond": p}),
        },
    )


def _number(value: float) -> str:
    """Four significant digits, of large numbers all before the point: a value must not round to its own limit."""
    if not isfinite(value) or not value:
        return f"{value:g}"
    digits = f"{value:,.{max(0, 3 - floor(log10(abs(value))))}f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _rows(
    name: str, own: Span, theirs: Span | None, ratio: Span | None, decided: list[Check]
) -> Iterator[tuple[Cell, ...]]:
    """What was measured, with its gate if it has one; again for a second gate, since rows are folded one by one."""
    measured = (
        _number(theirs.value) if theirs else "–",
        _number(own.value),
        f"{_number(own.low)} to {_number(own.high)}",
        f"{_number(ratio.value)} ({_number(ratio.low)} to {_number(ratio.high)})" if ratio else "–",
    )
    # Other suites' gates count, too: until all are judged, a cell holds the name of the check that it is about.
    gates = [(each.name.partition(": ")[2], each.name) for each in decided] or [("none", "–")]
    for gate, verdict in gates:
        yield (name, *measured, gate, verdict)


def _table(rows: list[tuple[Cell, ...]], candidate: Timings, confidence: float) -> Table:
    columns = (
        Column(name="quantity", kind="code"),
        Column(name="production", kind="number"),
        Column(name="candidate", kind="number"),
        Column(name=f"{100 * confidence:g} % interval", kind="number"),
        Column(name="ratio", kind="number"),
        Column(name="gate"),
        Column(name="verdict", kind="verdict"),
    )
    note = (
        f"{len(candidate.single_ms):,} requests of one row and {len(candidate.batch_ms):,} of "
        f"{candidate.batch_rows:,}, both models in turn on one machine."
    )
    return Table(title="Latency", columns=columns, rows=tuple(rows), note=note)
