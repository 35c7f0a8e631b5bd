"""The words of a retraining's commit and pull request. All of it comes from reports and dispatches: it is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.report import Column, Report, Table, markdown
from slipway.retraining.change import Changed
from slipway.retraining.envelope import Placed
from slipway.retraining.request import Request

LARGEST_BODY = 60_000
"""Characters; GitHub takes 65,536. https://github.com/orgs/community/discussions/27190"""

STATUS = {"A": "added", "M": "changed", "D": "removed", "T": "changed"}
MOST_FILES = 200


def title(model: str) -> str:
    """Of the pull request, and the commit's first line."""
    return f"Retrain {model} on new data"


def message(model: str, asked: Request) -> str:
    """The commit's message."""
    said = ["Slipway-Retraining: " + asked.name, f"Slipway-Generation: {asked.generation}"]
    if asked.payload:
        said.append("Slipway-Decision: " + asked.payload.decision)
    return "\n".join([title(model), "", markdown.one_line(asked.reason), "", *said, ""])


def body(
    model: str,
    asked: Request,
    changed: Sequence[Changed],
    placed: Placed,
    *,
    drift: Report | None,
    entry: int | None,
    run_url: str = "",
) -> str:
    """The pull request's text. drift, entry: the drift report, and its number in the ledger, where they are known."""
    parts = [
        f"## {markdown.escape(title(model))}",
        markdown.prose(asked.reason),
        "### May it be released without a person?",
        _envelope(placed),
        markdown.table_section(files(changed)),
        _cause(asked, entry, run_url),
        "The comment below judges the model that was trained on it against the one in production.",
    ]
    whole = "\n\n".join(filter(None, parts)) + "\n"
    if drift is None:
        return whole
    shown = markdown.details("The drift that it answers", markdown.stage_page(drift))
    if len(whole) + len(shown) > LARGEST_BODY:
        brief = drift.model_copy(update={"tables": (), "charts": (), "checks": (), "reasons": drift.reasons[:20]})
        shown = markdown.details("The drift that it answers", markdown.stage_page(brief))
    return f"{whole}\n{shown}\n" if len(whole) + len(shown) <= LARGEST_BODY else whole


def files(changed: Sequence[Changed]) -> Table:
    """The files that the refresh changed; of very many the first ones."""
    rows = tuple((each.path, STATUS.get(each.status, each.status)) for each in changed[:MOST_FILES])
    more = len(changed) - len(rows)
    note = f"{more:,} more files." if more else ""
    columns = (Column(name="file", kind="code"), Column(name=""))
    return Table(title="What the refresh changed", columns=columns, rows=rows, note=note)


def _envelope(placed: Placed) -> str:
    if placed.inside:
        return "Yes, where it passes: it is inside of the declared envelope (`retraining.envelope` of the policy)."
    return "No, a person decides.\n\n" + markdown.bullets(placed.reasons)


def _cause(asked: Request, entry: int | None, run_url: str) -> str:
    if asked.payload is None:
        return f"It was started by {markdown.link('this run', run_url)}." if run_url else ""
    said = asked.payload
    where = markdown.link("this run", said.cause.run) if said.cause.run else "dispatch-retraining"
    number = f"; the drift report is entry {entry} of the ledger" if entry is not None else ""
    follows = f" It follows from {said.generation - 1} retrainings before." if said.generation > 1 else ""
    return (
        f"It was decided by {where} (entry with the identity {markdown.code(said.decision)}{number}). "
        f"Window: {markdown.code(said.cause.window or said.cause.report)}.{follows}"
    )
