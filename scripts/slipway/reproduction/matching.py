"""How well a rebuilt model matches the recorded one: the best of four grades, looked for from the strictest down."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from slipway.evaluation.formulas import Interval
from slipway.evaluation.judgement import measure, metric_of
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation, Isolation
from slipway.policy.model import GRADES, Grade
from slipway.policy.rules import MetricRule
from slipway.prediction.holdout import Holdout, read_holdout
from slipway.prediction.isolation import Confinement, confinement
from slipway.prediction.outcome import cluster_positions, outcomes
from slipway.prediction.process import Job, Predictions, predict_all
from slipway.prediction.scored import text_outcomes
from slipway.registry.digests import digest
from slipway.report import Verdict
from slipway.reproduction import files, structure
from slipway.reproduction.rebuilding import Rebuilt, with_recorded_addresses
from slipway.runner import commands
from slipway.runner.errors import GateError, InputError, PolicyError, RemoteError

SECONDS = 1_800.0
RECORDED, REBUILT = "The recorded model", "The rebuilt model"
SHOWN = 5


@dataclass(frozen=True)
class Step:
    """One grade that was looked for. verdict: whether it is reached; inconclusive where that could not be told."""

    grade: Grade
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Match:
    """Every grade down to the one that is reached. structures: what was found to differ in the estimators."""

    steps: tuple[Step, ...]

    @property
    def grade(self) -> Grade:
        """The best grade that is reached; `none` where none is."""
        return next((step.grade for step in self.steps if step.verdict is Verdict.PASS), "none")

    def verdict(self, wanted: Grade) -> Verdict:
        """Whether the match is at least as good as `wanted`; what could not be looked at leaves that open.

        A grade follows from every stricter one: where it is missed, they are missed as well.
        """
        if rank(self.grade) <= rank(wanted):
            return Verdict.PASS
        missed = any(step.verdict is Verdict.FAIL and rank(step.grade) >= rank(wanted) for step in self.steps)
        return Verdict.FAIL if missed else Verdict.INCONCLUSIVE

    def detail(self, grade: Grade) -> str:
        """What was found for a grade; empty where nobody looked."""
        return next((step.detail for step in self.steps if step.grade == grade), "")


def rank(grade: Grade) -> int:
    """0 for the strictest."""
    return GRADES.index(grade)


@dataclass(frozen=True)
class Matcher:
    """Compares models that one environment runs. python: makes that, and is asked only where files do not decide.
    tolerance: of predictions."""

    python: Callable[[], Path]
    tolerance: float
    scratch: Path

    def compare(self, recorded: Path, rebuilt: Rebuilt) -> Match:
        """The steps down to the best grade that is reached."""
        steps = []
        for step in self._steps(recorded, rebuilt):
            steps.append(step)
            if step.verdict is Verdict.PASS:
                break
        return Match(tuple(steps))

    def same(self, one: Path, other: Path) -> Grade:
        """Whether two models have the same `bytes`, else the same `structure`, else `none` of the two.

        Where their structure cannot be told, their files decide.
        """
        if files.digests(one) == files.digests(other):
            return "bytes"
        if digest(one, payload_only=True) == digest(other, payload_only=True):
            return "structure"
        try:
            first, second = self._structures(one, other, Isolation())
        except (GateError, InputError, RemoteError):
            return "none"
        return "structure" if first.digest == second.digest else "none"

    def _steps(self, recorded: Path, rebuilt: Rebuilt) -> Iterator[Step]:
        before, after = files.digests(recorded), files.digests(rebuilt.model)
        wrong = files.differences(before, after)
        if not wrong:
            yield Step("bytes", Verdict.PASS, f"All {len(before)} files are the same.")
            return
        more = f" and {len(wrong) - SHOWN} more" * (len(wrong) > SHOWN)
        yield Step("bytes", Verdict.FAIL, f"Of {len(before | after)} files {', '.join(wrong[:SHOWN])}{more}.")
        evaluation = rebuilt.sourced.policy.evaluation
        isolation = evaluation.isolation if evaluation else Isolation()
        yield self._structure(recorded, rebuilt.model, isolation)
        if evaluation is None:
            why = "The policy has no section `evaluation`, so no rows say what the models answer."
            yield Step("predictions", Verdict.INCONCLUSIVE, why)
            yield Step("metrics", Verdict.INCONCLUSIVE, why)
            return
        asked = Asked(self, recorded, rebuilt, evaluation)
        yield asked.step("predictions")
        yield asked.step("metrics")

    def _structure(self, recorded: Path, rebuilt: Path, isolation: Isolation) -> Step:
        if digest(recorded, payload_only=True) == digest(rebuilt, payload_only=True):
            said = "But for times and memory addresses in archives, all files are the same."
            return Step("structure", Verdict.PASS, said)
        try:
            before, after = self._structures(recorded, rebuilt, isolation)
        except (GateError, InputError, RemoteError) as failure:
            return Step("structure", Verdict.INCONCLUSIVE, f"It could not be told: {failure.what}")
        if before.digest == after.digest:
            return Step("structure", Verdict.PASS, "Types, parameters and arrays are the same, value by value.")
        first, count = before.first_difference(after), before.differing(after)
        where = f"The first that differs is `{first}`; {count:,} differ in all." if first else "Values differ."
        return Step("structure", Verdict.FAIL, where)

    def _structures(self, one: Path, other: Path, isolation: Isolation) -> list[structure.Structure]:
        with tempfile.TemporaryDirectory(dir=self.scratch) as output:
            jobs = [
                Job(name, model, self.python(), Path(output) / name[4:12].strip())
                for name, model in ((RECORDED, one), (REBUILT, other))
            ]
            return structure.describe_all(jobs, confinement(isolation))


@dataclass(frozen=True)
class Asked:
    """Both models before the rows of the recorded holdout."""

    matcher: Matcher
    recorded: Path
    rebuilt: Rebuilt
    evaluation: Evaluation

    def step(self, grade: Grade) -> Step:
        """Whether this grade, `predictions` or `metrics`, is reached."""
        try:
            return self._predictions() if grade == "predictions" else self._metrics()
        except (GateError, InputError, PolicyError, RemoteError) as failure:
            return Step(grade, Verdict.INCONCLUSIVE, f"It could not be told: {failure.what}")

    @cached_property
    def _holdout(self) -> Holdout:
        folder = self.matcher.scratch / "holdout"
        folder.mkdir(exist_ok=True)
        with chdir(self.rebuilt.folder):
            return read_holdout(with_recorded_addresses(self.rebuilt), self.evaluation, folder)

    @cached_property
    def _answers(self) -> dict[str, Predictions]:
        rows = len(self._holdout.truth)
        commands.say(f"Predicting {rows:,} rows with both models")
        folder = self.matcher.scratch / "predictions"
        models = {RECORDED: self.recorded, REBUILT: self.rebuilt.model}
        jobs = [Job(name, model, self.matcher.python(), folder / name[4:12].strip()) for name, model in models.items()]
        said = predict_all(
            jobs,
            self._holdout.features,
            self.evaluation.task,
            timeout=SECONDS,
            confinement=self._confinement,
            rows=rows,
        )
        return dict(zip(models, said, strict=True))

    @property
    def _confinement(self) -> Confinement:
        return confinement(self.evaluation.isolation)

    def _predictions(self) -> Step:
        before, after = self._answers[RECORDED], self._answers[REBUILT]
        rows, tolerance = len(self._holdout.truth), self.matcher.tolerance
        differing, largest = distance(before, after, tolerance)
        if differing == 0:
            how = "identical" if largest == 0 else f"within {tolerance:g} (at most {largest:.2g} apart)"
            return Step("predictions", Verdict.PASS, f"All {rows:,} predictions are {how}.")
        by = f", by up to {largest:.3g}" if largest else ""
        said = f"{differing:,} of {rows:,} predictions differ{by}; the tolerance is {tolerance:g}."
        return Step("predictions", Verdict.FAIL, said)

    def _metrics(self) -> Step:
        evaluation, holdout = self.evaluation, self._holdout
        clusters = None if holdout.clusters is None else cluster_positions(holdout.clusters)
        sampling = Sampling(rows=len(holdout.truth), confidence=evaluation.confidence, clusters=clusters)
        if len(holdout.truth) < evaluation.min_rows:
            why = f"The holdout has {len(holdout.truth):,} rows, and {evaluation.min_rows:,} are asked for."
            return Step("metrics", Verdict.INCONCLUSIVE, why)
        if not evaluation.metrics:
            return Step("metrics", Verdict.INCONCLUSIVE, "The policy names no metrics.")
        judged = self._outcomes(holdout)
        found = [
            metric_matches(name, rule, self.evaluation, judged[REBUILT], judged[RECORDED], sampling)
            for name, rule in evaluation.metrics.items()
        ]
        verdicts = {verdict for verdict, _ in found}
        worst = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in verdicts), Verdict.PASS)
        return Step("metrics", worst, " ".join(said for verdict, said in found if verdict is worst))

    def _outcomes(self, holdout: Holdout) -> dict[str, Outcome]:
        if self.evaluation.task != "text":
            return outcomes(self.evaluation, holdout.truth, self._answers, holdout.keys)
        sourced = with_recorded_addresses(self.rebuilt)
        with chdir(self.rebuilt.folder):
            return {**text_outcomes(sourced, self.evaluation, holdout, self._answers, self.matcher.scratch)}


def distance(recorded: Predictions, rebuilt: Predictions, tolerance: float) -> tuple[int, float]:
    """In how many rows two models answer otherwise, and by how much at most, of numbers and probabilities.

    Labels and texts must be the same. A number x differs from y where |x - y| > tolerance * max(1, |y|), so that small
    numbers are compared absolutely and large ones relatively; two missing values are the same.
    """
    before, after = recorded.frame, rebuilt.frame
    if before.columns != after.columns or recorded.classes != rebuilt.classes or before.height != after.height:
        return max(before.height, after.height), 0.0
    differs, largest = np.zeros(before.height, dtype=bool), 0.0
    for name in before.columns:
        one, two = before[name], after[name]
        if one.dtype.is_float() or two.dtype.is_float():
            x, y = (each.cast(pl.Float64).to_numpy() for each in (one, two))
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            with np.errstate(invalid="ignore"):
                apart = np.abs(x - y) / np.maximum(1.0, np.abs(y))
            apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
            differs |= apart > tolerance
            largest = max(largest, float(apart.max(initial=0.0)))
        else:
            differs |= one.ne_missing(two).to_numpy()
    return int(differs.sum()), largest


def metric_matches(
    name: str, rule: MetricRule, evaluation: Evaluation, rebuilt: Outcome, recorded: Outcome, sampling: Sampling
) -> tuple[Verdict, str]:
    """Whether a metric's paired difference (rebuilt minus recorded) is none that matters, and a sentence.

    With a margin in the policy its whole interval must lie within the margin on both sides (equivalence by two
    one-sided tests, Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657). Without one the interval must hold zero.
    """
    found = measure(metric_of(name, evaluation, rebuilt), rebuilt, recorded, sampling).difference
    if not isinstance(found, Interval):
        return Verdict.INCONCLUSIVE, found
    span = f"{name} differs by {found.value:+.3g} ({found.low:+.3g} to {found.high:+.3g})"
    if rule.margin:
        if -rule.margin < found.low and found.high < rule.margin:
            return Verdict.PASS, f"{span}, within its margin of {rule.margin:g}."
        beyond = found.high < -rule.margin or found.low > rule.margin
        verdict = Verdict.FAIL if beyond else Verdict.INCONCLUSIVE
        return verdict, f"{span}, {'beyond' if beyond else 'not surely within'} its margin of {rule.margin:g}."
    holds = found.low <= 0 <= found.high
    return (Verdict.PASS if holds else Verdict.FAIL), f"{span}, which {'holds' if holds else 'leaves out'} zero."
