"""What may make a comparison say less than it seems to: a moved alias, equal models, a holdout that was used often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slipway import datasets
from slipway.comparison import contenders, earlier
from slipway.comparison.contenders import Contender
from slipway.evaluation.findings import Findings
from slipway.ledger import place
from slipway.ledger.store import Ledger
from slipway.policy.source import SourcedPolicy
from slipway.prediction.holdout import Holdout
from slipway.prediction.process import Predictions
from slipway.registry.mlflow import Registry
from slipway.report import Chart, Check, Verdict
from slipway.runner.context import Run
from slipway.runner.errors import SlipwayError
from slipway.runner.inputs import Secret


def same_production(registry: Registry | None, model: str, both: Sequence[Contender]) -> Findings:
    """Nothing where production is still the version that the candidate was compared with; else inconclusive.

    Raises RemoteError where the registry does not answer.
    """
    before = next((each for each in both if each.role == "production" and each.registered), None)
    if registry is None or before is None:
        return Findings()
    now = contenders.in_production(registry, model)
    if now is not None and (now.version, now.id) == (before.version, before.id):
        return Findings()
    moved = now.name if now else "no version"
    detail = f"While the models were compared, production became {moved}; it was {before.name}. Evaluate again."
    check = Check(name="production did not change meanwhile", verdict=Verdict.INCONCLUSIVE, detail=detail)
    return Findings((check,), reasons=(detail,))


def used_before(
    holdout: Holdout, model: str, candidate: Contender, judged: Findings, token: Secret, limit: int | None
) -> Findings:
    """How often the holdout decided before, where there is a token to read the ledger with, or a limit.

    judged: what was found now, which ends the course of the metrics over earlier candidates.

    A guard that holds is no check: it must not make a pass where no gate judged anything. The more candidates one set
    of rows has judged, the more of what they gained on it is luck (Blum & Hardt 2015,
    https://proceedings.mlr.press/v37/blum15.html).
    """
    uses: int | SlipwayError | None = None
    charts: tuple[Chart, ...] = ()
    if token or limit is not None:
        try:
            before = earlier.judged_before(Ledger(place.find(Run.from_environ(), token=token)), holdout.version)
            uses = earlier.uses(before, candidate)
            charts = tuple(filter(None, [earlier.course(before, model, candidate, judged.checks)]))
        except SlipwayError as failure:
            uses = failure
    if isinstance(uses, int):
        said = f"The holdout `{holdout.name}` has judged {uses:,} other candidate{'' if uses == 1 else 's'} before."
        if limit is None or uses < limit:
            return Findings(reasons=(said,) if uses else (), charts=charts)
        detail = f"{said} The policy allows {limit:,}: take new rows, from which no candidate was chosen yet."
    elif limit is None:
        return Findings()
    else:
        why = uses.what if uses else ""
        detail = f"How often the holdout `{holdout.name}` was used before is not known, and the policy limits it. {why}"
    check = Check(name=f"uses of the holdout {holdout.name}", verdict=Verdict.INCONCLUSIVE, detail=detail)
    return Findings((check,), reasons=(detail,), charts=charts)


def equality(both: Sequence[Contender], said: Mapping[str, Predictions]) -> tuple[str, ...]:
    """What to say where the two models are, or answer, the same. said: predictions by role."""
    if len(both) < 2:
        return ("First release: no version is in production yet, so only absolute gates (`min`, `max`) apply.",)
    ours, theirs = said["candidate"], said["production"]
    same_model = bool(both[0].payload) and both[0].payload == both[1].payload
    same_answers = ours.classes == theirs.classes and ours.frame.equals(theirs.frame)
    if same_model and same_answers:
        return (
            "The candidate is the same model as production, byte for byte, and answers every row alike: an interval "
            "that is wider than zero says only what so many rows can show.",
        )
    if same_model:
        return (
            "The candidate is the same model as production, byte for byte, and yet it answers otherwise: its "
            "environment is another one, or it answers by chance.",
        )
    if same_answers:
        return ("The candidate gives the same prediction as production for every row of the holdout.",)
    return ()


def holdout_remarks(sourced: SourcedPolicy, holdout: Holdout) -> tuple[str, ...]:
    """What to say of the rows themselves."""
    remarks: tuple[str, ...] = ()
    if not holdout.version.immutable:
        remarks += (f"The holdout {holdout.version.remark}",)
    if sourced.gates_commit and datasets.changed_since(sourced.gates_commit, holdout.version):
        remarks += ("This pull request changes the holdout itself: both models were judged on its rows.",)
    return remarks
