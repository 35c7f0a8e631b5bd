"""Hold a delivery against what came before it, by the profiles of both; validate-data runs it where a policy asks."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slipway import profiles
from slipway.comparison import reference as references
from slipway.comparison.reference import Reference, scan_like
from slipway.data import declared, reading
from slipway.drift import clusters, delivery
from slipway.policy.against import PRODUCTION, Against
from slipway.policy.dataset import Dataset
from slipway.policy.reading import read_text
from slipway.report import Check, Verdict
from slipway.runner import outputs, stage
from slipway.runner.errors import InputError, PolicyError, RemoteError
from slipway.training import profiling

NOTHING = profiles.Profile(0, {})
"""What a reference is held against."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Compare `data` with `reference_data`, with `reference_profile`, or else with production's profile.

    Both data are the policy's `path`, `engine` and `schema`, as JSON. columns: that the data have, one a line. rules:
    the policy's section `against`, as JSON. waiting: columns, one a line, that the data need not have yet.
    """

    data: str
    columns: str = ""
    rules: str = "{}"
    reference_data: str = ""
    reference_profile: Path | None = None
    spark_server: str = ""
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
        (found,) = profiles_of(said_dataset(given.reference_data), given.spark_server)
        return Reference(found, digest="")
    if not (given.model or given.reference_profile):
        raise InputError(f"`{PRODUCTION}` needs a model.", fix="Give `model`, `reference-data` or `reference-profile`.")
    return references.find_reference(given.model, given.tracking_uri, given.reference_profile)


def compare(given: Inputs, rules: Against, reference: profiles.Profile) -> Iterable[Check]:
    """The checks of the data, of the columns that they have or must have."""
    present = given.columns.split("\n")
    if unknown := [name for name in rules.ignore if name not in {*reference.columns, *present}]:
        raise PolicyError(f"`against.ignore` names `{unknown[0]}`, which neither the reference nor the data have.")
    # What is not compared is not read: Spark may not carry it.
    wanted = [name for name in reference.columns if name not in rules.ignore]
    parts = profiles_of(said_dataset(given.data), given.spark_server, wanted, rules.cluster or "", like=reference)
    current = profiles.merge(parts)
    waiting = [name for name in given.waiting.splitlines() if name not in current.columns]
    rules = rules.model_copy(update={"ignore": (*rules.ignore, *waiting)})
    return delivery.judge(reference, current, rules, parts if rules.cluster else (), examples=given.examples)


def said_dataset(said: str) -> Dataset:
    """The dataset that an input speaks of."""
    return Dataset.model_validate_json(said)


def profiles_of(
    dataset: Dataset,
    server: str,
    columns: list[str] | None = None,
    cluster: str = "",
    *,
    like: profiles.Profile = NOTHING,
) -> tuple[profiles.Profile, ...]:
    """The profile of a dataset by the engine that reads it, or those of its clusters. Files without types are read like
    the profile that they are held against, and by their schema.

    Raises InputError where it cannot be read, or has no column `cluster`.
    """
    if dataset.engine == "spark":
        return in_spark(dataset, server, columns, cluster)
    types = declared.types_in(Path(dataset.schema_)) if dataset.schema_ else reading.NO_TYPES
    frame = scan_like(like, dataset.path, types)
    with reading.unreadable(dataset.path):
        if not cluster:
            in_strips = reading.carries_types(dataset.path)
            return (profiles.of_frame(frame, columns, in_strips=in_strips),)
        names = frame.collect_schema().names()
        chosen = [name for name in names if columns is None or name in (*columns, cluster)]
        return clusters.profiles_of(frame.select(chosen), cluster)


def in_spark(dataset: Dataset, server: str, columns: list[str] | None, cluster: str) -> tuple[profiles.Profile, ...]:
    """The same in Spark, which runs in an environment of its own."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        file = Path(folder) / "profile.json"
        if why := profiling.run(dataset, server, columns or (), file, cluster=cluster):
            raise InputError(f"The data at {dataset.path} could not be profiled by Spark.", why=why)
        said = file.read_text(encoding="utf-8")
    return clusters.in_order(profiles.read_lines(said), cluster) if cluster else (profiles.read(said),)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
