"""A canary that one job watches, while what it is seen by fails now and then."""

from __future__ import annotations

import http.server
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

import deploy_model
from canary_kit import arm
from deploy_kit import Place, invariants
from http_kit import answering
from slipway.canary.observations import Observation
from slipway.deploying import watching
from slipway.runner.errors import RemoteError
from step_kit import Ran
from test_training_toy import QUIET

pytestmark = [QUIET, pytest.mark.usefixtures("live")]

LONG = {"watch_minutes": "1", "look_seconds": "0.01"}
"""Ends with a decision, or with looks that failed; never with its time."""

FAILED = "Looks that failed"

OBSERVE = """
import os, pathlib, shutil, sys
count = pathlib.Path("count")
number = int(count.read_text()) + 1 if count.is_file() else 1
count.write_text(str(number))
if str(number) in sys.argv[2:]:
    sys.exit(f"The warehouse is busy ({number}).")
if number > int(sys.argv[1]):
    shutil.copy("seen.jsonl", os.environ["SLIPWAY_OBSERVATIONS"])
else:
    pathlib.Path(os.environ["SLIPWAY_OBSERVATIONS"]).touch()
"""
"""Says what `seen.jsonl` holds, after a first number of looks that see nothing. It fails at the other numbers."""


def seen_by_command(place: Place, *failing: int, errors: int, at_once: bool = True) -> None:
    """A canary with so many errors of 500, whose observations fail at these looks. at_once: not only from look 6 on."""
    since = datetime.now(UTC) + timedelta(seconds=1 if at_once else 120)
    arms = {"canary": arm(500, errors, since=since, version="2"), "baseline": arm(9_500, 10, since=since, version="1")}
    said = Observation(at=since + timedelta(minutes=1), canary=arms["canary"], baseline=arms["baseline"])
    (place.clone.path / "seen.jsonl").write_text(said.model_dump_json() + "\n", encoding="utf-8")
    (place.clone.path / "observe.py").write_text(OBSERVE, encoding="utf-8")
    command = " ".join([sys.executable, "observe.py", "0" if at_once else "5", *map(str, failing)])
    place.policy(canary={"observations": {"command": command}})


def failures(done: Ran) -> list[str]:
    """What the report says of the looks that failed."""
    return [str(row[1]) for table in done.report.tables if table.title == FAILED for row in table.rows]


def test_watch__looks_that_fail_are_taken_again(place: Place) -> None:
    seen_by_command(place, 1, 2, 3, 4, errors=200)
    done = place(deploy_model, model_version="2", **LONG)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    invariants(place, "1")
    assert place.events[-3:] == ["deployment", "look", "rollback"], "a look that failed is not on record"
    assert len(failures(done)) == 4
    assert all("ended with exit code 1" in said or "The warehouse is busy" in said for said in failures(done))
    assert "4 of 5 looks at the canary failed" in done.messages("warning")
    assert any("4 of 5 looks" in reason for reason in done.report.reasons)
    assert "Look 4 failed, 4 of at most 5 in a row" in done.log


def test_watch__too_many_failures_in_a_row_end_it(place: Place) -> None:
    seen_by_command(place, 1, 2, 3, 4, 5, errors=200)
    done = place(deploy_model, model_version="2", **LONG)
    said = (done.code, done.said["verdict"], done.said["state"], done.said["canary"], done.said["share"])
    assert said == (1, "inconclusive", "canary", "2", "0.05"), done.log
    assert "The warehouse is busy (5)" in done.error
    assert len(failures(done)) == 5
    assert place.events[-1] == "deployment"
    assert place(deploy_model, **LONG).said["state"] == "rolled-back", "the next run looks on"
    invariants(place, "1")


def test_watch__one_that_succeeds_lets_it_go_on(place: Place) -> None:
    """A look without anything new is a look; eight failures of nine are not five in a row."""
    seen_by_command(place, 1, 2, 3, 4, 6, 7, 8, 9, errors=200, at_once=False)
    done = place(deploy_model, model_version="2", **LONG)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    assert [each for each in place.events if each == "look"] == ["look", "look"]
    assert len(failures(done)) == 8


def test_watch__a_canary_that_nobody_could_see_does_not_end_well(place: Place) -> None:
    """There was time for one look, and it failed: that is no end of the time without a finding."""
    seen_by_command(place, 1, errors=0)
    done = place(deploy_model, model_version="2", watch_minutes="0.02", look_seconds="1")
    assert (done.code, done.said["verdict"], done.said["state"]) == (1, "inconclusive", "canary"), done.log
    assert "The warehouse is busy (1)" in done.error
    assert len(failures(done)) == 1


def test_watch__the_report_names_the_newest_failures(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_SHOWN", 2)
    seen_by_command(place, 1, 2, 3, errors=200)
    done = place(deploy_model, model_version="2", **LONG)
    table = next(each for each in done.report.tables if each.title == FAILED)
    assert (len(table.rows), table.note) == (2, "The newest 2 of 3.")


@contextmanager
def prometheus(fails: int) -> Iterator[str]:
    """A server that answers its first queries with status 503, and then that the canary fails at every request."""
    asked = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal asked
            asked += 1
            query = self.rfile.read(int(self.headers["Content-Length"])).decode()
            served = "500" if "version%3D2" in query else "9500"
            value = served if "requests" in query or "version%3D2" in query else "0"
            data = {"resultType": "vector", "result": [{"metric": {}, "value": [0, value]}]}
            self.send_response(503 if asked <= fails else 200)
            self.end_headers()
            self.wfile.write(b"" if asked <= fails else json.dumps({"status": "success", "data": data}).encode())

        def log_message(self, *_: object) -> None: ...

    with answering(Handler) as url:
        yield url


def test_watch__a_metrics_server_that_is_away_for_a_moment(place: Place) -> None:
    queries = {"requests": "requests_version=$version_of_$window", "errors": "errors_version=$version_of_$window"}
    with prometheus(fails=2) as url:
        place.policy(canary={"observations": {"prometheus": {"url": url, "queries": queries}}})
        done = place(deploy_model, model_version="2", watch_minutes="1", look_seconds="0.2")
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    assert len(failures(done)) == 2
    assert all("it answered with status 503" in said for said in failures(done))
    invariants(place, "1")


def test_watch__the_target_is_away_when_the_canary_is_to_be_taken_back(place: Place) -> None:
    """The look is on record, its rollback fails at first: it is tried again at the next look."""
    seen_by_command(place, errors=200)
    away = 2

    def before(call: str) -> None:
        nonlocal away
        if call == "set_traffic" and "look" in place.events and away:
            away -= 1
            raise RemoteError("The target does not answer.", why="The connection was refused.")

    place.target().before = before
    done = place(deploy_model, model_version="2", **LONG)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    assert failures(done) == ["The target does not answer. The connection was refused."] * 2
    assert place.events[-3:] == ["deployment", "look", "rollback"]
    invariants(place, "1")


def test_watch__what_fails_after_the_release_has_ended_is_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry's alias cannot be moved: that is no look, and the watch does not end as if all were well."""
    seen_by_command(place, errors=200)
    monkeypatch.setattr("slipway.deploying.versions.Versions.alias", lambda *_: "9")

    def refuse(*_: object) -> None:
        raise RemoteError("MLflow could not set the alias.")

    monkeypatch.setattr("slipway.registry.mlflow.Registry.set_alias", refuse)
    done = place(deploy_model, model_version="2", **LONG)
    assert (done.code, done.said["live"]) == (1, "1")
    assert "MLflow could not set the alias." in done.error
