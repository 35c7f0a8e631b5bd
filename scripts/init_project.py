"""Write a starting schema, slipway.yml and workflow from data: guesses that a person reviews before they judge."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.data import inference, reading, starting, validation
from slipway.data.inference import Seen
from slipway.data.schema import read
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.report import Verdict
from slipway.runner import commands, outputs, stage
from slipway.runner.errors import ConflictError, InputError

if TYPE_CHECKING:
    import polars as pl

SCHEMA = "schema.yml"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Infer from `data`: lines of `name=path`, or one path, whose rows are then the holdout.

    Nothing that is there is written over without `force`. repository: where Slipway is kept.
    """

    data: str
    model: str = ""
    target: str = ""
    command: str = "python train.py"
    repository: str = "your-org/slipway"
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files, one a line."""

    written: str


def main(given: Inputs) -> None:
    """Look at all data once, hold what was made against them, and write all files or none."""
    places = places_of(given.data)
    # As text in one file, as text in all: their schema is then the same.
    codes = set().union(*(reading.codes(place) for place in places.values()))
    frames = {name: reading.scan(place, text_columns=codes) for name, place in places.items()}
    policy, workflow = Path("slipway.yml"), Path(".github/workflows/slipway.yml")
    files: dict[Path, str] = {}
    schemas: dict[str, str] = {}
    columns: dict[str, dict[str, Seen]] = {}
    for names in alike(frames):
        file = SCHEMA if not schemas else f"schema-{names[0]}.yml"
        with reading.unreadable(places[names[0]]):
            found = inference.look([frames[name] for name in names])
            rows = [height(frames[name]) for name in names]
        files[Path(file)] = inference.schema_text(found, rows, ", ".join(places[name] for name in names))
        for name in names:
            schemas[name], columns[name] = file, found
            require_holds(files[Path(file)], file, frames[name], name)
    data = {name: (places[name], schemas[name]) for name in places}
    files[policy] = starting.policy_text(start_of(given, data, frames, columns))
    read_text(files[policy], Policy, file=str(policy))
    files[workflow] = starting.workflow_text(given.repository)
    write(files, force=given.force)
    commands.say(f"Written: {', '.join(map(str, files))}. Look for `review` in each of them before you commit them.")
    outputs.publish(Outputs(written="\n".join(map(str, files))))


def places_of(said: str) -> dict[str, str]:
    """Paths by the dataset's name. Raises InputError where a line is neither a path nor `name=path`."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if len(lines) == 1 and (Path(lines[0]).exists() or "=" not in lines[0]):
        return {starting.HOLDOUTS[0]: lines[0]}
    found: dict[str, str] = {}
    for line in lines:
        name, sign, path = line.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]*", name) or not path:
            raise InputError(f"`{line}` is not `name=path`.", fix="Give one line such as `train=data/train` a dataset.")
        if name in found:
            raise InputError(f"The dataset `{name}` is given twice.", fix="Give each a name of its own.")
        found[name] = path
    return found


def alike(frames: dict[str, pl.LazyFrame]) -> Iterator[list[str]]:
    """Names of datasets that have the same columns of the same types, and so share a schema."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, frame in frames.items():
        described = tuple((column, str(dtype)) for column, dtype in frame.collect_schema().items())
        groups.setdefault(described, []).append(name)
    yield from groups.values()


def height(frame: pl.LazyFrame) -> int:
    """Number of rows."""
    import polars as pl

    return int(frame.select(pl.len()).collect(engine="streaming").item())


def require_holds(text: str, file: str, frame: pl.LazyFrame, name: str) -> None:
    """Raises InputError where the data do not satisfy the schema that was made from them: it would say nothing."""
    checks = validation.validate(read(text, file=file), frame, examples=0)
    if wrong := [check for check in checks if check.verdict is not Verdict.PASS]:
        raise InputError(
            f"No schema could be made that the dataset `{name}` satisfies.",
            why=f"{wrong[0].name}: {wrong[0].detail}",
            fix="Write one by hand (docs/validate-data.md), and report this.",
        )


def start_of(
    given: Inputs,
    data: dict[str, tuple[str, str]],
    frames: dict[str, pl.LazyFrame],
    columns: dict[str, dict[str, Seen]],
) -> starting.Start:
    """What slipway.yml is made from. Raises InputError where the target is no column of the holdout."""
    import polars as pl

    model = given.model or re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9 _.-]", "", Path.cwd().name) or "model"
    holdout = starting.holdout_of(list(data))
    if not holdout:
        return starting.Start(model=model, command=given.command, data=data, holdout="", target="")
    target, why = starting.target_of(columns[holdout], given.target)
    if target not in columns[holdout]:
        raise InputError(
            f"The dataset `{holdout}` has no column `{target}`.", fix=f"It has {', '.join(columns[holdout])}."
        )
    values = frames[holdout].select(pl.col(target).drop_nulls().n_unique()).collect(engine="streaming").item()
    task, why_task = starting.task_of(columns[holdout][target], int(values))
    return starting.Start(
        model=model,
        command=given.command,
        data=data,
        holdout=holdout,
        target=target,
        task=task,
        why_target=why,
        why_task=why_task,
    )


def write(files: dict[Path, str], *, force: bool) -> None:
    """Write all files. Raises ConflictError, with nothing written, where one is there and `force` is not given."""
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise ConflictError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already: nothing was written.",
            fix="Move it away, or give `--force true` to write over it.",
        )
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
