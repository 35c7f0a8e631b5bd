"""One dispatch for each drift, whoever is killed, repeated or raced with: a real git ledger and GitHub's double."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from github.Repository import Repository

from github_double.server import GitHubDouble
from github_double.world import Workflow
from governor_kit import AT_ONCE, MODEL, NOW, check, drift, validation
from ledger_kit import draft, ledger, subjects
from slipway.github_api import client, dispatches
from slipway.governor import keys, payload
from slipway.governor.facts import Unknown
from slipway.ledger import drafting, store
from slipway.ledger.entries import Entry, digest
from slipway.ledger.git import Git
from slipway.ledger.store import Ledger
from slipway.policy.retraining import Retraining as Policy
from slipway.report import Report, Verdict
from slipway.retraining import protocol, record
from slipway.retraining.protocol import Case, Governor, Taken
from slipway.retraining.record import Reading
from slipway.runner.context import Run
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.inputs import Secret

REPOSITORY = "octo/models"
SEND, EVENT = "actions/create-workflow-dispatch", "repos/create-dispatch-event"
LIST = "actions/list-workflow-runs"
HOUR = timedelta(hours=1)


class KilledError(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class Site:
    """A repository with its ledger and its workflow, at one moment. Every governor has a runner of its own."""

    hub: GitHubDouble
    folder: Path
    workflow: Workflow
    stack: ExitStack
    now: datetime = NOW
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def upstream(self) -> Path:
        return self.folder / "upstream.git"

    def at(self, moment: datetime) -> None:
        self.now = moment
        self.hub.world.set_clock(moment)

    def later(self, **time: float) -> None:
        self.at(self.now + timedelta(**time))

    def governor(
        self,
        *,
        window: str = "july",
        rules: dict[str, Any] | None = None,
        remote: Path | None = None,
        token: dict[str, str] | None = None,
        runner: str = "",
        report: Report | None = None,
        **said: Any,
    ) -> Governor:
        """A governor in a new run, on a new runner unless it is named."""
        number = next(self.numbers)
        place = self.folder / (runner or f"runner-{number}")
        if not place.exists():
            subprocess.run(["git", "init", "--quiet", str(place)], check=True)
        run = Run(repository=REPOSITORY, run_id=number, attempt=1, event_name="schedule", api_url=self.hub.base_url)
        report = report or drift(window=window, started=self.now)
        raw = report.model_dump_json().encode()
        made: dict[str, Any] = {
            "run": run,
            "policy": Policy.model_validate({"workflow": "retrain.yml", "persistence": AT_ONCE, **(rules or {})}),
            "model": MODEL,
            "key": keys.key_of(MODEL, report),
            "window": keys.window_of(report),
            "drift": report,
            "drift_digest": digest(raw),
            "validation": validation(),
            "dry_run": False,
            "caused_by": 0,
            "data": {"live": f"dvc:{window}"},
            "subjects": report.subjects,
            "files": {"drift.json": raw},
            **said,
        }
        rights = {"actions": "write", "contents": "write"} if token is None else token
        secret = Secret(self.hub.world.installation_token(**rights))
        hub = self.stack.enter_context(client.connect(secret, run))
        return Governor(Case(**made), ledger(place, remote=str(remote or self.upstream)), hub.get_repo(REPOSITORY))

    def entries(self) -> list[Entry]:
        """What is upstream, every entry verified."""
        return Reading(ledger(self.folder / "reader", remote=str(self.upstream))).entries()

    def steps(self) -> list[str]:
        """The steps of retrainings on record."""
        return [str(each.details["step"]) for each in self.entries() if each.event == "dispatch"]

    def runs(self) -> list[str]:
        """The titles of the runs that were started."""
        return [each.title for each in self.hub.world.runs.values()]

    def ended(self) -> None:
        """Every run has ended."""
        for each in self.hub.world.runs.values():
            each.status, each.conclusion = "completed", "success"


@pytest.fixture
def site(hub: GitHubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    where = hub.world.repository(REPOSITORY)
    workflow = hub.world.workflow(
        where, "retrain.yml", inputs=payload.INPUTS, event_type="slipway-retraining", run_name="Retrain ({key})"
    )
    for name in ("upstream.git", "reader"):
        bare = ["--bare"] if name == "upstream.git" else []
        subprocess.run(["git", "init", "--quiet", *bare, str(tmp_path / name)], check=True)
    monkeypatch.setattr(dispatches, "PAUSES", (0.0,))
    with ExitStack() as stack:
        made = Site(hub, tmp_path, workflow, stack)
        made.at(NOW)
        monkeypatch.setattr(protocol, "utc_now", lambda: made.now)
        monkeypatch.setattr(store, "utc_now", lambda: made.now)
        yield made


def rule(taken: Taken) -> str:
    return taken.decision.deciding.rule if taken.decision.deciding else ""


# One retraining.


def test_act__starts_the_workflow_and_records_it(site: Site) -> None:
    taken = site.governor().act()
    (run,) = site.hub.world.runs.values()
    assert (taken.dispatched, taken.run_id, taken.decision.action, taken.remarks) == (True, run.id, "dispatch", ())
    assert taken.url == f"{site.hub.html_url}/octo/models/actions/runs/{run.id}"
    intent, made = site.entries()[1:]
    assert site.steps() == ["intent", "made"]
    assert taken.head == made.head
    assert made.details["run"] == run.id and made.links == {"run": taken.url}
    assert [each.name for each in intent.evidence] == ["decision.json", "drift.json"]
    assert (intent.verdict, intent.reasons[0]) == ("pass", "drift (go): Drift was found: 1 of 10 columns has drifted.")
    (request,) = site.hub.requests(SEND)
    inputs = request.json()["inputs"]
    said = payload.received(Run(event_name="workflow_dispatch", event={"inputs": inputs}))
    assert (said.model, said.generation, said.data, said.decision) == (MODEL, 1, {"live": "dvc:july"}, intent.id)
    assert (request.json()["ref"], request.json()["return_run_details"]) == ("main", True)
    assert inputs["key"] == said.key == run.title[9:-1] == intent.details["key"]


def test_act__the_same_drift_twice_is_one_retraining(site: Site) -> None:
    first = site.governor().act()
    site.later(days=2)
    site.ended()
    # The job is run again, and so is the detection: another report on the same window.
    again = site.governor().act()
    assert (rule(again), again.dispatched, again.run_id, again.url) == ("duplicate", False, first.run_id, first.url)
    assert again.decision.verdict is Verdict.PASS
    assert site.steps() == ["intent", "made", "held"]
    # The next window is another drift; that the last retraining helped is not on record.
    assert rule(site.governor(window="august").act()) == ""
    assert len(site.runs()) == 2
    assert [each.details["generation"] for each in site.entries() if each.details.get("step") == "intent"] == [1, 2]


def test_act__a_delivery_that_is_repeated_records_its_hold_once(site: Site) -> None:
    governor = site.governor(report=drift("pass"))
    assert rule(governor.act()) == rule(governor.act()) == "drift"
    assert site.steps() == ["held"]
    assert site.runs() == []


def test_act__a_dry_run_starts_nothing_and_is_recorded(site: Site) -> None:
    taken = site.governor(dry_run=True).act()
    assert (taken.decision.action, taken.dispatched, taken.decision.verdict) == ("dispatch", False, Verdict.PASS)
    assert site.steps() == ["dry run"]
    # It binds nobody.
    assert site.governor().act().dispatched
    assert [each.method for each in site.hub.requests(SEND)] == ["POST"]


def test_act__by_repository_dispatch(site: Site) -> None:
    rules = {"event": "repository_dispatch"}
    taken = site.governor(rules=rules, token={"contents": "write", "actions": "read"}).act()
    (run,) = site.hub.world.runs.values()
    assert (taken.dispatched, taken.run_id) == (True, run.id)
    content = site.hub.requests(EVENT)[0].json()["client_payload"]
    event = {"action": "slipway-retraining", "client_payload": content}
    assert payload.received(Run(event_name="repository_dispatch", event=event)).model == MODEL


def test_act__a_run_without_a_key_in_its_title_is_not_found(site: Site) -> None:
    site.hub.world.workflow(site.workflow.repository, "retrain.yml", event_type="slipway-retraining")
    taken = site.governor(rules={"event": "repository_dispatch"}).act()
    assert (taken.dispatched, taken.run_id, site.runs()) == (True, 0, ["Retrain"])
    assert site.steps() == ["intent", "made"]


def test_act__a_server_that_gives_no_run(site: Site) -> None:
    site.hub.world.gives_run_details = False
    taken = site.governor().act()
    assert (taken.dispatched, taken.run_id) == (True, next(iter(site.hub.world.runs)))
    assert len(site.runs()) == 1


def test_act__backs_off_until_an_evaluation_passed(site: Site) -> None:
    first = site.governor().act()
    site.ended()
    site.later(hours=25)
    assert rule(site.governor(window="august").act()) == "back-off"
    said: dict[str, Any] = {"event": "evaluation", "model": MODEL, "verdict": "pass", "run": {"run_id": first.run_id}}
    ledger(site.folder / "reader", remote=str(site.upstream)).append([draft(1, **said)])
    assert site.governor(window="august").act().dispatched


@pytest.mark.parametrize(
    ("event", "kind", "counts"),
    [
        ("approval", "unknown", True),
        ("override", "person", True),
        ("training", "person", True),
        ("training", "dispatch", False),  # that of the retraining itself
        ("rollback", "person", True),
        ("evaluation", "person", False),
        ("drift", "person", False),
    ],
)
def test_act__generations_begin_anew_once_a_person_looked(site: Site, event: str, kind: str, counts: bool) -> None:
    rules = {"generations": 1, "cooldown_hours": 1, "per_day": 9, "back_off": {"factor": 1}}
    assert site.governor(rules=rules).act().dispatched
    site.ended()
    site.later(hours=2)
    assert rule(site.governor(window="august", rules=rules).act()) == "generation"
    said: dict[str, Any] = {"event": event, "model": MODEL, "verdict": "pass", "justification": {"kind": kind}}
    ledger(site.folder / "reader", remote=str(site.upstream)).append([draft(1, **said)])
    assert site.governor(window="august", rules=rules).act().dispatched is counts


def test_act__waits_for_drift_in_two_windows(site: Site) -> None:
    rules = {"persistence": {"drifted": 2, "windows": 2}}
    there = ledger(site.folder / "reader", remote=str(site.upstream))
    judged = [each.model_dump() for each in drift().subjects]
    july: dict[str, Any] = {"event": "drift", "model": MODEL, "subjects": judged}
    there.append([draft(1, verdict="fail", **july), draft(2, verdict="fail", **july)])
    # July was looked at twice, and is one window.
    assert rule(site.governor(rules=rules).act()) == "persistence"
    assert site.governor(window="august", rules=rules).act().dispatched


def test_act__a_delivery_that_broke_is_no_window_that_drifted(site: Site) -> None:
    there = ledger(site.folder / "reader", remote=str(site.upstream))
    run = Run(repository=REPOSITORY, run_id=1, attempt=1, event_name="schedule")
    for window, role in (("june", "quality"), ("july", "feature")):
        file = drift(window=window, checks=(check(role=role),)).write(site.folder / f"{window}.json")
        there.append([drafting.of_report(file, run)])
        step = site.governor(window="august", rules={"persistence": {"drifted": 2, "windows": 3}}).act()
        assert (rule(step) == "persistence") is (role == "quality")
        assert step.dispatched is (role == "feature")


def test_act__one_run_of_a_model_at_a_time(site: Site) -> None:
    site.hub.world.start(site.workflow, "workflow_dispatch", {"key": f"{keys.prefix('delays')}{'0' * 16}"})
    site.hub.world.start(site.workflow, "schedule", {})  # by anybody, and it will run for a day
    assert rule(site.governor().act()) == "in flight"
    site.later(days=1)
    list(site.hub.world.runs.values())[-1].status = "completed"
    assert site.governor(window="august").act().dispatched


@pytest.mark.parametrize("step", [("pending", "in_progress"), ("requested", "queued"), ("queued", "in_progress")])
def test_in_flight__a_run_that_moves_on_between_two_questions_is_seen(step: tuple[str, str]) -> None:
    asked: list[str] = []

    class Moving:
        """A repository, its workflow and the one run, which moves on after each question in turn."""

        id, html_url, display_title = 1, "", "Retrain"

        def __init__(self, after: int) -> None:
            self.after = after

        @property
        def status(self) -> str:
            return step[len(asked) > self.after]

        def get_workflow(self, _name: str) -> Moving:
            return self

        def get_runs(self, status: str) -> list[Moving]:
            found = [self] if self.status == status else []
            asked.append(status)
            return found

    for after in range(len(dispatches.NOT_ENDED)):
        asked.clear()
        assert dispatches.in_flight(cast(Repository, Moving(after)), "retrain.yml")


# What GitHub says.


@pytest.mark.parametrize(
    ("token", "rules", "said"),
    [
        ({"contents": "write"}, {}, "actions: write"),
        ({"actions": "write"}, {"event": "repository_dispatch"}, "contents: write"),
        (None, {"ref": "gone"}, "No ref found for: gone"),
    ],
)
def test_act__a_refusal_starts_nothing_and_can_be_mended(
    site: Site, token: dict[str, str] | None, rules: dict[str, Any], said: str
) -> None:
    taken = site.governor(token=token, rules=rules).act()
    assert isinstance(taken.failure, RemoteError) and said in str(taken.failure)
    assert (rule(taken), taken.decision.verdict) == ("dispatch", Verdict.INCONCLUSIVE)
    assert (site.steps(), site.runs()) == (["intent", "refused"], [])
    # Mended: the same drift may try again at once.
    assert site.governor().act().dispatched
    assert site.steps() == ["intent", "refused", "intent", "made"]
    assert site.entries()[-1].details["attempt"] == 2


def test_act__a_workflow_that_is_not_there(site: Site) -> None:
    taken = site.governor(rules={"workflow": "other.yml"}).act()
    # Not even whether one is in flight can be asked.
    assert (rule(taken), taken.decision.verdict) == ("in flight", Verdict.INCONCLUSIVE)
    assert "other.yml is on the default branch" in taken.decision.sentence and site.steps() == ["held"]


def test_act__unexpected_inputs(site: Site) -> None:
    site.hub.world.workflow(site.workflow.repository, "retrain.yml", inputs=("reason",))
    taken = site.governor().act()
    assert taken.failure and "Unexpected inputs" in taken.failure.why and "`payload`" in taken.failure.fix
    assert site.steps() == ["intent", "refused"]


@pytest.mark.parametrize("event", ["workflow_dispatch", "repository_dispatch"])
@pytest.mark.parametrize("how", ["502", "cut"])
@pytest.mark.parametrize("applied", [True, False], ids=["done", "not done"])
def test_act__a_lost_answer(site: Site, event: str, how: str, applied: bool) -> None:
    operation = SEND if event == "workflow_dispatch" else EVENT
    if how == "502":
        site.hub.fail_next(502, page="<html>Unicorn!</html>", operation=operation, applied=applied)
    else:
        site.hub.cut_next(operation=operation, applied=applied)
    rules = {"event": event}
    taken = site.governor(rules=rules).act()
    if applied:  # it was found by its key
        assert taken.dispatched and taken.run_id and site.steps() == ["intent", "made"]
        return
    assert (taken.failure is not None, taken.dispatched, rule(taken)) == (True, False, "dispatch")
    assert site.steps() == ["intent"]
    # Nobody tries again before it is certain.
    assert rule(site.governor(rules=rules).act()) == "in flight"
    site.later(minutes=16)
    again = site.governor(rules=rules).act()
    assert again.dispatched and "no run that it could have started" in again.remarks[0]
    assert site.steps() == ["intent", "held", "unsent", "intent", "made"]
    assert len(site.runs()) == 1


def test_act__a_run_that_github_shows_late_is_found_by_the_next_look(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.hub.cut_next(operation=SEND, applied=True)
    with monkeypatch.context() as patch:
        patch.setattr(dispatches, "started", lambda *_: None)
        assert site.governor().act().failure
    site.ended()
    site.later(days=3)
    again = site.governor().act()
    assert (rule(again), again.run_id) == ("duplicate", next(iter(site.hub.world.runs)))
    assert site.steps() == ["intent", "made", "held"]


def test_act__what_nobody_can_tell_counts_as_made(site: Site) -> None:
    site.hub.world.workflow(site.workflow.repository, "retrain.yml", inputs=payload.INPUTS)  # no key in the title
    site.hub.cut_next(operation=SEND, applied=True)
    assert site.governor().act().failure
    site.ended()
    site.later(days=3)
    again = site.governor().act()
    assert rule(again) == "duplicate" and "may have set one off" in again.decision.sentence
    assert site.steps() == ["intent", "unknown", "held"]
    assert len(site.runs()) == 1


def test_act__runs_that_cannot_be_listed_settle_nothing(site: Site) -> None:
    site.hub.cut_next(operation=SEND)
    assert site.governor().act().failure
    site.later(hours=1)
    site.hub.fail_next(403, operation=LIST, message="Resource not accessible by integration", times=2)
    again = site.governor().act()
    assert rule(again) == "in flight" and "could not be settled" in again.remarks[0]
    assert site.steps() == ["intent", "held"]


def test_act__a_private_repository_and_no_right_to_look(site: Site) -> None:
    private = site.hub.world.repository(REPOSITORY, private=True)
    site.hub.world.workflow(private, "retrain.yml", inputs=payload.INPUTS)
    taken = site.governor(token={"contents": "write"}).act()
    assert (rule(taken), taken.decision.verdict) == ("in flight", Verdict.INCONCLUSIVE)
    assert "actions: read" in taken.decision.sentence


# What the ledger says.


def test_act__without_a_ledger_nothing_is_started(site: Site) -> None:
    away = site.governor(remote=site.folder / "reader" / ".." / "upstream.git")
    site.upstream.rename(site.folder / "away.git")
    taken = away.act()
    assert (taken.decision.action, taken.decision.verdict, rule(taken)) == ("hold", Verdict.INCONCLUSIVE, "persistence")
    assert "cannot be read" in taken.decision.sentence
    none = site.governor(remote=site.folder / "away.git")
    none.ledger = Unknown("there is no repository for it.")
    assert rule(none.act()) == "persistence"
    assert site.runs() == []


def test_act__without_the_right_to_push_nothing_is_started(site: Site) -> None:
    hook = site.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    taken = site.governor(runner="kept").act()
    assert (taken.decision.action, taken.decision.verdict, rule(taken)) == ("hold", Verdict.INCONCLUSIVE, "on record")
    assert "contents: write" in taken.remarks[0]
    held = site.governor(report=drift("pass")).act()
    assert (rule(held), held.decision.verdict) == ("drift", Verdict.INCONCLUSIVE)
    assert site.runs() == []
    # Once it may, what waited goes out with its end, and the drift is answered.
    hook.unlink()
    assert site.governor(runner="kept").act().dispatched
    assert site.steps() == ["intent", "withdrawn", "intent", "made"]


def test_act__an_altered_ledger_is_not_believed(site: Site) -> None:
    site.governor(report=drift("pass")).act()
    git = Git(site.upstream)
    who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid")
    forged = git.line(*who, "commit-tree", "-m", "forged", f"{git.commit_of('refs/heads/slipway-ledger')}^{{tree}}")
    git.run("update-ref", "refs/heads/slipway-ledger", forged)
    taken = site.governor().act()
    assert (taken.decision.action, taken.decision.verdict) == ("hold", Verdict.INCONCLUSIVE)
    assert "was altered" in taken.decision.sentence
    assert site.runs() == []


def test_act__an_intent_that_went_cold_is_withdrawn(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    governor = site.governor()
    append = Ledger.append

    def slowly(self: Ledger, drafts: Any) -> Any:
        receipt = append(self, drafts)
        site.later(minutes=6)  # the machine slept
        return receipt

    monkeypatch.setattr(Ledger, "append", slowly)
    taken = governor.act()
    assert (rule(taken), site.runs(), site.steps()) == ("on record", [], ["intent", "withdrawn"])


def test_act__too_large_a_payload_is_refused_before_anything_is_written(site: Site) -> None:
    with pytest.raises(InputError, match="GitHub takes 65,535"):
        site.governor(data={f"d{n}": "v" * 1_900 for n in range(50)}).act()
    assert subjects(site.upstream, "--all") == [] and site.runs() == []


# Two at once.


@pytest.mark.parametrize("windows", [("july", "july"), ("july", "august")], ids=["one drift", "two drifts"])
@pytest.mark.parametrize("moment", ["before the intent", "after the intent", "before the dispatch"])
def test_act__two_race_and_one_starts(
    site: Site, monkeypatch: pytest.MonkeyPatch, windows: tuple[str, str], moment: str
) -> None:
    rules = {"cooldown_hours": 0, "per_day": 9}
    slow, fast = (site.governor(window=window, rules=rules) for window in windows)
    append = Ledger.append
    taken: list[Taken] = []

    def overtaken(self: Ledger, drafts: Any) -> Any:
        mine = self is slow.ledger and not taken
        if mine and moment == "before the intent":
            taken.append(fast.act())
        receipt = append(self, drafts)
        if mine and moment == "after the intent":
            taken.append(fast.act())
        return receipt

    monkeypatch.setattr(Ledger, "append", overtaken)
    if moment == "before the dispatch":
        site.hub.before(SEND, lambda: taken.append(fast.act()))
    taken.append(slow.act())
    assert len(taken) == 2
    assert [each.dispatched for each in taken].count(True) == len(site.runs()) == 1
    loser = next(each for each in taken if not each.dispatched)
    assert loser.decision.action == "hold" and loser.decision.verdict is Verdict.PASS
    steps = Counter(site.steps())
    assert steps["made"] == 1 and steps["intent"] == 1 + steps["withdrawn"]
    # Nothing is left open.
    assert all(step for _, step, _ in record.intents(site.entries(), MODEL))


# Whoever is killed.


def test_act__killed_between_every_two_steps(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before every call of git that moves a ref, here or upstream: all else is seen by nobody."""
    calls, fatal = 0, 0
    run = Git.run

    def deadly(self: Git, *arguments: str, given: bytes | None = None) -> bytes:
        nonlocal calls
        calls += arguments[0] in ("update-ref", "push")
        if calls == fatal:
            raise KilledError
        return run(self, *arguments, given=given)

    survived = False
    while not survived:
        fatal, calls = fatal + 1, 0
        window = f"window-{fatal}"  # every try is about a drift of its own, a month after the one before
        site.ended()
        site.later(days=31)
        started = len(site.runs())
        with monkeypatch.context() as patch:
            patch.setattr(Git, "run", deadly)
            with suppress(KilledError):
                survived = site.governor(window=window).act().dispatched
        # Who comes at once may find it done, find it under way, or do it; who comes later finds it done or does it.
        site.governor(window=window).act()
        site.later(minutes=16)
        last = site.governor(window=window).act()
        assert len(site.runs()) == started + 1, f"killed at call {fatal}"
        assert last.dispatched or rule(last) == "duplicate"
    assert fatal > 6
    assert all(step for _, step, _ in record.intents(site.entries(), MODEL))
    assert set(site.steps()) == {"intent", "made", "held", "unsent"}


@pytest.mark.parametrize("applied", [True, False], ids=["done", "not done"])
def test_act__killed_with_the_dispatch_on_its_way(site: Site, applied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    send = dispatches.by_workflow

    def killed(*given: Any) -> Any:
        if applied:
            send(*given)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(dispatches, "by_workflow", killed)
        with pytest.raises(KilledError):
            site.governor().act()
    assert site.steps() == ["intent"]
    assert rule(site.governor().act()) == ("duplicate" if applied else "in flight")
    site.later(minutes=16)
    assert site.governor().act().dispatched is not applied
    assert len(site.runs()) == 1
