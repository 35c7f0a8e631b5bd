"""Write the JSON Schemas of slipway.yml, ledger entries, payloads, drift reports and observations, or check them."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

from pydantic import BaseModel

from slipway.canary import observations
from slipway.canary.observations import Observation
from slipway.drift.foreign import neutral
from slipway.drift.foreign.neutral import NeutralReport
from slipway.governor import payload
from slipway.governor.payload import Payload
from slipway.ledger import entries
from slipway.ledger.entries import Entry
from slipway.policy import against as against_model
from slipway.policy import canary as canary_model
from slipway.policy import dataset as dataset_model
from slipway.policy import deployment as deployment_model
from slipway.policy import drift as drift_model
from slipway.policy import evaluation as evaluation_model
from slipway.policy import groups as groups_model
from slipway.policy import latency as latency_model
from slipway.policy import model as policy_model
from slipway.policy import packaging as packaging_model
from slipway.policy import release as release_model
from slipway.policy import retraining as retraining_model
from slipway.policy import robustness as robustness_model
from slipway.policy import rules as rules_model
from slipway.policy import scorers as scorers_model
from slipway.policy import targets as targets_model
from slipway.policy import training as training_model
from slipway.policy.model import Policy
from slipway.report import model as report_model
from slipway.runner import stage
from slipway.runner.environments import REPOSITORY
from slipway.runner.errors import GateError

DOCS = REPOSITORY / "docs"
SCHEMAS: dict[str, tuple[type[BaseModel], tuple[ModuleType, ...]]] = {
    "slipway.schema.json": (
        Policy,
        (
            *(policy_model, against_model, canary_model, dataset_model, deployment_model, drift_model),
            *(evaluation_model, groups_model, latency_model, packaging_model, release_model, retraining_model),
            *(robustness_model, rules_model, scorers_model, targets_model, training_model),
        ),
    ),
    "ledger-entry.schema.json": (Entry, (entries, report_model)),
    "retraining-payload.schema.json": (Payload, (payload,)),
    "drift-report.schema.json": (NeutralReport, (neutral,)),
    "canary-observation.schema.json": (Observation, (observations,)),
}
"""The type that each file describes, and the modules whose docstrings explain it."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Write the JSON Schemas below docs/."""

    check: bool = False


def rendered(name: str) -> str:
    """A schema as its file holds it."""
    kind, modules = SCHEMAS[name]
    said = {"$schema": "https://json-schema.org/draft/2020-12/schema", **kind.model_json_schema(by_alias=True)}
    described = {kind.__name__: said, **said["$defs"]}
    types = [each for module in modules for each in vars(module).values() if inspect.isclass(each)]
    for owner, field, text in field_docstrings(modules):
        # A type inherits what its base has, as an entry does from a draft.
        for each in {one.__name__ for one in types if owner in {base.__name__ for base in one.__mro__}}:
            properties = described.get(each, {}).get("properties", {})
            properties.get(field.removesuffix("_"), {})["description"] = text
    return json.dumps(said, indent=2) + "\n"


def field_docstrings(modules: tuple[ModuleType, ...]) -> Iterator[tuple[str, str, str]]:
    """Class, field and docstring below it, for every field of the types.

    pydantic can collect them itself (`use_attribute_docstrings`), but then every stage pays for it at its start.
    """
    trees = (ast.parse(inspect.getsource(module)) for module in modules)
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    for kind, (field, text) in ((each, pair) for each in classes for pair in pairwise(each.body)):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            yield kind.name, field.target.id, inspect.cleandoc(ast.literal_eval(text.value))


def main(given: Inputs) -> None:
    """Write the files, or fail where one is not what would be written."""
    for name in SCHEMAS:
        file, text = DOCS / name, rendered(name)
        if not given.check:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            raise GateError(f"docs/{name} does not say what its types say.", fix="make schema")


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
