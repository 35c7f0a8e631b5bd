"""What a pull request changes beside its code: how the candidate was made, and the policy that would judge it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slipway.comparison.contenders import Contender
from slipway.policy.source import SourcedPolicy
from slipway.registry.mlflow import Registry
from slipway.report import Change, Column, Table, changes
from slipway.runner.errors import InputError
from slipway.training import provenance
from slipway.training.provenance import Provenance, flatten

PROVENANCE = "slipway/provenance.json"


def changes_of(registry: Registry | None, both: Sequence[Contender], scratch: Path) -> tuple[Change, ...] | None:
    """Parameters, seed and data that differ, by name; None where one of the two has no provenance to compare.

    Raises RemoteError where the registry does not answer.
    """
    found = [_made_with(registry, each, scratch) for each in both]
    if len(found) < 2 or any(each is None for each in found):
        return None
    candidate, production = (_named(each) for each in found if each)
    return changes(production, candidate)


def policy_changes(sourced: SourcedPolicy) -> tuple[Table, ...]:
    """The gates that this pull request would have, beside those of the base branch that judged it."""
    if sourced.proposed is None:
        return ()
    base, head = (
        flatten(each.model_dump(mode="json", exclude_none=True)) for each in (sourced.policy, sourced.proposed)
    )
    rows = tuple((each.name, each.production or "–", each.candidate or "–") for each in changes(base, head))
    columns = (
        *(Column(name="key", kind="code"), Column(name="judged by", kind="code")),
        Column(name="this pull request", kind="code"),
    )
    note = "What the base branch says judged this change; what the pull request says holds once it is merged."
    return (Table(title=f"Changed in {sourced.path}", columns=columns, rows=rows, note=note),)


def _made_with(registry: Registry | None, contender: Contender, scratch: Path) -> Provenance | None:
    version = contender.registered
    if registry is None or version is None or not version.run_id:
        return None
    file = registry.run_file(version.run_id, PROVENANCE, scratch / contender.role)
    try:
        return provenance.read(file) if file else None
    except InputError:
        return None  # written by a later Slipway, or by hand: the comparison can do without


def _named(made: Provenance) -> dict[str, str]:
    seed = {} if made.seed is None else {"seed": str(made.seed)}
    data = {f"data {name}": version.in_words for name, version in made.datasets.items()}
    return {**made.parameters, **seed, **data}
