"""What a dispatch tells the workflow that retrains, and how that workflow reads it back.

Whoever may write to the repository can dispatch what they like. The receiver believes nothing that does not validate,
and puts none of it into a shell or an expression.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from slipway.governor.keys import KEY, PATTERN
from slipway.runner.context import Run
from slipway.runner.errors import InputError

LARGEST = 65_535
"""Characters that GitHub takes, of a `client_payload` and of all inputs together.
https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows#repository_dispatch"""

INPUTS = ("reason", "key", "payload")
"""Inputs that the workflow must declare for `workflow_dispatch`."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of the payload's parts: no undeclared keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cause(Part):
    """The drift that the retraining answers."""

    report: Digest
    """SHA-256 of the drift report."""

    window: Annotated[str, Field(max_length=500)] = ""
    """The window of rows that drifted, as the report names it."""

    entry: Annotated[int, Field(ge=0)] | None = None
    """Number of the ledger's entry on the drift report; None where it was not recorded before."""

    run: Annotated[str, Field(max_length=500)] = ""
    """Page of the workflow run that decided."""


class Payload(Part):
    """A retraining as its dispatch describes it: at most 10 keys, which is all that GitHub takes."""

    schema_version: Literal[1] = 1
    """Version of this format."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$", max_length=200)]
    """The model's name in the registry."""

    key: Annotated[str, Field(pattern=rf"^{PATTERN}$")]
    """Idempotency key: the same drift of the same model has the same key."""

    generation: Annotated[int, Field(ge=1, le=1_000)]
    """1 for a retraining that follows from no other, else one more than that other's."""

    reason: Annotated[str, Field(max_length=1_000)]
    """Why, in one sentence for people."""

    cause: Cause
    """The drift that the retraining answers."""

    data: Annotated[dict[str, Annotated[str, Field(max_length=2_000)]], Field(max_length=1_000)] = Field(
        default_factory=dict
    )
    """Versions of datasets, by name, as the reports pinned them; empty where they pinned none."""

    decision: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Identity (`id`) of the ledger's entry on the decision."""

    requested_at: AwareDatetime
    """When it was decided."""


def encoded(payload: Payload) -> dict[str, Any]:
    """The payload as JSON values, for `client_payload`. InputError where it is larger than GitHub takes."""
    size = len(as_inputs(payload)["payload"]) + sum(map(len, (payload.reason, payload.key)))
    if size > LARGEST:
        raise InputError(
            f"The payload of the retraining has {size:,} characters, and GitHub takes {LARGEST:,}.",
            why=f"It names the versions of {len(payload.data)} datasets.",
            fix="Give reports on fewer datasets, or versions with shorter names (a glob makes one dataset of many).",
        )
    said: dict[str, Any] = payload.model_dump(mode="json")
    return said


def as_inputs(payload: Payload) -> dict[str, str]:
    """The payload as inputs of `workflow_dispatch`."""
    return dict(zip(INPUTS, (payload.reason, payload.key, payload.model_dump_json()), strict=True))


def received(run: Run) -> Payload:
    """The payload of the dispatch that started this run. InputError where there is none, or it is not one of ours."""
    said = _said(run)
    try:
        payload = Payload.model_validate_json(said) if isinstance(said, str) else Payload.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            "This run was not started with a retraining's payload.",
            why=f"{'.'.join(map(str, first['loc'])) or 'It'}: {first['msg']}",
            fix="Start it through dispatch-retraining; docs/retraining-payload.schema.json says what it must hold.",
        ) from error
    return payload


def generation_of(run: Run) -> int:
    """The generation of the retraining that started this run; 0 for any other run.

    InputError where a key says that it is a retraining and the rest is not one: it must not count as a first one.
    """
    said = _said(run)
    text = said if isinstance(said, str) else str(said.get("key", "")) if isinstance(said, dict) else ""
    return received(run).generation if KEY.search(text) else 0


def key_of_run(run: Run) -> str:
    """The key of the retraining that started this run; empty for any other run, and where it is not a valid one."""
    try:
        return received(run).key
    except InputError:
        return ""


def _said(run: Run) -> Any:
    if run.event_name == "repository_dispatch":
        return run.event.get("client_payload") or {}
    inputs = run.event.get("inputs")
    return (inputs.get("payload") or "{}") if run.event_name == "workflow_dispatch" and isinstance(inputs, dict) else {}
