"""From a report and a run to what the ledger says: who, why, and about what."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from conftest import GitRepository, pull_request, push, schedule
from ledger_kit import WHEN
from slipway.ledger import drafting
from slipway.report import Report, Subject, Verdict
from slipway.runner.context import Run
from slipway.runner.errors import InputError


def run(event_name: str = "pull_request", event: dict[str, Any] | None = None, **said: Any) -> Run:
    defaults = {"repository": "octo/models", "run_id": 1000, "attempt": 1, "actor": "mona", "actor_id": "1"}
    return Run(event_name=event_name, event=pull_request() if event is None else event, **{**defaults, **said})


def pull(title: str = "Better features", body: str | None = "Fixes #12", **said: Any) -> dict[str, Any]:
    event = pull_request(**said)
    event["pull_request"] |= {"title": title, "body": body, "html_url": "https://github.com/octo/models/pull/7"}
    return event


def report(folder: Path, *, stage: str = "train-model", attachment: bytes | None = None, **said: Any) -> Path:
    attachments = {}
    if attachment is not None:
        (folder / "provenance.json").write_bytes(attachment)
        attachments = {"provenance.json": f"sha256:{hashlib.sha256(attachment).hexdigest()}"}
    made = {
        "headline": "Trained version 4.",
        "subjects": (Subject(role="candidate", name="4", id="sha256:abc"),),
        **said,
    }
    return Report(
        stage=stage, model="flights", verdict=Verdict.PASS, started=WHEN, attachments=attachments, **made
    ).write(folder / f"{stage}.json")


def test_of_report__says_what_the_report_says(tmp_path: Path) -> None:
    path = report(tmp_path, attachment=b"{}", reasons=("because",), links={"run": "https://example.invalid"})
    draft, files = drafting.of_report(path, run(event=pull()))
    assert draft.event == "training"
    assert draft.summary == "train-model of flights: pass. Trained version 4."
    assert (draft.model, draft.model_version, draft.model_digest) == ("flights", "4", "sha256:abc")
    assert (draft.verdict, draft.reasons, draft.occurred_at) == ("pass", ("because",), WHEN)
    assert draft.links == {"run": "https://example.invalid"}
    assert files == {"report.json": path.read_bytes(), "provenance.json": b"{}"}
    assert {each.name: each.bytes for each in draft.evidence} == {
        "report.json": len(path.read_bytes()),
        "provenance.json": 2,
    }


def test_of_report__the_same_report_of_the_same_run_is_one_event(tmp_path: Path) -> None:
    path = report(tmp_path)
    ids = {drafting.of_report(path, run(run_id=n, attempt=m))[0].id for n in (1, 2) for m in (1, 2)}
    assert len(ids) == 2
    assert drafting.of_report(path, run())[0].id == drafting.of_report(path, run())[0].id


@pytest.mark.parametrize("stage", ["validate-data", "train-model", "evaluate-model", "detect-drift", "post-report"])
def test_of_report__every_stage_has_an_event(tmp_path: Path, stage: str) -> None:
    assert drafting.of_report(report(tmp_path, stage=stage), run())[0].event == drafting.EVENTS[stage]


def test_of_report__an_unknown_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which the ledger does not know"):
        drafting.of_report(report(tmp_path, stage="make-coffee"), run())


def test_of_report__an_attachment_that_was_altered(tmp_path: Path) -> None:
    path = report(tmp_path, attachment=b"{}")
    (tmp_path / "provenance.json").write_bytes(b"[]")
    with pytest.raises(InputError, match="is not the file that"):
        drafting.of_report(path, run())
    (tmp_path / "provenance.json").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        drafting.of_report(path, run())


@pytest.mark.parametrize("name", ["entry.json", "report.json"])
def test_of_report__an_attachment_with_a_name_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"{}")
    path = Report(stage="train-model", model="m", verdict=Verdict.PASS, attachments={name: f"sha256:{'0' * 64}"}).write(
        tmp_path / "train-model.json"
    )
    with pytest.raises(InputError, match="a file of the ledger's own"):
        drafting.of_report(path, run())


def test_of_report__an_attachment_elsewhere_is_no_report(tmp_path: Path) -> None:
    path = report(tmp_path, attachment=b"{}")
    path.write_text(path.read_text().replace("provenance.json", "../secret"))
    with pytest.raises(InputError, match="is not a report of Slipway"):
        drafting.of_report(path, run())


def test_of_report__text_that_utf8_cannot_carry(tmp_path: Path) -> None:
    event = pull(title="half \ud83d of a sign")
    assert (
        drafting.of_report(report(tmp_path), run(event=event))[0].justification.text == "half ? of a sign\n\nFixes #12"
    )


def test_justification__a_pull_request() -> None:
    said = drafting.justification(run(event=pull()))
    assert (said.kind, said.text) == ("pull request", "Better features\n\nFixes #12")
    assert (said.url, said.issues) == ("https://github.com/octo/models/pull/7", ("#12",))


def test_justification__a_pull_request_without_words() -> None:
    assert drafting.justification(run(event=pull(title="Only a title", body=None))).text == "Only a title"
    assert drafting.justification(run()).kind == "pull request"


@pytest.mark.parametrize(
    ("body", "issues"),
    [
        ("closes #1, Fixes: #2 and RESOLVED octo/other#3", ("#1", "#2", "octo/other#3")),
        ("Fix https://github.com/octo/models/issues/4 (#5)", ("https://github.com/octo/models/issues/4",)),
        ("prefixes #6; see #7; closes  #8\nfixes #8", ("#8",)),
        ("nothing", ()),
        ("fixes #" + "9" * 50_000, ("#" + "9" * 50_000,)),
    ],
)
def test_justification__issues_as_github_links_them(body: str, issues: tuple[str, ...]) -> None:
    assert drafting.justification(run(event=pull(body=body))).issues == issues


def test_justification__long_words_are_cut() -> None:
    assert len(drafting.justification(run(event=pull(body="x" * 65_536))).text) == drafting.LONGEST_REASON


def test_justification__other_events() -> None:
    pushed = push() | {"head_commit": {"message": "Train weekly\n\nResolves #3", "url": "https://github.com/c"}}
    said = drafting.justification(run("push", pushed))
    assert (said.kind, said.text, said.url, said.issues) == (
        *("commit", "Train weekly\n\nResolves #3", "https://github.com/c"),
        ("#3",),
    )
    dispatch = {"action": "drift", "client_payload": {"reason": "PSI of distance is 0.31"}}
    assert drafting.justification(run("repository_dispatch", dispatch)).text == "PSI of distance is 0.31"
    assert (
        drafting.justification(run("repository_dispatch", {"action": "drift", "client_payload": None})).text == "drift"
    )
    assert drafting.justification(run("workflow_dispatch", {"inputs": {"reason": "Audit"}})).text == "Audit"
    by_hand = drafting.justification(run("workflow_dispatch", {"inputs": None}))
    assert (by_hand.kind, by_hand.text) == ("person", "Started by hand by mona.")
    assert drafting.justification(run("schedule", schedule())).text == "17 5 * * 1"
    assert drafting.justification(run("push", push(ref="refs/tags/v1"))).kind == "unknown"


def test_of_report__says_which_retraining_it_belongs_to(tmp_path: Path) -> None:
    key = "slipway-01234567-0123456789abcdef"
    told = {
        "model": "flights",
        "key": key,
        "generation": 1,
        "reason": "Drift was found.",
        "cause": {"report": f"sha256:{'0' * 64}"},
        "decision": "0" * 32,
        "requested_at": "2026-11-25T12:00:00Z",
    }
    inputs = {"reason": told["reason"], "key": key, "payload": json.dumps(told)}
    for each in (run("repository_dispatch", {"client_payload": told}), run("workflow_dispatch", {"inputs": inputs})):
        made = drafting.of_report(report(tmp_path), each)[0]
        assert made.details["retraining"] == key
        assert (made.justification.kind, made.justification.text) == ("dispatch", "Drift was found.")
    # What is no valid payload names none, and is recorded all the same.
    spoilt = run("repository_dispatch", {"client_payload": {**told, "generation": 0}})
    assert "retraining" not in drafting.of_report(report(tmp_path), spoilt)[0].details


def test_justification__on_a_persons_machine(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit({"code.py": ""}, "Try a wider tree\n\nFixes #9")
    said = drafting.justification(Run(), repository.path)
    assert (said.kind, said.text, said.issues) == ("commit", "Try a wider tree\n\nFixes #9", ("#9",))
    assert drafting.justification(Run(), tmp_path).kind == "unknown"


def test_trigger__who_and_from_where() -> None:
    said = drafting.trigger(run(triggering_actor="lisa", ref="refs/pull/7/merge"))
    assert (said.event, said.actor, said.actor_id, said.triggering_actor) == ("pull_request", "mona", "1", "lisa")
    assert (said.pull_request, said.sha, said.ref, said.fork) == (7, "a" * 40, "refs/pull/7/merge", False)


def test_trigger__a_workflow_that_runs_after_a_forks() -> None:
    event = {"workflow_run": {"head_repository": {"full_name": "mona/models"}}}
    assert drafting.trigger(run("workflow_run", event)).fork
    assert not drafting.trigger(
        run("workflow_run", {"workflow_run": {"head_repository": {"full_name": "octo/models"}}})
    ).fork


def test_of_report__what_no_entry_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = report(tmp_path)
    path.write_text(path.read_text().replace("2026-11-25T12:00:00Z", "2026-11-25T12:00:00"))
    with pytest.raises(InputError, match="says what no entry can hold"):
        drafting.of_report(path, run())
    monkeypatch.setattr(drafting, "LARGEST", 100)
    with pytest.raises(InputError, match="more than the ledger takes"):
        drafting.of_report(report(tmp_path), run())


def test_trigger__on_a_persons_machine(repository: GitRepository, tmp_path: Path) -> None:
    commit = repository.commit({"code.py": ""})
    repository.git("config", "user.email", "somebody@example.invalid")
    said = drafting.trigger(Run(), repository.path)
    assert (said.actor, said.sha, said.event, said.fork) == ("somebody@example.invalid", commit, "", False)
    assert drafting.trigger(Run(), tmp_path).sha == ""


def test_trigger__a_fork_and_one_that_was_deleted_since() -> None:
    assert drafting.trigger(run(event=pull_request(fork=True))).fork
    gone = pull_request(fork=True)
    gone["pull_request"]["head"]["repo"] = None
    assert drafting.trigger(run(event=gone)).fork
    assert not drafting.trigger(run("push", push())).fork
    assert not drafting.trigger(Run()).fork
