"""Append the stages' reports to the ledger, each as an entry of its own with the report as its evidence."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.ledger import drafting, place
from slipway.ledger.store import Ledger, Receipt
from slipway.runner import commands, outputs, stage
from slipway.runner.context import Run
from slipway.runner.errors import InputError, RemoteError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

PERMISSION = "contents: write"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Append the stages' reports to the ledger."""

    reports: tuple[str, ...]
    remote: str = ""
    github_token: Secret = NO_SECRET


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What to remember of the ledger."""

    head: str
    recorded: int
    waiting: int


def main(given: Inputs) -> None:
    """Record every report that exists; what cannot be delivered is kept where it can, and said in any case."""
    run = Run.from_environ()
    drafts: list[drafting.Drafted] = []
    failures: list[SlipwayError] = []
    for path in map(Path, given.reports):
        try:
            drafts += [drafting.of_report(path, run)] if path.is_file() else []
        except InputError as refused:
            failures.append(refused)  # the others are recorded all the same
    if not drafts and not failures:
        raise InputError(
            f"None of the {len(given.reports)} reports exists, so there is nothing to record.",
            why=", ".join(given.reports),
            fix="Give the `report` outputs of the stages before this one.",
        )
    ledger = Ledger(place.find(run, remote=given.remote, token=given.github_token))
    receipt = ledger.append(drafts)
    outputs.publish(Outputs(head=receipt.head, recorded=len(receipt.entries), waiting=receipt.waiting))
    for waiting in ledger.elsewhere():
        commands.warning(waiting, title="Ledger")
    delivered = {entry.sequence: entry for entry in receipt.delivered}
    for number, entry in sorted(({entry.sequence: entry for entry in receipt.entries} | delivered).items()):
        where = f"delivered to {ledger.place.shown}" if number in delivered else "waits on this machine"
        commands.say(f"Entry {number}, {where}: {entry.summary}")
    if receipt.waiting and (undelivered := complain(ledger, receipt, run)):
        failures.append(undelivered)
    for failure in failures[1:]:
        commands.report_error(failure)
    if failures:
        raise failures[0]


def complain(ledger: Ledger, receipt: Receipt, run: Run) -> RemoteError | None:
    """Say that entries wait. On a runner, which forgets them, that is an error unless a fork's token explains it."""
    what = f"{receipt.waiting} entries could not be delivered to the ledger of {ledger.place.shown}."
    if not commands.on_runner():
        commands.warning(
            f"{what}\nWhy: {receipt.why_not}\nThey wait in {ledger.place.store} and go out with the next ones.",
            title="Ledger",
        )
    elif drafting.trigger(run).fork:
        commands.notice(f"{what} A fork's pull request has a token that may only read; its merge will be recorded.")
    else:
        return RemoteError(
            what,
            why=receipt.why_not,
            fix=f"Give the job `permissions: {{{PERMISSION}}}` and pass `github-token`; if the branch has rules, they "
            "must let this token push (docs/ledger.md). Then run the job again: the reports are still there.",
        )
    return None


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
