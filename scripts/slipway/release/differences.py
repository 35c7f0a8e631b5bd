"""What a candidate is made of, and in what it differs from the version in production."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from slipway.report import changes
from slipway.training.provenance import Provenance

Kind = Literal[
    "prompt",
    "threshold",
    "envelope",
    "parameters",
    "data",
    "code",
    "dependencies",
    "image",
    "policy",
    "evaluation",
    "features",
    "architecture",
    "base_model",
    "unknown",
    "first_release",
    "taken_back",
]
OPAQUE = "opaque"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as in production. production, candidate: for people; empty for what is not there."""

    kind: Kind
    name: str
    production: str = ""
    candidate: str = ""


@dataclass(frozen=True, kw_only=True)
class Version:
    """What is known of one registered version.

    made: its provenance; None where it has none. parameters: of its MLflow run. inputs, outputs: of its signature, a
    type by name and place. architecture: as `architecture.describe` gives it. served_on: base of its serving image.
    policy: keys and values of slipway.yml at its commit; None where that cannot be read.
    """

    version: str
    made: Provenance | None
    parameters: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    architecture: Mapping[str, str] = field(default_factory=dict)
    served_on: str = ""
    policy: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Files:
    """Files that differ between the two commits; None where a commit is not in this clone."""

    changed: tuple[str, ...] | None
    why: str = ""


def between(
    candidate: Version, production: Version | None, files: Files, *, prompts: Sequence[str] = (), covered: Sequence[str]
) -> list[Difference]:
    """Every difference, the most telling kinds first.

    covered: files whose change is told as another kind (what pins the data, parameters, locks, the policy).
    """
    if production is None:
        return [Difference("first_release", "production", "", f"version {candidate.version}")]
    old, new = production.made, candidate.made
    if old is None or new is None:
        lacking = " and ".join(each.version for each in (production, candidate) if each.made is None)
        return [Difference("unknown", "provenance", "", f"version {lacking} has no record of how it was made")]
    found = list(_of_model(candidate, production, old, new, files))
    found += _named("data", {n: v.in_words for n, v in old.datasets.items()}, _data(new), "dataset ")
    found += _parameters(candidate, production, old, new)
    found += _environment(old, new)
    found += _policy(candidate, production)
    found += _files(files, prompts, covered)
    return found


def _of_model(
    candidate: Version, production: Version, old: Provenance, new: Provenance, files: Files
) -> Iterator[Difference]:
    if old.base_model != new.base_model:
        yield Difference("base_model", "base model", old.base_model, new.base_model)
    for name, before, after in (
        ("inputs", production.inputs, candidate.inputs),
        ("outputs", production.outputs, candidate.outputs),
    ):
        if before != after:
            gone, came = [x for x in before if x not in after], [x for x in after if x not in before]
            moved = not (gone or came)  # the same columns in another order
            yield Difference(
                "features", name, ", ".join(before if moved else gone), ", ".join(after if moved else came)
            )
    yield from _named("architecture", production.architecture, candidate.architecture)
    opaque = [each for each in candidate.architecture if each.startswith(OPAQUE)]
    rewritten = files.changed is None or old.command != new.command or any(_is_code(each) for each in files.changed)
    if opaque and rewritten:
        shown = ", ".join(each.removeprefix(OPAQUE).strip() for each in opaque)
        yield Difference("architecture", "cannot be told from the files", "", f"{shown}, and the code has changed")
    if production.served_on != candidate.served_on and production.served_on and candidate.served_on:
        yield Difference("image", "serving image's base", production.served_on, candidate.served_on)


def _parameters(candidate: Version, production: Version, old: Provenance, new: Provenance) -> Iterator[Difference]:
    before, after = {**production.parameters, **old.parameters}, {**candidate.parameters, **new.parameters}
    for each in changes(before, after):
        kind: Kind = "threshold" if each.name.rpartition(".")[2].endswith("threshold") else "parameters"
        yield Difference(kind, each.name, each.production or "", each.candidate or "")
    told = [("seed", str(old.seed), str(new.seed)), ("command", " ".join(old.command), " ".join(new.command))]
    for name, was, now in told:
        if was != now:
            yield Difference("parameters", name, was, now)


def _environment(old: Provenance, new: Provenance) -> Iterator[Difference]:
    if old.environment.python != new.environment.python:
        yield Difference("dependencies", "Python", old.environment.python, new.environment.python)
    yield from _named("dependencies", _packages(old), _packages(new))
    if str(old.base) != str(new.base):  # what was built above it differs with the packages, which are told
        yield Difference("image", "trained on", str(old.base), str(new.base))


def _policy(candidate: Version, production: Version) -> Iterator[Difference]:
    if candidate.policy is None or production.policy is None:
        lacking = candidate if candidate.policy is None else production
        yield Difference("unknown", "policy", "", f"slipway.yml of version {lacking.version} cannot be read")
        return
    for each in changes(production.policy, candidate.policy):
        if each.name == "evaluation.threshold":
            yield Difference("threshold", each.name, each.production or "", each.candidate or "")
        # `data.<name>.path` with a version in it is how some datasets are pinned: it is told as data. The container's
        # image is told as the base of the training.
        elif not fnmatchcase(each.name, "data.*.path") and each.name != "training.container.image":
            kind: Kind = "features" if fnmatchcase(each.name, "data.*.schema") else "policy"
            yield Difference(kind, each.name, each.production or "", each.candidate or "")


def _files(files: Files, prompts: Sequence[str], covered: Sequence[str]) -> Iterator[Difference]:
    if files.changed is None:
        yield Difference("unknown", "code", "", files.why)
        return
    for name in files.changed:
        if name in covered:
            continue
        yield Difference("prompt" if matches(name, prompts) else "code", name)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a file matches a pattern; `*` stays within a folder, `**` does not (git's rules for `:(glob)`)."""
    return any(_matches(name.split("/"), pattern.split("/")) for pattern in patterns)


def _matches(name: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        rest = pattern[1:]
        return (not rest and bool(name)) or any(_matches(name[start:], rest) for start in range(len(name) + 1) if rest)
    return bool(name) and fnmatchcase(name[0], pattern[0]) and _matches(name[1:], pattern[1:])


def _is_code(name: str) -> bool:
    return not name.endswith((".md", ".rst", ".txt", ".dvc", ".lock", ".yml", ".yaml", ".json", ".csv", ".parquet"))


def _named(kind: Kind, before: Mapping[str, str], after: Mapping[str, str], prefix: str = "") -> Iterator[Difference]:
    for each in changes(before, after):
        yield Difference(kind, f"{prefix}{each.name}", each.production or "", each.candidate or "")


def _data(made: Provenance) -> dict[str, str]:
    return {name: version.in_words for name, version in made.datasets.items()}


def _packages(made: Provenance) -> dict[str, str]:
    pairs = (each.partition("==") for each in made.environment.packages)
    return {name.lower().replace("_", "-"): version for name, _, version in pairs}


def columns(signature: str | None) -> tuple[str, ...]:
    """Names and types of a signature's columns, in order, as MLflow writes them into MLmodel (JSON)."""
    try:
        said = json.loads(signature or "[]")
    except ValueError:
        return (f"not readable: {signature}",)
    shown = []
    for place, each in enumerate(said if isinstance(said, list) else []):
        if not isinstance(each, dict):
            return (f"not readable: {signature}",)
        kind = each.get("type")
        tensor = json.dumps(each.get("tensor-spec"), sort_keys=True) if kind == "tensor" else ""
        shown.append(f"{each.get('name', place)}: {tensor or (kind if isinstance(kind, str) else json.dumps(kind))}")
    return tuple(shown)
