"""Keys, the payload and what is made of an open intent."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governor_kit import MODEL, NOW, drift
from slipway.governor import keys, payload, settling
from slipway.governor.payload import Cause, Payload
from slipway.report import Subject
from slipway.runner.context import Run
from slipway.runner.errors import InputError

SCHEMA = Path(__file__).resolve().parents[1] / "docs" / "retraining-payload.schema.json"
KEY = keys.key_of(MODEL, drift())


def made(**said: Any) -> Payload:
    given = {
        "model": MODEL,
        "key": KEY,
        "generation": 2,
        "reason": "Drift was found.",
        "cause": Cause(report=f"sha256:{'0' * 64}"),
        "data": {"live": "dvc:july"},
        "decision": "0" * 32,
        "requested_at": NOW,
        **said,
    }
    return Payload.model_validate(given)


def by_repository(content: Any) -> Run:
    return Run(event_name="repository_dispatch", event={"action": "slipway-retraining", "client_payload": content})


def by_workflow(inputs: Any) -> Run:
    return Run(event_name="workflow_dispatch", event={"inputs": inputs})


# Keys.


def test_key__is_that_of_the_drift_and_not_of_the_report() -> None:
    again = drift(started=NOW + timedelta(hours=1), headline="The same, said otherwise.")
    assert keys.key_of(MODEL, again) == KEY
    assert keys.key_of(MODEL, drift(window="august")) != KEY
    # The same rows are held against another version.
    released = drift(subjects=(drift().subjects[0], Subject(role="production", name="4", id="sha256:def")))
    assert keys.key_of(MODEL, released) != KEY
    assert keys.key_of("delays", drift())[:16] != KEY[:16]
    assert KEY.startswith(keys.prefix(MODEL))


def test_key__without_a_window_is_what_the_report_found() -> None:
    nameless = drift(subjects=())
    assert keys.key_of(MODEL, nameless) == keys.key_of(MODEL, drift(subjects=(), started=NOW, links={"a": "b"}))
    assert keys.key_of(MODEL, nameless) != keys.key_of(MODEL, drift(subjects=(), headline="2 of 10 columns"))


@pytest.mark.parametrize(
    ("title", "found"),
    [
        (f"Retrain flights ({KEY})", KEY),
        (KEY, KEY),
        (f"{KEY}0", ""),
        (f"x{KEY}", ""),
        ("Retrain", ""),
        ("", ""),
    ],
)
def test_in_title(title: str, found: str) -> None:
    assert keys.in_title(title) == found


# The payload.


def test_payload__comes_back_by_both_events() -> None:
    said = made()
    assert payload.received(by_repository(json.loads(json.dumps(payload.encoded(said))))) == said
    assert payload.received(by_workflow(payload.as_inputs(said))) == said
    assert payload.as_inputs(said).keys() == set(payload.INPUTS)
    assert payload.generation_of(by_repository(payload.encoded(said))) == 2
    assert payload.key_of_run(by_workflow(payload.as_inputs(said))) == KEY


def test_payload__is_what_its_schema_says() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(payload.encoded(made()))
    assert len(schema["properties"]) <= 10  # all that GitHub takes
    assert not validator.is_valid({**payload.encoded(made()), "more": 1})


def test_payload__larger_than_github_takes() -> None:
    with pytest.raises(InputError, match=r"has 1\d\d,\d{3} characters, and GitHub takes 65,535"):
        payload.encoded(made(data={f"d{n}": "v" * 1_000 for n in range(100)}))
    payload.encoded(made(data={f"d{n}": "v" * 1_000 for n in range(60)}))


@pytest.mark.parametrize(
    "run",
    [
        by_repository(None),
        by_repository([]),
        by_repository({"monitor": "drift"}),
        by_repository({**payload.encoded(made()), "generation": 0}),
        by_repository({**payload.encoded(made()), "generation": "1"} | {"model": "a/../b"}),
        by_repository({**payload.encoded(made()), "more": 1}),
        by_repository({**payload.encoded(made()), "cause": {"report": "sha256:none"}}),
        by_repository({**payload.encoded(made()), "schema_version": 2}),
        by_workflow(None),
        by_workflow({"payload": ""}),
        by_workflow({"payload": "{"}),
        by_workflow({"payload": f'{{"key": "{KEY}"}}'}),
        Run(event_name="schedule", event={"schedule": "0 5 * * *"}),
    ],
)
def test_received__believes_nothing_else(run: Run) -> None:
    with pytest.raises(InputError, match="not started with a retraining's payload"):
        payload.received(run)
    assert payload.key_of_run(run) == ""


def test_generation__of_other_runs_is_none_and_of_a_spoilt_retraining_an_error() -> None:
    for run in (Run(event_name="schedule"), by_workflow(None), by_repository({"reason": "webhook"})):
        assert payload.generation_of(run) == 0
    with pytest.raises(InputError, match="generation"):
        payload.generation_of(by_repository({**payload.encoded(made()), "generation": -1}))
    with pytest.raises(InputError):
        payload.generation_of(by_workflow({"payload": f'{{"key": "{KEY}"}}'}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_received__never_breaks(content: Any) -> None:
    for run in (
        by_repository(content),
        by_workflow({"payload": json.dumps(content)}),
        by_workflow({"payload": content}),
    ):
        assert payload.key_of_run(run) == ""
        assert payload.generation_of(run) == 0


# An open intent.

LATER = NOW + timedelta(minutes=16)
OTHER = f"{keys.prefix(MODEL)}{'f' * 16}"


def test_settle__a_run_with_its_key_was_made_at_once() -> None:
    found = settling.settle(KEY, NOW, {7: ("https://x", KEY), 8: ("", "")}, NOW)
    assert found and (found.step, found.run_id, found.url) == ("made", 7, "https://x")


def test_settle__is_patient() -> None:
    assert settling.settle(KEY, NOW, {}, NOW + timedelta(minutes=14)) is None
    assert settling.settle(KEY, NOW, {8: ("", "")}, NOW + timedelta(minutes=14)) is None


def test_settle__unsent_only_where_no_run_could_be_its_own() -> None:
    assert settling.settle(KEY, NOW, {}, LATER) == settling.settle(KEY, NOW, {7: ("", OTHER)}, LATER)
    found = settling.settle(KEY, NOW, {7: ("", OTHER)}, LATER)
    assert found and found.step == "unsent"
    found = settling.settle(KEY, NOW, {7: ("", OTHER), 8: ("", "")}, LATER)
    assert found and found.step == "unknown" and "run 8" in found.sentence
