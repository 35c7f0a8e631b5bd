"""Write docs/slipway.schema.json, the JSON Schema of slipway.yml for editors, from the policy's types; or check it."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from slipway.policy import Policy, model
from slipway.runner import stage
from slipway.runner.environments import REPOSITORY
from slipway.runner.errors import GateError

FILE = REPOSITORY / "docs" / "slipway.schema.json"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Write the JSON Schema of slipway.yml."""

    check: bool = False


def rendered() -> str:
    """The schema as the file holds it."""
    said = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema(by_alias=True)}
    described = {"Policy": said, **said["$defs"]}
    for kind, field, text in field_docstrings():
        properties = described.get(kind, {}).get("properties", {})
        properties.get(field.removesuffix("_"), {})["description"] = text
    return json.dumps(said, indent=2) + "\n"


def field_docstrings() -> Iterator[tuple[str, str, str]]:
    """Class, field and docstring below it, for every field of the policy's types.

    pydantic can collect them itself (`use_attribute_docstrings`), but then every stage pays for it at its start.
    """
    classes = [node for node in ast.parse(inspect.getsource(model)).body if isinstance(node, ast.ClassDef)]
    for kind, (field, text) in ((each, pair) for each in classes for pair in pairwise(each.body)):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            yield kind.name, field.target.id, inspect.cleandoc(ast.literal_eval(text.value))


def main(given: Inputs) -> None:
    """Write the file, or fail where it is not what would be written."""
    if not given.check:
        FILE.write_text(rendered(), encoding="utf-8")
    elif not FILE.is_file() or FILE.read_text(encoding="utf-8") != rendered():
        raise GateError(f"{FILE.relative_to(REPOSITORY)} does not say what the policy's types say.", fix="make schema")


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
