"""Makes openapi.json: the part of GitHub's OpenAPI description (npm package @octokit/openapi) that the double serves.

Run with the folder `tests` on PYTHONPATH: `python -m github_double.subset [--version 1.2.3] [--check]`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from github_double import operations  # noqa: F401  (fills the route table)
from github_double.routes import OPERATIONS

Json = dict[str, Any]

PACKAGE = "@octokit/openapi"
DESCRIPTION = "package/generated/api.github.com.json"
COMMITTED = Path(__file__).with_name("openapi.json")
# GitHub lists only some of the errors of an operation, while every error has this shape.
ANY_ERROR: Json = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/basic-error"}}}}
# What the validators do not read. Names of properties are not touched: a repository has a `description` too.
PROSE = {"description", "summary", "title", "example", "examples", "tags", "x-github", "x-octokit", "x-multi-segment"}


UNDESCRIBED: Json = {"can_admins_bypass": {"type": "boolean"}}
"""What GitHub tells of an environment, and takes from Terraform's provider, without describing it."""


def download(version: str) -> Json:
    """The whole description, out of the package as it was published."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed, and the description is published as an npm package.")
    with tempfile.TemporaryDirectory() as folder:
        packing = [npm, "pack", f"{PACKAGE}@{version}", "--silent", "--pack-destination", folder]
        subprocess.run(packing, check=True, stdout=subprocess.DEVNULL, timeout=600)
        (packed,) = Path(folder).glob("*.tgz")
        with tarfile.open(packed) as archive:
            member = archive.extractfile(DESCRIPTION)
            assert member is not None, "a file, not a folder"
            description: Json = json.load(member)
    return description


def subset(whole: Json, served: set[str]) -> Json:
    """A description of the operations `served` alone, with every component that they lead to."""
    paths = {
        path: {method: _without_prose(row) for method, row in item.items() if row.get("operationId") in served}
        for path, item in whole["paths"].items()
    }
    paths = {path: item for path, item in paths.items() if item}
    found = {row["operationId"] for item in paths.values() for row in item.values()}
    if missing := served - found:
        raise SystemExit(f"The description does not know these operations: {', '.join(sorted(missing))}")
    for item in paths.values():
        put = item.get("put", {})
        if put.get("operationId") == "repos/create-or-update-environment":
            put["requestBody"]["content"]["application/json"]["schema"]["properties"] |= UNDESCRIBED
    info = whole["info"]
    for item in paths.values():
        for row in item.values():
            row["responses"] |= {"4XX": ANY_ERROR, "5XX": ANY_ERROR}
    return {
        "openapi": whole["openapi"],
        "info": {
            "title": f"A subset of {PACKAGE} {info['version']}, made by subset.py",
            "version": info["version"],
            "license": {"name": info["license"]["name"]},
        },
        "servers": whole["servers"],
        "paths": paths,
        "components": _closure(whole, paths),
    }


def _closure(whole: Json, paths: Json) -> Json:
    components: Json = {}
    waiting = _references(paths)
    while waiting:
        _, _, kind, name = waiting.pop().split("/")
        if name not in components.setdefault(kind, {}):
            component = _amended(name, _without_prose(whole["components"][kind][name]))
            components[kind][name] = component
            waiting |= _references(component)
    return components


def _amended(name: str, component: Json) -> Json:
    """`component` as GitHub really behaves, where that differs from its description."""
    if name in ("pull-request", "pull-request-simple"):
        # The repository of a head is null once the fork was deleted.
        component["properties"]["head"]["properties"]["repo"] = {"$ref": "#/components/schemas/nullable-repository"}
    if name == "deployment-status":
        # What a job has that waits for its environment.
        component["properties"]["state"]["enum"].append("waiting")
        # Addresses that nobody gave are empty, as their defaults say.
        for name in ("target_url", "log_url", "environment_url"):
            del component["properties"][name]["format"]
    if name == "environment":
        component["properties"] |= UNDESCRIBED
    if name == "validation-error":
        # Like every error it carries its status.
        component["properties"]["status"] = {"type": "string"}
    return component


def _references(node: Any) -> set[str]:
    return set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(node)))


def _without_prose(node: Any, *, names: bool = False) -> Any:
    """`node` without what only people read; under `names` the keys are names that belong to the API."""
    if isinstance(node, list):
        return [_without_prose(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_prose(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or key not in PROSE
    }


def rendered(description: Json) -> str:
    """`description` as it is committed: sorted, one value on a line, to make a new version readable."""
    return json.dumps(description, indent=1, sort_keys=True) + "\n"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--version", help=f"of {PACKAGE}; default: the version that openapi.json came from")
    arguments.add_argument("--check", action="store_true", help="change nothing; fail when openapi.json differs")
    given = arguments.parse_args()
    version = given.version or json.loads(COMMITTED.read_text(encoding="utf-8"))["info"]["version"]
    expected = rendered(subset(download(version), set(OPERATIONS)))
    if not given.check:
        COMMITTED.write_text(expected, encoding="utf-8")
        return 0
    if COMMITTED.read_text(encoding="utf-8") == expected:
        return 0
    print(f"{COMMITTED.name} is not what {PACKAGE} {version} gives: run subset.py and commit it.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
