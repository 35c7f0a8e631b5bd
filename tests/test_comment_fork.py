"""The stage against GitHub's double: what a hostile fork can upload, claim, race or name, and what becomes of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product, repeat
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
import requests
import yaml

import comment_fork
from comment_fork import ENTRIES
from github_double import bodies
from github_double.server import GitHubDouble
from github_double.storage import Storage
from github_double.world import Artifact, PullRequest, WorkflowRun
from slipway.github_api import artifacts
from slipway.report import Check, Column, Report, Table, Verdict, comment, fork, untrusted
from slipway.runner import outputs
from slipway.runner.errors import InputError, RemoteError
from step_kit import in_this_process

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY, FORK, MODEL = "octo/models", "mona/models", "flights"
WORKFLOW = ".github/workflows/model.yml"
NAME = "slipway-fork-reports"
BOT = "github-actions[bot]"
CREATE, UPDATE, GET_PULL = "issues/create-comment", "issues/update-comment", "pulls/get"
TRAIN, VALIDATE, EVALUATE = "train/train-model.json", "train/validate-data.json", "evaluate/evaluate-model.json"


@dataclass(frozen=True)
class Ran:
    """What the step left: exit code, log, outputs, summary."""

    code: int
    log: str
    said: dict[str, str]
    summary: str

    def annotated(self, kind: str) -> str:
        """The text of the one annotation of this kind."""
        (found,) = re.findall(rf"^::{kind}(?: [^:]*)?::(.*)$", self.log, re.MULTILINE)
        return str(found).replace("%0A", "\n").replace("%25", "%")


@dataclass
class Scene:
    """A fork's pull request with one finished run; a test changes what it needs before it calls the step."""

    hub: GitHubDouble
    storage: Storage
    folder: Path
    environ: dict[str, str]
    execute: Callable[[dict[str, str]], tuple[int, str]]
    pull: PullRequest
    run: WorkflowRun
    calls: int = 0
    event: dict[str, Any] = field(default_factory=dict)

    def upload(self, content: bytes | None = None, *, name: str = NAME, run: WorkflowRun | None = None) -> Artifact:
        content = archive(reports()) if content is None else content
        return self.hub.world.artifact(run or self.run, name, content)

    def told(self, run: WorkflowRun | None = None) -> dict[str, Any]:
        """The event that GitHub sends when a run has ended."""
        world = self.hub.world
        repository = bodies.repository(world, world.repositories[REPOSITORY])
        return {"action": "completed", "repository": repository, "workflow_run": self.told_run(run or self.run)}

    def told_run(self, run: WorkflowRun) -> dict[str, Any]:
        return json.loads(json.dumps(bodies.workflow_run(self.hub.world, run)))  # type: ignore[no-any-return]

    def __call__(self, event: dict[str, Any] | None = None, **inputs: str) -> Ran:
        self.calls += 1
        at, output, summary = (self.folder / f"{name}-{self.calls}" for name in ("event", "output", "summary"))
        at.write_text(json.dumps(event or self.event or self.told()), encoding="utf-8")
        for file in (output, summary):
            file.touch()
        files = {"GITHUB_EVENT_PATH": at, "GITHUB_OUTPUT": output, "GITHUB_STEP_SUMMARY": summary}
        given = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        code, log = self.execute({**self.environ, **{name: str(file) for name, file in files.items()}, **given})
        return Ran(code, log, outputs.read(output), summary.read_text(encoding="utf-8"))

    @property
    def texts(self) -> list[str]:
        return [each.body for each in self.hub.world.comments_of(self.pull)]

    @property
    def writes(self) -> list[str]:
        return [each.operation for each in self.hub.log if each.request.method != "GET"]

    def refused(self, why: str, *, workflow: str = WORKFLOW) -> None:
        """The step fails, says why, and has written nothing."""
        ran = self(workflow=workflow)
        assert (ran.code, self.texts, self.writes) == (1, [], []), ran.log
        assert why in ran.annotated("error")

    def stops(self, why: str, event: dict[str, Any] | None = None) -> None:
        """The step passes with a notice, and has written nothing."""
        ran = self(event)
        assert (ran.code, self.writes) == (0, []), ran.log
        assert ran.annotated("notice").startswith("No comment was posted: ")
        assert why in ran.annotated("notice")
        assert ran.said["action"] == "nothing to do"
        assert (ran.said["comment-url"], ran.said["reported-verdict"]) == ("", "")


def reports(**evaluated: Any) -> dict[str, bytes]:
    """The three reports as they are uploaded; `evaluated` changes that of the evaluation."""
    rows = (("auc", 0.71, 0.74, "pass"), ("log_loss", 0.5, 0.4, "pass"))
    columns = (Column(name="metric"), *(Column(name=name, kind="number") for name in ("production", "candidate")))
    table = Table(title="Quality", columns=(*columns, Column(name="verdict", kind="verdict")), rows=rows)
    given: dict[str, Any] = {
        "stage": "evaluate-model",
        "model": MODEL,
        "verdict": Verdict.PASS,
        "headline": "Candidate version 4 against version 1.",
        "tables": (table,),
        "checks": (Check(name="auc", verdict=Verdict.PASS, values={"difference": 0.03}),),
        **evaluated,
    }
    made = {
        VALIDATE: Report(stage="validate-data", model=MODEL, verdict=Verdict.PASS, headline="2 datasets are valid."),
        TRAIN: Report(stage="train-model", model=MODEL, verdict=Verdict.PASS, provenance={"commit": "a" * 40}),
        EVALUATE: Report(**given),
    }
    return {name: report.model_dump_json(indent=2).encode() for name, report in made.items()}


def changed(**fields: Any) -> dict[str, bytes]:
    """The reports, the evaluation's JSON changed without the types of Slipway looking."""
    made = reports()
    return {**made, EVALUATE: json.dumps({**json.loads(made[EVALUATE]), **fields}).encode()}


def archive(files: dict[str, bytes], *, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return made.getvalue()


def with_entry(name: str, content: bytes = b"{}") -> bytes:
    """The archive of the three reports with one more entry."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for known, report in reports().items():
            packed.writestr(known, report)
        entry = zipfile.ZipInfo("plain")
        entry.filename = name  # its own constructor would tidy up the name
        packed.writestr(entry, content)
    return made.getvalue()


@pytest.fixture
def storage(hub: GitHubDouble) -> Iterator[Storage]:
    with Storage(hub.world) as double:
        yield double


@pytest.fixture
def scene(
    hub: GitHubDouble,
    storage: Storage,
    tmp_path: Path,
    signals_restored: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Scene:
    repository = hub.world.repository(REPOSITORY)
    pull = hub.world.pull_request(repository, fork=hub.world.repository(FORK, fork=True))
    token = hub.world.installation_token(actions="read", pull_requests="write", contents="read")
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": hub.base_url,
        "GITHUB_SERVER_URL": "https://github.test",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_EVENT_NAME": "workflow_run",
        "GITHUB_RUN_ID": "99",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_SHA": "d" * 40,
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "INPUT_MODEL": MODEL,
        "INPUT_WORKFLOW": WORKFLOW,
        "INPUT_GITHUB_TOKEN": token,
    }

    def execute(given: dict[str, str]) -> tuple[int, str]:
        return in_this_process(comment_fork, given, monkeypatch, capfd)

    return Scene(hub, storage, tmp_path, environ, execute, pull, hub.world.run(pull))


# The comment


def test_main__comments_what_the_fork_reports(scene: Scene) -> None:
    scene.upload()

    ran = scene()

    (text,) = scene.texts
    assert (ran.code, ran.said["action"], ran.said["pull-request"]) == (0, "created", "1")
    assert text.startswith("### ❔ `flights`: reported by a fork's run, not judged\n\n**Not judged here.**")
    assert "cannot satisfy a deployment gate" in text
    assert text.splitlines()[-1] == fork.stamp(MODEL, run_id=scene.run.id, attempt=1, head_sha=scene.pull.head.sha)
    assert f"(https://github.test/octo/models/actions/runs/{scene.run.id})" in text
    assert ran.said["comment-url"].endswith(f"#issuecomment-{next(iter(scene.hub.world.comments))}")
    assert ran.summary.strip() == text == Path(ran.said["comment-file"]).read_text(encoding="utf-8").strip()
    assert scene.environ["INPUT_GITHUB_TOKEN"] not in ran.log.replace(
        f"::add-mask::{scene.environ['INPUT_GITHUB_TOKEN']}", ""
    )


def test_main__labels_and_quotes_everything_that_the_fork_says(scene: Scene) -> None:
    scene.upload()
    scene()

    (text,) = scene.texts
    ours = [line for line in text.splitlines() if line and not line.startswith(">")]
    assert len(ours) == 4  # title, warning, footer, stamp
    assert not any(said in line for line in ours for said in ("0.74", "version 4", "datasets are valid", "pass"))
    blocks = [block for block in text.split("\n\n") if block.startswith(">")]
    assert len(blocks) == 3
    assert all(block.startswith("> **Reported by the fork's untrusted run") for block in blocks)
    assert "candidate \\(reported\\)" in text
    assert "✅" not in text
    assert "may replace production" not in text


def test_main__reports_no_verdict_of_its_own(scene: Scene) -> None:
    """Three forged passes make no pass: neither as an output nor in the report that the ledger could take."""
    scene.upload()
    ran = scene()

    own = Report.read(Path(ran.said["report"]))
    assert "verdict" not in ran.said
    assert ran.said["reported-verdict"] == "pass"
    assert (own.verdict, own.provenance["trust"], own.checks) == (Verdict.INCONCLUSIVE, "fork", ())
    assert own.provenance["commit"] == scene.pull.head.sha


def test_main__updates_in_place(scene: Scene) -> None:
    scene.upload()
    first = scene()
    scene.pull.head.sha = "b" * 40
    scene.run = scene.hub.world.run(scene.pull)
    scene.upload(archive(reports(headline="Another one.")))
    second, third = scene(), scene()

    assert [ran.said["action"] for ran in (first, second, third)] == ["created", "updated", "unchanged"]
    (text,) = scene.texts
    assert "Another one" in text
    assert "`bbbbbbbbbbbb`" in text


def test_main__shows_what_a_gate_stopped(scene: Scene) -> None:
    scene.run.conclusion = "failure"
    scene.upload(archive({VALIDATE: reports()[VALIDATE]}))
    ran = scene()

    assert (ran.code, ran.said["reported-verdict"]) == (0, "inconclusive")
    (text,) = scene.texts
    assert text.count("left no report") == 2


def test_main__never_touches_the_trusted_comment(scene: Scene) -> None:
    """A run of the repository's own has commented on the same pull request for the same model."""
    trusted = comment.body(
        MODEL,
        [Report(stage="evaluate-model", model=MODEL, verdict=Verdict.FAIL)],
        stamp_line=comment.stamp(MODEL, run_id=1, attempt=1, head_sha="a" * 40),
    )
    scene.hub.world.comment(scene.pull, trusted, author=BOT)
    scene.upload()
    assert scene().said["action"] == "created"
    assert scene().said["action"] == "unchanged"
    assert scene.texts[0] == trusted
    assert not fork.marker(MODEL).startswith(comment.marker(MODEL))


@pytest.mark.parametrize("make", [comment.stamp, fork.stamp])
def test_main__a_forged_marker_is_text(scene: Scene, make: Callable[..., str]) -> None:
    forged = make(MODEL, run_id=2**60, attempt=1, head_sha="e" * 40)
    row = (forged, f"\n\n{forged}\n", f"--> {forged}")
    columns = (Column(name=forged), Column(name="b", kind="code"), Column(name="c", kind="verdict"))
    table = Table(title=forged, columns=columns, rows=(row,), note=forged, folded=True)
    scene.upload(
        archive(
            reports(headline=forged, reasons=(forged, f"a\n{forged}"), tables=(table,), provenance={forged: forged})
        )
    )
    assert scene().said["action"] == "created"

    (text,) = scene.texts
    assert [line for line in text.splitlines() if "<!--" in line] == text.splitlines()[-1:]
    # The next run still finds it, and it is not taken for a run of the far future.
    scene.run = scene.hub.world.run(scene.pull)
    scene.upload()
    assert scene().said["action"] == "updated"


HOSTILE = [
    "<img src=https://evil.test/x.png>",
    "<script>alert(1)</script>",
    "[click](https://evil.test)",
    "![x](https://evil.test/x.png)",
    "https://evil.test/login and www.evil.test and mona@evil.test",
    "@octo/admins @mona please look",
    "#1 GH-1 octo/models#1",
    "</details></blockquote><h1>✅ may replace production</h1>",
    "\n\n### ✅ `flights`: may replace production\n\n",
    "| a | b |\n|---|---|\n| **pass** | x |",
    "`code` \\`<b>x</b>\\`",
    "a\\|<b>x</b>",
    "$\\href{https://evil.test}{x}$",
    "\u202eevil\u2066",
    "[ref]: https://evil.test\n[ref]",
    "> quote\n\nno quote",
    "::error::forged",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_main__hostile_text_stays_text(scene: Scene, text: str) -> None:
    """In every place that takes text, at once. Rendered as GitHub renders it, the only link is ours."""
    kinds = ("text", "code", "number", "verdict")
    columns = tuple(Column(name=text, kind=kind) for kind in kinds)  # type: ignore[arg-type]
    table = Table(title=text, columns=columns, rows=((text,) * 4,), note=text)
    check = Check(name=text, verdict=Verdict.FAIL, detail=text, examples=(text,), values={text: text})
    fields: dict[str, Any] = {
        **{"headline": text, "reasons": (text, text), "checks": (check,), "provenance": {text: text}},
        **{"links": {text: "https://evil.test"}, "reused_from": "https://evil.test"},
    }
    scene.upload(archive(reports(**fields, tables=(table, table.model_copy(update={"folded": True})))))
    first = scene()
    shown = [scene.texts[0]]
    scene.run = scene.hub.world.run(scene.pull)
    scene.upload(archive(reports(**fields, tables=())))  # checks are shown where there is no table
    second = scene()
    shown.append(scene.texts[0])

    assert (first.code, second.code) == (0, 0)
    assert shown[0] != shown[1]
    for body in shown:
        html = cmarkgfm.github_flavored_markdown_to_html(body)
        assert re.findall(r'href="([^"]*)"', html) == [
            f"https://github.test/octo/models/actions/runs/{run}" for run in re.findall(r"/runs/(\d+)\)", body)
        ]
        assert len(re.findall(r"<a ", html)) == 1
        assert re.findall(r"<(h\d|img|script|b|strong)\b", html).count("h3") == 1
        assert not re.search(r"<(h1|h2|img|script|b)\b", html)
        outside = re.sub(r"<blockquote>.*?</blockquote>", "", html, flags=re.DOTALL)
        assert "may replace" not in outside
        assert "evil" not in outside
        in_text = re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL)
        assert not re.search(r"@\w|#\d|\bGH-\d|www\.|https?:(?!//github\.test)", in_text.replace("&#", "&"))
        assert not set(body) & {"\u202e", "\u2066"}
    assert "\n::error::forged" not in first.log + second.log


def test_main__a_wall_of_text_is_cut_behind_the_warning(scene: Scene) -> None:
    tables = tuple(
        Table(title=f"t{number}", columns=(Column(name="a"),), rows=tuple(("x" * 60,) for _ in range(400)))
        for number in range(10)
    )
    scene.upload(archive(reports(tables=tables)))
    assert scene().code == 0
    (text,) = scene.texts
    assert len(text) <= comment.LIMIT
    assert text.startswith("### ❔")
    assert fork.NO_GATE in text
    assert fork.CUT in text
    assert text.splitlines()[-1].startswith(fork.marker(MODEL))


# Which pull request


def test_main__a_number_inside_the_artifact_means_nothing(scene: Scene) -> None:
    victim = scene.hub.world.pull_request(scene.pull.repository, branch="victim")
    scene.upload(archive(reports(provenance={"pull_request": victim.number, "number": 2}, headline="For #2")))
    assert scene().said["pull-request"] == "1"
    assert scene.hub.world.comments_of(victim) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"event": "push"}, "set off by `push`"),
        ({"event": "pull_request_target"}, "set off by `pull_request_target`"),
        ({"event": "workflow_dispatch"}, "set off by `workflow_dispatch`"),
        ({"conclusion": "cancelled"}, "ended as `cancelled`"),
        ({"conclusion": "timed_out"}, "ended as `timed_out`"),
        ({"conclusion": None}, "ended as `None`"),
        ({"path": ".github/workflows/other.yml"}, "and .github/workflows/model.yml was expected"),
        ({"path": ".github/workflows/model.yml/x.yml"}, "was expected"),
        ({"path": "mona/models/.github/workflows/model.yml@main"}, "was expected"),
        ({"head_repository": None}, "the fork was deleted"),
    ],
)
def test_main__stops_at_runs_of_another_kind(scene: Scene, change: dict[str, Any], why: str) -> None:
    scene.upload()
    event = scene.told()
    event["workflow_run"] |= change
    scene.stops(why, event)
    assert scene.hub.log == []


def test_main__stops_at_a_run_of_another_repository(scene: Scene) -> None:
    scene.upload()
    event = scene.told()
    event["workflow_run"]["repository"]["id"] += 1
    scene.stops("another repository", event)


def test_main__leaves_pull_requests_of_the_repository_itself_alone(scene: Scene) -> None:
    own = scene.hub.world.pull_request(scene.pull.repository, branch="own")
    run = scene.hub.world.run(own)
    scene.upload(run=run)
    scene.stops("of this repository itself", scene.told(run))


def test_main__takes_the_path_with_a_branch_behind_it(scene: Scene) -> None:
    scene.upload()
    event = scene.told()
    event["workflow_run"]["path"] += "@refs/heads/main"
    assert scene(event).said["action"] == "created"


def test_main__works_on_workflow_run_only(scene: Scene) -> None:
    scene.environ["GITHUB_EVENT_NAME"] = "pull_request_target"
    scene.upload()
    scene.refused("this stage works on `workflow_run` only")


@pytest.mark.parametrize("path", ["model.yml", "Model", "../.github/workflows/model.yml", ".github/workflows/a/b.yml"])
def test_main__wants_a_path_and_no_title(scene: Scene, path: str) -> None:
    scene.refused("`workflow` must be a path", workflow=path)


def test_main__the_head_moved_before_the_look(scene: Scene) -> None:
    scene.upload()
    scene.pull.head.sha = "b" * 40
    scene.stops("has moved on since")


def test_main__the_head_moves_between_look_and_post(scene: Scene) -> None:
    def push() -> None:
        scene.pull.head.sha = "b" * 40

    scene.upload()
    scene.hub.before(GET_PULL, push)
    scene.stops("moved on or was closed in the meantime")


def test_main__the_pull_request_is_closed_between_look_and_post(scene: Scene) -> None:
    def close() -> None:
        scene.pull.state = "closed"

    scene.upload()
    scene.hub.before(GET_PULL, close)
    scene.stops("moved on or was closed in the meantime")


def test_main__a_closed_pull_request(scene: Scene) -> None:
    scene.upload()
    scene.pull.state = "closed"
    scene.stops("no open pull request")


def test_main__two_pull_requests_with_one_head(scene: Scene) -> None:
    scene.upload()
    head = scene.pull.head
    scene.hub.world.pull_request(scene.pull.repository, fork=head.repository, branch=head.ref, sha=head.sha)
    scene.stops("has 2 open pull requests (#2, #1)")


def test_main__a_pull_request_of_another_fork_with_the_same_commit(scene: Scene) -> None:
    """Somebody pushes the victim's commit to a branch of the same name; the victim's pull request is not touched."""
    world = scene.hub.world
    copy = world.pull_request(
        scene.pull.repository, fork=world.repository("mallory/models", fork=True), sha=scene.pull.head.sha
    )
    run = world.run(copy)
    scene.upload(run=run)
    assert scene(scene.told(run)).said["pull-request"] == str(copy.number)
    assert scene.texts == []


def test_main__a_pull_request_inside_the_fork(scene: Scene) -> None:
    """A branch of the fork that is proposed to the fork itself is none of ours."""
    scene.upload()
    assert scene.pull.head.repository is not None
    scene.pull.base.repository = scene.pull.head.repository
    scene.stops("no open pull request to this repository")


def test_main__the_fork_was_deleted_since_the_event(scene: Scene) -> None:
    scene.upload()
    event = scene.told()
    scene.pull.head.repository = None
    scene.stops("no open pull request to this repository", event)


def test_main__the_run_was_started_again(scene: Scene) -> None:
    scene.upload()
    event = scene.told()
    scene.run.attempt = 2
    scene.stops("was started again", event)
    scene.run.attempt, scene.run.status = 1, "in_progress"
    scene.stops("was started again", event)


def test_main__the_api_tells_of_another_run(scene: Scene) -> None:
    scene.upload()
    event = scene.told()
    scene.run.head.sha = "b" * 40
    scene.stops("another run than the event", event)


def test_main__an_older_run_that_ends_later_leaves_the_text(scene: Scene) -> None:
    """Both runs are on the same commit: a push that was taken back, or the pull request closed and opened."""
    older, scene.run = scene.run, scene.hub.world.run(scene.pull)
    scene.upload(archive(reports(headline="newer")))
    scene()
    scene.upload(archive(reports(headline="older")), run=older)
    ran = scene(scene.told(older))

    assert (ran.code, ran.said["action"]) == (0, "left to a newer run")
    (text,) = scene.texts
    assert "newer" in text


def test_main__two_runs_race(scene: Scene) -> None:
    """The newer run's whole step fits between our look and our creation."""
    older, newer = scene.run, scene.hub.world.run(scene.pull)
    scene.upload(archive(reports(headline="older")), run=older)
    scene.upload(archive(reports(headline="newer")), run=newer)
    at = scene.folder / "newer.json"
    at.write_text(json.dumps(scene.told(newer)), encoding="utf-8")
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        **scene.environ,
        **{"GITHUB_EVENT_PATH": str(at), "RUNNER_TEMP": str(scene.folder / "other")},
    }

    def overtake() -> None:
        subprocess.run([sys.executable, comment_fork.__file__], env=environ, check=True, capture_output=True)

    scene.hub.before(CREATE, overtake)
    ran = scene(scene.told(older))

    assert (ran.code, ran.said["action"]) == (0, "left to a newer run")
    (text,) = scene.texts
    assert "newer" in text


# Which artifact


def test_main__no_artifact(scene: Scene) -> None:
    scene.upload(name="something-else")
    scene.stops("left no artifact slipway-fork-reports")


def test_main__the_artifact_of_another_run(scene: Scene) -> None:
    scene.upload(run=scene.hub.world.run(scene.pull))
    scene.stops("left no artifact")


def test_main__an_artifact_that_is_listed_with_the_wrong_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.upload()
    honest = bodies.artifact
    lie = {"workflow_run": {"id": scene.run.id + 1, "head_sha": scene.run.head.sha}}
    monkeypatch.setattr(bodies, "artifact", lambda world, shown: honest(world, shown) | lie)
    scene.stops("left no artifact")


def test_main__the_artifact_of_an_earlier_attempt(scene: Scene) -> None:
    scene.upload()
    scene.run.attempt, scene.run.started = 2, scene.hub.world.tick()
    scene.stops("left no artifact")
    scene.upload(archive(reports(headline="second attempt")))
    assert scene().said["action"] == "created"
    assert "second attempt" in scene.texts[0]


def test_main__an_expired_artifact(scene: Scene) -> None:
    scene.upload().expired = True
    scene.stops("has expired")


def test_main__asks_for_the_artifact_by_name(scene: Scene) -> None:
    """A fork can upload thousands; listing them all would use up the token's calls of an hour."""
    for number in range(250):
        scene.upload(b"", name=f"x{number}")
    scene.upload()
    assert scene().said["action"] == "created"
    assert len(scene.hub.requests("actions/list-workflow-run-artifacts")) == 1


def test_main__more_artifacts_of_the_name_than_attempts_explain(scene: Scene) -> None:
    for _ in range(101):
        scene.upload(b"")
    scene.refused("has 101 artifacts of the name")


def test_main__github_says_that_it_is_too_large(scene: Scene) -> None:
    scene.upload().size = artifacts.LARGEST + 1
    scene.refused("GitHub says that it has 4,194,305 bytes")
    assert scene.storage.log == []


def test_main__the_storage_sends_without_end(scene: Scene) -> None:
    scene.upload()
    scene.storage.lies = repeat(b"x" * 65536)
    scene.refused("The storage sends more")
    assert scene.storage.sent < 10 * artifacts.LARGEST


def test_main__a_packed_answer_is_not_unpacked(scene: Scene) -> None:
    """A server that declares its bytes as gzip must not make them grow past the limit."""
    scene.upload()
    scene.storage.encoding = "gzip"
    assert scene().said["action"] == "created"


@pytest.mark.parametrize("digest", [f"sha256:{'0' * 64}", "sha256:", "md5:abc", "nonsense"])
def test_main__another_digest(scene: Scene, digest: str) -> None:
    scene.upload().digest = digest
    scene.refused("has not the digest that GitHub keeps")


def test_main__a_server_without_digests(scene: Scene) -> None:
    scene.upload().digest = None
    assert scene().said["action"] == "created"


def test_main__the_storage_sees_no_token(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = scene.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login mona password correct-horse\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    scene.upload()
    assert scene().code == 0

    ((path, headers),) = scene.storage.log
    assert path.endswith(".zip?sig=signed")
    assert "authorization" not in {name.lower() for name in headers}
    assert scene.environ["INPUT_GITHUB_TOKEN"] not in json.dumps(headers)
    (asked,) = scene.hub.requests("actions/download-artifact")
    assert asked.headers["Authorization"].endswith(scene.environ["INPUT_GITHUB_TOKEN"])


@pytest.mark.parametrize("status", [302, 403, 404])
def test_main__the_storage_refuses(scene: Scene, status: int) -> None:
    scene.upload()
    scene.storage.status = status
    scene.refused(f"answered with {status}")


def test_main__the_storage_breaks_off(scene: Scene) -> None:
    scene.upload().digest = None
    scene.storage.withheld = 100
    scene.refused("broke off")


def test_main__the_storage_cannot_be_reached(scene: Scene) -> None:
    """The error does not show the signed address: whoever reads the log could download with it."""
    scene.upload()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        scene.hub.world.storage_url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        ran = scene()
    assert (ran.code, scene.writes) == (1, [])
    assert "did not send the artifact" in ran.annotated("error")
    assert "sig=" not in ran.log


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "//127.0.0.1/x", "/x"])
def test_main__follows_no_address_of_another_kind(scene: Scene, address: str) -> None:
    scene.upload()
    scene.hub.world.storage_url = address
    scene.refused("no usable address")


def test_storage_address__is_encrypted_where_the_api_is() -> None:
    with pytest.raises(RemoteError):
        artifacts._storage_address("http://storage.test/x", "https://api.github.test/repos/a/b")
    assert artifacts._storage_address("https://storage.test/x", "http://127.0.0.1/repos/a/b")


def test_main__says_which_permission_is_missing(scene: Scene) -> None:
    scene.upload()
    scene.environ["INPUT_GITHUB_TOKEN"] = scene.hub.world.installation_token(pull_requests="write")
    scene.refused("actions: read")


# What is in the artifact


@pytest.mark.parametrize(
    "name",
    [
        "../evaluate-model.json",
        "train/../../evil.json",
        "/etc/passwd",
        "C:\\evil.json",
        "train\\evil.json",
        "train/train-model.json\0.txt",
        "./train/train-model.json",
        "train//train-model.json",
        "Train/train-model.json",
        "provenance.json",
        "deep/train/train-model.json",
        "evil/",
        "",
    ],
)
def test_main__an_entry_that_is_not_expected(scene: Scene, name: str) -> None:
    scene.upload(with_entry(name))
    before = {file for file in scene.folder.rglob("*") if file.is_file()}
    scene.refused("The artifact is not used")
    new = {file.name for file in scene.folder.rglob("*") if file.is_file()} - {file.name for file in before}
    assert new <= {"event-1", "output-1", "summary-1"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_main__an_entry_that_is_there_twice(scene: Scene) -> None:
    scene.upload(with_entry(TRAIN, reports()[TRAIN]))
    scene.refused("is there twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR, stat.S_IFSOCK])
def test_main__an_entry_that_is_no_plain_file(scene: Scene, kind: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        entry = zipfile.ZipInfo(TRAIN)
        entry.external_attr = (kind | 0o777) << 16
        packed.writestr(entry, b"/etc/passwd")
    scene.upload(made.getvalue())
    scene.refused("is no plain file")


def test_main__folders_of_the_expected_files_are_harmless(scene: Scene) -> None:
    scene.upload(archive({"train/": b"", "evaluate/": b"", **reports()}))
    assert scene().said["action"] == "created"
    scene.run = scene.hub.world.run(scene.pull)
    scene.upload(archive({"train/": b"x", **reports()}))
    assert scene().code == 1


def test_main__too_many_entries(scene: Scene) -> None:
    scene.upload(archive({f"{number}.json": b"" for number in range(20_000)}))
    scene.refused("it has 20,000 entries")


@pytest.mark.parametrize("size", [untrusted.LARGEST_REPORT, 200 * 1024 * 1024])
def test_main__a_zip_bomb(scene: Scene, size: int) -> None:
    packed = archive({EVALUATE: b" " * size})
    assert len(packed) < artifacts.LARGEST
    scene.upload(packed)
    scene.refused("more than")


def test_main__a_zip_bomb_that_lies_about_its_size(scene: Scene) -> None:
    """The headers promise 10 bytes; the stream would give 100 million."""
    packed = bytearray(archive({EVALUATE: b" " * 100_000_000}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = packed.index(mark) + offset
        assert struct.unpack_from("<I", packed, at)[0] == 100_000_000
        struct.pack_into("<I", packed, at, 10)
    scene.upload(bytes(packed))
    scene.refused("it cannot be read as a zip archive")


def test_main__an_encrypted_entry(scene: Scene) -> None:
    packed = bytearray(archive(reports()))
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    scene.upload(bytes(packed))
    scene.refused("is encrypted")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_main__an_entry_packed_in_another_way(scene: Scene, packing: int) -> None:
    scene.upload(archive(reports(), packing=packing))
    scene.refused("packed in another way")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"<html>not found</html>",
        lambda _: b"PK\x03\x04" + b"\0" * 100,
        lambda whole: whole[:-30],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b"train/train-model.json", b"train/TRAIN-MODEL.json", 1),
        lambda whole: whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:],
        lambda whole: whole.replace(b"PK\x01\x02", b"PK\x01\x03", 1),
    ],
)
def test_main__a_broken_archive(scene: Scene, spoil: Callable[[bytes], bytes]) -> None:
    scene.upload(spoil(archive(reports())))
    scene.refused("The artifact is not used")


def test_main__stays_itself_whatever_byte_of_the_archive_is_flipped(scene: Scene) -> None:
    whole = archive({VALIDATE: reports()[VALIDATE]})
    for at in range(0, len(whole), 3):
        flipped = whole[:at] + bytes([whole[at] ^ 0xA5]) + whole[at + 1 :]
        try:
            untrusted.read_archive(flipped, ENTRIES, model=MODEL)
        except InputError:
            continue


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b"\x80\x04pickle",
        b'{"stage": "evaluate-model"}',
    ],
)
def test_main__no_report(scene: Scene, content: bytes) -> None:
    scene.upload(archive({**reports(), EVALUATE: content}, packing=zipfile.ZIP_STORED))
    scene.refused("is not a report of Slipway")


@pytest.mark.parametrize(
    ("place", "number"),
    [
        pair
        for pair in product(
            ("seconds", "values", "cell", "provenance", "count"),
            ("NaN", "Infinity", "-Infinity", "1e400", "-1e999", "9" * 30, "-" + "9" * 400, "9" * 5000),
        )
        if pair != ("seconds", "9" * 30)  # a fraction may be that large, and is shown in a few digits
    ],
)
def test_main__numbers_that_are_none(scene: Scene, place: str, number: str) -> None:
    report = json.loads(reports()[EVALUATE])
    mark = 123456789
    {
        "seconds": lambda: report.update(seconds=mark),
        "values": lambda: report["checks"][0]["values"].update(difference=mark),
        "cell": lambda: report["tables"][0]["rows"][0].__setitem__(1, mark),
        "provenance": lambda: report.update(provenance={"rows": mark}),
        "count": lambda: report["checks"][0].update(count=mark),
    }[place]()
    content = json.dumps(report).replace(str(mark), number).encode()
    scene.upload(archive({**reports(), EVALUATE: content}))
    scene.refused("The artifact is not used")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"headline": "x" * 4_001}, "a text of more than 4,000 characters"),
        ({"provenance": {"x" * 4_001: 1}}, "a text of more than 4,000 characters"),
        ({"reasons": ["x"] * 1_001}, "a list of 1,001 entries"),
        ({"provenance": {str(number): 1 for number in range(1_001)}}, "a list of 1,001 entries"),
        (
            {"tables": [{"title": "t", "columns": [{"name": "a"}] * 60, "rows": [[1] * 60] * 900}]},
            "more than 50,000 values",
        ),
        ({"model": "another"}, "is about the model 'another', and flights was expected"),
        ({"model": "flights "}, "is about the model"),
        ({"stage": "post-report"}, "is a report of the stage 'post-report', not of evaluate-model"),
        ({"trust": "full"}, "is not a report of Slipway"),
        ({"verdict": "approved"}, "is not a report of Slipway"),
        ({"schema_version": 2}, "is not a report of Slipway"),
        ({"attachments": {"../x": "sha256:0"}}, "is not a report of Slipway"),
        ({"headline": "\ud800"}, "is not a report of Slipway"),
        ({"tables": [{"title": "t", "columns": [], "rows": [[]]}]}, "is not a report of Slipway"),
        ({"x\n::error::y": 1}, "is not a report of Slipway"),
    ],
)
def test_main__reports_that_are_none(scene: Scene, fields: dict[str, Any], why: str) -> None:
    scene.upload(archive(changed(**fields)))
    scene.refused(why)


def test_main__a_report_larger_than_any(scene: Scene) -> None:
    noise = hashlib.shake_256(b"").hexdigest(untrusted.LARGEST_REPORT)
    scene.upload(archive(changed(headline=noise)))
    scene.refused("more than the 2,097,152 of a report")


# What the pipeline uploads is what is read


def test_pipeline__uploads_what_is_read_here() -> None:
    pipeline = yaml.safe_load((ROOT / ".github" / "workflows" / "pipeline.yml").read_text(encoding="utf-8"))
    (step,) = [each for each in pipeline["jobs"]["report"]["steps"] if "fork-reports" in str(each.get("with"))]
    folder = "${{ runner.temp }}/slipway-reports/"
    assert [line.removeprefix(folder) for line in step["with"]["path"].splitlines()] == list(ENTRIES)
    default = pipeline[True]["workflow_call"]["inputs"]["name"]["default"]
    assert step["with"]["name"].replace("${{ inputs.name }}", default) == comment_fork.Inputs.artifact == NAME


def test_workflow__checks_out_nothing_of_the_change_and_may_not_write_contents() -> None:
    called = yaml.safe_load((ROOT / ".github" / "workflows" / "comment-fork.yml").read_text(encoding="utf-8"))
    (job,) = called["jobs"].values()
    assert job["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    assert called["permissions"] == {}
    (checkout,) = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert "github.event" not in json.dumps(checkout)
    assert "run" not in {key for step in job["steps"] for key in step}


def test_storage_double__serves_what_was_uploaded(scene: Scene) -> None:
    made = scene.upload()
    assert requests.get(f"{scene.storage.url}/{made.id}.zip", timeout=10).content == made.content
