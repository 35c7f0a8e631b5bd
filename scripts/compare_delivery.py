"""Hold a delivery against what came before it, by the profiles of both; validate-data runs it where a policy asks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slipway import profiles
from slipway.comparison import reference as references
from slipway.comparison.reference import Reference
from slipway.data import reading
from slipway.drift import clusters, delivery
from slipway.policy import Against, read_text
from slipway.policy.against import PRODUCTION
from slipway.report import Check, Verdict
from slipway.runner import outputs, stage
from slipway.runner.errors import InputError, PolicyError, RemoteError


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Compare `data` with `reference_data` (files), with `reference_profile`, or else with production's profile.

    rules: the policy's section `against`, as JSON. waiting: columns, one a line, that the data need not have yet.
    """

    data: str
    rules: str = "{}"
    reference_data: str = ""
    reference_profile: Path | None = None
    model: str = ""
    tracking_uri: str = ""
    waiting: str = ""
    examples: int = 3
    found: Path = Path("compared.json")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the checks are, and what the data were held against."""

    found: Path


def main(given: Inputs) -> None:
    """Write the checks as JSON. Without a reference there is one, which is inconclusive."""
    rules = read_text(given.rules, Against, file="`against`")
    said: dict[str, str | int] = {}
    try:
        reference = find_reference(given)
        said = {"digest": reference.digest, "version": reference.version, "rows": reference.profile.rows}
        checks = compare(given, rules, reference.profile)
    except (InputError, RemoteError) as failure:
        detail = " ".join(part for part in (failure.what, failure.why, failure.fix) if part)
        checks = (Check(name="reference", verdict=Verdict.INCONCLUSIVE, detail=f"not compared: {detail}"),)
    given.found.parent.mkdir(parents=True, exist_ok=True)
    content = {"checks": [check.model_dump(mode="json") for check in checks], "reference": said}
    given.found.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    outputs.publish(Outputs(found=given.found))


def find_reference(given: Inputs) -> Reference:
    """The profile that the data are held against. Raises InputError where there is none."""
    if given.reference_data:
        return Reference(profile(given.reference_data), digest="")
    if not (given.model or given.reference_profile):
        raise InputError(f"`{PRODUCTION}` needs a model.", fix="Give `model`, `reference-data` or `reference-profile`.")
    return references.find_reference(given.model, given.tracking_uri, given.reference_profile)


def compare(given: Inputs, rules: Against, reference: profiles.Profile) -> Iterable[Check]:
    """The checks of the data, of the columns that they have or must have."""
    columns = set(reference.columns)
    parts = by_cluster(given.data, columns, rules.cluster) if rules.cluster else ()
    current = profiles.merge(parts) if parts else profile(given.data, columns)
    if unknown := [name for name in rules.ignore if name not in {**reference.columns, **current.columns}]:
        raise PolicyError(f"`against.ignore` names `{unknown[0]}`, which neither the reference nor the data have.")
    waiting = [name for name in given.waiting.splitlines() if name not in current.columns]
    rules = rules.model_copy(update={"ignore": (*rules.ignore, *waiting)})
    return delivery.judge(reference, current, rules, parts, examples=given.examples)


def by_cluster(place: str, columns: set[str], cluster: str) -> tuple[profiles.Profile, ...]:
    """The profiles of files by the value of the column `cluster`. Raises InputError where they have none."""
    frame = reading.scan(place)
    names = [name for name in frame.collect_schema().names() if name in {*columns, cluster}]
    with reading.unreadable(place):
        return clusters.profiles_of(frame.select(names), cluster)


def profile(place: str, columns: set[str] | None = None) -> profiles.Profile:
    """The profile of files. Raises InputError where they cannot be read."""
    frame = reading.scan(place)
    with reading.unreadable(place):
        return profiles.of_frame(frame, columns, in_strips=reading.keeps_columns_apart(place))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
