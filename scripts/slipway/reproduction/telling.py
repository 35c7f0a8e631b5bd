"""What a report says of a rebuild: to people and to machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.policy.model import GRADES, Grade
from slipway.registry.mlflow import ModelVersion
from slipway.report import Cell, Check, Column, Subject, Table, Verdict
from slipway.report.model import Value
from slipway.reproduction import layers
from slipway.reproduction.diagnosis import Diagnosis
from slipway.reproduction.layers import Row
from slipway.reproduction.matching import Match
from slipway.reproduction.recorded import Recorded

MEANING: dict[Grade, str] = {
    "bytes": "the same files",
    "structure": "the same estimator",
    "predictions": "the same answers",
    "metrics": "metrics that do not differ",
    "none": "another model",
}


def subjects(version: ModelVersion, registry: str) -> tuple[Subject, ...]:
    """The version that was to be rebuilt, and the identity of the registry whose number it has."""
    named = Subject(role="version", name=version.version, id=version.tags.get("slipway.model_digest", ""))
    return (named, *([Subject(role="registry", name=version.model, id=registry)] if registry else []))


def of_record(recorded: Recorded) -> tuple[Subject, ...]:
    """What the rebuild rests on, by digest."""
    made, lock = recorded.made, recorded.made.environment.lock
    return (
        Subject(role="commit", name="clean", id=made.commit),
        *(Subject(role="data", name=name, id=str(found)) for name, found in made.datasets.items()),
        *([Subject(role="environment", name=made.environment.python, id=made.environment.lock_digest)] * bool(lock)),
        *([Subject(role="container", name=made.base.image, id=made.base.id)] if made.base.id else []),
        Subject(role="provenance", name="provenance.json", id=recorded.digest),
    )


def facts(version: ModelVersion, recorded: Recorded | None) -> dict[str, str]:
    """What people see of the version."""
    said = {"model_version": version.version, "model_digest": version.tags.get("slipway.model_digest", "")}
    if recorded:
        made = recorded.made
        said |= {
            "commit": made.commit,
            **{f"data_{name}": found.in_words for name, found in made.datasets.items()},
            "environment": made.environment.lock_digest or "as the container has it",
            **({"container": f"{made.base.image} ({made.base.id})"} if made.base.id else {}),
            "python": made.environment.python,
            "command": " ".join(made.command),
            "seed": "none" if made.seed is None else str(made.seed),
            "trained_by_run": made.mlflow_run,
        }
    return said


def remarks(recorded: Recorded) -> tuple[str, ...]:
    """What a reader should know of the record, whatever came out."""
    made = recorded.made
    unhashed = ("The recorded lock has no hashes, so nothing vouches for the packages it brought.",)
    return (*made.remarks, *(() if made.environment.hash_locked or not made.environment.lock else unhashed))


def outcome(
    version: ModelVersion, match: Match, wanted: Grade, rows: Sequence[Row], found: Diagnosis
) -> dict[str, Any]:
    """The parts of the report on a rebuild that came to its end."""
    verdict, grade = match.verdict(wanted), match.grade
    reached = f"`{grade}` ({MEANING[grade]})"
    if verdict is Verdict.PASS:
        headline = f"{version.name.capitalize()} was rebuilt from its record: {reached}."
    elif verdict is Verdict.FAIL:
        headline = (
            f"{version.name.capitalize()} could not be rebuilt as recorded: {reached}, and `{wanted}` is asked for."
        )
    else:
        headline = f"{version.name.capitalize()} was rebuilt, and whether it is `{wanted}` could not be told."
    why = () if verdict is Verdict.PASS else tuple(step.detail for step in match.steps if step.detail)
    cause = (f"Likely cause: {found.cause}.",) if found.cause not in ("", "unknown") else ()
    return {
        "verdict": verdict,
        "headline": headline,
        "reasons": (*cause, *found.says, *why),
        "checks": (check(match, wanted),),
        "tables": (grades(match, wanted), layers.table(list(rows))),
        "advice": found.advice,
    }


def check(match: Match, wanted: Grade) -> Check:
    """The gate. A stricter grade that is missed is no check of its own: it fails nothing."""
    values: dict[str, Value] = {step.grade: f"{step.verdict.value}: {step.detail}" for step in match.steps}
    detail = f"the rebuilt model is `{match.grade}`"
    return Check(name=f"grade: at least {wanted}", verdict=match.verdict(wanted), detail=detail, values={**values})


def grades(match: Match, wanted: Grade) -> Table:
    """Every grade, strictest first."""
    said = {"pass": "yes", "fail": "no", "inconclusive": "not known"}
    known = {step.grade: (said[step.verdict.value], step.detail) for step in match.steps}
    rows: list[tuple[Cell, ...]] = []
    for grade in GRADES[:-1]:
        found, detail = known.get(grade, ("yes", "Follows from the grade above."))
        rows.append((f"{grade} (asked for)" if grade == wanted else grade, MEANING[grade], found, detail))
    columns = (Column(name="grade"), Column(name="means"), Column(name="reached"), Column(name="finding"))
    return Table(title="How well it matches", columns=columns, rows=tuple(rows))
