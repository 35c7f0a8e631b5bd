"""Why a retraining runs: the governor's dispatch, or a person who started the workflow."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.governor import payload
from slipway.governor.payload import Payload
from slipway.ledger import drafting
from slipway.runner.context import Run
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Request:
    """What asked for a retraining. payload: the governor's; None where a person or a schedule asked.

    name: what tells this retraining from others, in the name of a branch.
    """

    reason: str
    name: str
    payload: Payload | None = None

    @property
    def generation(self) -> int:
        """How many retrainings followed from each other, this one included."""
        return self.payload.generation if self.payload else 1


def of_run(run: Run, model: str) -> Request:
    """What started the run.

    Raises InputError where it carries a retraining's key and the rest is not valid, or is about another model.
    """
    if not payload.generation_of(run):
        number = f"{run.run_id}" if run.run_id else "by-hand"
        return Request(drafting.justification(run).text or "Started by hand.", number)
    said = payload.received(run)
    if said.model != model:
        raise InputError(
            f"The dispatch asks for a retraining of `{said.model}`, and the policy is about `{model}`.",
            fix="Give the policy of that model, or let each model have a workflow of its own (`retraining.workflow`).",
        )
    return Request(said.reason, said.key, said)
