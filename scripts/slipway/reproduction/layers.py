"""What a rebuild rests on and what came out, layer by layer: recorded, rebuilt, and whether they are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from slipway.report import Cell, Column, Table
from slipway.reproduction.matching import Match
from slipway.training.provenance import Provenance

Same = Literal["yes", "no", "–"]
NOT_KNOWN: Same = "–"

LAYERS = (
    *("commit", "data", "policy", "lock", "packages", "Python", "machine", "parameters", "command", "seed"),
    *("files of the model", "estimator", "predictions", "metrics"),
)
"""In the order in which one follows from those before."""


@dataclass(frozen=True)
class Row:
    """One row. layer: of `LAYERS`. name: what exactly. deciding: whether a model follows from it by rights."""

    layer: str
    name: str
    recorded: str
    rebuilt: str
    same: Same
    deciding: bool = True


def of_inputs(recorded: Provenance, rebuilt: Provenance | None) -> list[Row]:
    """What both were made from; `rebuilt` is None where nothing could be made."""
    rows = []
    for layer, name, before, after in _pairs(recorded, rebuilt):
        same: Same = NOT_KNOWN if rebuilt is None else "yes" if before == after else "no"
        shown = after
        if layer == "policy" and same == "no" and rebuilt and rebuilt.commit == recorded.commit:
            # The file is the commit's: gates of a base branch were put in, or this Slipway knows keys that came later.
            same, shown = NOT_KNOWN, f"{after} (the commit's file, as this Slipway reads it)"
        rows.append(
            Row(layer, name, before or "none", shown if rebuilt else "", same, layer not in ("machine", "policy"))
        )
    return rows


def _pairs(recorded: Provenance, rebuilt: Provenance | None) -> Iterator[tuple[str, str, str, str]]:
    def both(layer: str, name: str, find: object) -> tuple[str, str, str, str]:
        assert callable(find)
        return layer, name, str(find(recorded)), str(find(rebuilt)) if rebuilt else ""

    yield both("commit", "commit", lambda made: made.commit)
    for each in recorded.datasets:
        yield both("data", f"data `{each}`", lambda made, each=each: made.datasets[each])
    yield both("policy", "policy", lambda made: made.policy.get("policy_digest", ""))
    yield both("lock", "environment lock", lambda made: made.environment.lock_digest)
    yield "packages", "packages", *_packages(recorded, rebuilt)
    yield both("Python", "Python", lambda made: made.environment.python)
    # A variable that was not set has no entry; a record from before there were such entries says nothing of it.
    later = rebuilt.machine if rebuilt and "cpus" in recorded.machine else {}
    for each in dict.fromkeys((*recorded.machine, *later)):
        yield both("machine", each, lambda made, each=each: made.machine.get(each, ""))
    yield both("machine", "base", lambda made: made.base)
    if recorded.base.id:
        yield both("machine", "container", lambda made: made.base.id)
    for each in sorted({*recorded.parameters, *(rebuilt.parameters if rebuilt else ())}):
        yield both("parameters", f"parameter `{each}`", lambda made, each=each: made.parameters.get(each, "none"))
    yield both("command", "command", lambda made: " ".join(made.command))
    yield both("seed", "seed", lambda made: "none" if made.seed is None else made.seed)


def _packages(recorded: Provenance, rebuilt: Provenance | None) -> tuple[str, str]:
    before = set(recorded.environment.packages)
    after = set(rebuilt.environment.packages) if rebuilt else set()
    if rebuilt is None or before == after:
        return f"{len(before)} packages", f"{len(after)} packages" if rebuilt else ""
    return _shown(sorted(before - after)), _shown(sorted(after - before))


def _shown(names: list[str]) -> str:
    return ", ".join(names[:8]) + f" and {len(names) - 8} more" * (len(names) > 8) or "none of these"


def with_changed_data(rows: list[Row], name: str, found: str) -> list[Row]:
    """The rows where a rebuild ended at a dataset that is another one by now: its commit was there."""
    changed = []
    for row in rows:
        if row.layer == "commit":
            changed.append(replace(row, rebuilt=row.recorded, same="yes"))
        elif row.name == f"data `{name}`":
            changed.append(replace(row, rebuilt=found, same="no"))
        else:
            changed.append(row)
    return changed


def of_outputs(match: Match) -> list[Row]:
    """What came out, as far as it was compared."""
    named = {
        "bytes": "files of the model",
        "structure": "estimator",
        "predictions": "predictions",
        "metrics": "metrics",
    }
    said: dict[str, Same] = {"pass": "yes", "fail": "no", "inconclusive": NOT_KNOWN}
    return [Row(named[s.grade], named[s.grade], "", s.detail, said[s.verdict.value]) for s in match.steps]


def first_difference(rows: list[Row]) -> Row | None:
    """The first layer by which the rebuild differs; the machine, which is hardly ever the same, decides nothing."""
    return next((row for row in rows if row.same == "no" and row.deciding), None)


def _beside(row: Row) -> str:
    return "as recorded" if row.same == "yes" and row.recorded else row.rebuilt


def table(rows: list[Row]) -> Table:
    """For people. What is the same is said once, and parameters that are the same are counted."""
    alike = [row for row in rows if row.layer == "parameters" and row.same != "no"]
    shown: list[Row] = []
    for row in rows:
        if row not in alike:
            shown.append(row)
        elif row is alike[0]:
            shown.append(Row("parameters", "parameters", f"{len(alike)} parameters", row.rebuilt, row.same))
    cells: tuple[tuple[Cell, ...], ...] = tuple(
        (row.name.replace("`", ""), row.recorded, _beside(row), row.same) for row in shown
    )
    columns = (Column(name="layer"), Column(name="recorded", kind="code"), Column(name="rebuilt"), Column(name="same"))
    return Table(title="Layer by layer", columns=columns, rows=cells)
