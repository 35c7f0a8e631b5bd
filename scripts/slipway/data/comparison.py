"""A dataset held against an earlier one: asked of scripts/compare_delivery.py, in the environment that drift needs.

That environment has NumPy, SciPy and MLflow, which a validation without `against` has no use for and does not install.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.report.model import Check, Value
from slipway.runner import stages
from slipway.runner.errors import InputError

if TYPE_CHECKING:
    from slipway.policy.against import Against
    from slipway.policy.dataset import Dataset
    from slipway.policy.source import SourcedPolicy

GROUP = "detect-drift"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a dataset is to be held against. data: another one, whose path is on this machine unless it stays in its
    store. profile: the text of a profile. schema: the text of that other one's schema; empty where it has none.

    Production's profile, in the registry at `tracking_uri`, where neither is given. waiting: columns that the data need
    not have yet. server: of Spark Connect.
    """

    rules: Against
    data: Dataset | None = None
    schema: str = ""
    profile: str = ""
    server: str = ""
    model: str = ""
    tracking_uri: str = ""
    waiting: tuple[str, ...] = ()


def request(sourced: SourcedPolicy, rules: Against, data: Dataset | None, tracking_uri: str) -> Request:
    """What the policy's section `against` speaks of. data: the dataset that it names, if it names one.

    Truths may still be on their way, but for those that the evaluation asks for itself. A profile is part of the gates:
    in a pull request it is the base branch's.
    """
    return Request(
        rules=rules,
        data=data,
        schema=sourced.gate_file(data.schema_) if data and data.schema_ else "",
        profile=sourced.gate_file(rules.reference, "profile") if rules.is_profile else "",
        server=sourced.policy.spark.remote or "",
        model=sourced.policy.model,
        tracking_uri=tracking_uri,
        waiting=tuple(sourced.policy.evaluation.targets) if sourced.policy.evaluation else (),
    )


def compare(
    name: str, dataset: Dataset, asked: Request, columns: Collection[str], examples: int, *, schema: str = ""
) -> tuple[tuple[Check, ...], dict[str, Value]]:
    """The checks of the dataset, named after it, and what the report says of the reference. columns: that it has.
    schema: the text of its own, which says how files without types are read.

    Raises InputError where the comparison itself ended early.
    """
    rules = asked.rules
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        found, profile = Path(folder) / "compared.json", Path(folder) / "reference.json"
        profile.write_text(asked.profile, encoding="utf-8")
        said = {
            "data": _said(dataset, schema, Path(folder) / "schema.yml"),
            "columns": "\n".join(columns),
            "rules": rules.model_dump_json(),
            "reference_data": _said(asked.data, asked.schema, Path(folder) / "reference.yml") if asked.data else "",
            "spark_server": asked.server,
            "reference_profile": str(profile) if rules.is_profile else "",
            "model": asked.model,
            "tracking_uri": asked.tracking_uri,
            "waiting": "\n".join(asked.waiting),
            "examples": str(examples),
            "found": str(found),
        }
        ran = stages.run("compare-delivery", said, group=GROUP)
        if ran.code or not found.is_file():
            raise InputError(
                f"The dataset `{name}` could not be held against {rules.reference}.",
                why=f"The comparison ended with exit code {ran.code}; it says why above.",
            )
        content = json.loads(found.read_text(encoding="utf-8"))
    checks = [Check.model_validate(each) for each in content["checks"]]
    version, rows = content["reference"].get("version"), content["reference"].get("rows")
    if not content["reference"]:
        told = "not found"
    else:
        words = [rules.reference, f"version {version}" if version else "", content["reference"]["digest"]]
        told = " ".join(filter(None, words)) + f", {rows:,} rows"
    named = [check.model_copy(update={"name": f"{name} against {rules.reference}: {check.name}"}) for check in checks]
    return tuple(named), {f"reference_{name}": told}


def _said(dataset: Dataset, schema: str, file: Path) -> str:
    """What the comparison is told of a dataset, as JSON. file: where to leave the schema's text, if there is one."""
    if schema:
        file.write_text(schema, encoding="utf-8")
    said = dataset.model_copy(update={"schema_": str(file) if schema else None})
    return said.model_dump_json(include={"path", "engine", "schema_"}, by_alias=True)
