"""The stage as its step runs it: what is on the pull request afterwards, what the step leaves, and how it ends."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest

import post_report
from conftest import pull_request as pull_request_event
from github_double.emulator import Emulator
from github_double.server import GitHubDouble
from github_double.world import PullRequest
from runner_double import RunnerDouble
from slipway.report import Check, Column, Report, Table, Verdict, comment
from slipway.runner import outputs
from step_kit import in_this_process

SCRIPT = Path(post_report.__file__)
REPOSITORY = "octo/models"
BOT = "github-actions[bot]"
CREATE, UPDATE = "issues/create-comment", "issues/update-comment"
RUN_PAGE = "https://github.test/octo/models/actions/runs"


@dataclass(frozen=True)
class Ran:
    """What a step left: its exit code, all that it printed, its outputs and its summary."""

    code: int
    log: str
    said: dict[str, str]
    summary: str

    @property
    def annotations(self) -> list[tuple[str, str]]:
        """The annotations as people see them: kind and text."""
        found = re.findall(r"^::(notice|warning|error)(?: [^:]*)?::(.*)$", self.log, re.MULTILINE)
        return [(kind, text.replace("%0A", "\n").replace("%25", "%")) for kind, text in found]

    @property
    def file(self) -> str:
        """The rendered comment."""
        return Path(self.said["comment-file"]).read_text(encoding="utf-8")


@dataclass
class Step:
    """A step of a pull request's run; a test changes what it needs before it calls it."""

    folder: Path
    environ: dict[str, str]
    execute: Callable[[dict[str, str]], tuple[int, str]]
    event: dict[str, Any] = field(default_factory=dict)
    runs: int = 0

    def __call__(self, *reports: Path | str, **inputs: str) -> Ran:
        self.runs += 1
        event, output, summary = (self.folder / f"{name}-{self.runs}" for name in ("event", "output", "summary"))
        event.write_text(json.dumps(self.event), encoding="utf-8")
        for file in (output, summary):
            file.touch()
        files = {"GITHUB_EVENT_PATH": event, "GITHUB_OUTPUT": output, "GITHUB_STEP_SUMMARY": summary}
        given = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        environ = {
            "GITHUB_RUN_ID": str(100 + self.runs),
            **self.environ,
            **{name: str(file) for name, file in files.items()},
            "INPUT_REPORTS": "\n".join(map(str, reports)),
            **given,
        }
        code, log = self.execute(environ)
        return Ran(code, log, outputs.read(output), summary.read_text(encoding="utf-8"))

    def pulled(self, number: int = 1, *, sha: str = "a" * 40, repository: str | None = REPOSITORY) -> None:
        """The event: a push to a pull request whose head is in `repository` (None: in a fork deleted since)."""
        head = {"sha": sha, "repo": {"full_name": repository} if repository else None}
        self.event = {"pull_request": {"number": number, "head": head}}


@pytest.fixture
def pull_request(hub: GitHubDouble) -> PullRequest:
    return hub.world.pull_request(hub.world.repository(REPOSITORY))


@pytest.fixture
def environ(hub: GitHubDouble, tmp_path: Path) -> dict[str, str]:
    """What the runner and the action's `env:` block set."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": hub.base_url,
        "GITHUB_SERVER_URL": "https://github.test",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_SHA": "c" * 40,
        "GITHUB_RUN_ATTEMPT": "1",
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "INPUT_GITHUB_TOKEN": hub.world.installation_token(),
    }


@pytest.fixture
def step(
    tmp_path: Path,
    environ: dict[str, str],
    pull_request: PullRequest,
    signals_restored: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Step:
    """The stage in this process."""

    def execute(given: dict[str, str]) -> tuple[int, str]:
        return in_this_process(post_report, given, monkeypatch, capfd)

    made = Step(tmp_path, environ, execute)
    made.pulled(pull_request.number)
    return made


@pytest.fixture
def process(tmp_path: Path, environ: dict[str, str], pull_request: PullRequest) -> Step:
    """The stage in a process of its own, as on a runner."""

    def execute(given: dict[str, str]) -> tuple[int, str]:
        with launched(given) as running:
            said, _ = running.communicate(timeout=60)
        return running.returncode, said

    made = Step(tmp_path, environ, execute)
    made.pulled(pull_request.number)
    return made


def launched(given: dict[str, str]) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env={**kept, **given, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Path]:
    """Write a stage's report; its path."""

    def make(name: str = "evaluate-model", verdict: str = "pass", *, model: str = "flights", **fields: Any) -> Path:
        checks = (Check(name="auc", verdict=Verdict(verdict)),)
        given = {"headline": f"{name} ended.", "checks": checks, **fields}
        made = Report(stage=name, model=model, verdict=Verdict(verdict), **given)
        return made.write(tmp_path / "reports" / model / f"{name}.json")

    return make


Reports = Callable[..., Path]


def texts(hub: GitHubDouble, number: int = 1) -> list[str]:
    return [each.body for each in hub.world.comments.values() if each.number == number]


def assert_left_on_paper(ran: Ran) -> None:
    """The comment is nowhere on GitHub, but in the file, in the summary and in the outputs."""
    assert ran.file.startswith("### ✅ `flights`: may replace production")
    assert ran.file.strip() == ran.summary.strip()
    assert ran.said["verdict"] == "pass"
    assert (ran.said["comment-url"], ran.said["action"]) == ("", "written to a file")


# One comment


def test_main__posts_updates_and_leaves_alone(
    hub: GitHubDouble, step: Step, report: Reports, pull_request: PullRequest
) -> None:
    step.environ["GITHUB_RUN_ID"] = "7"
    first = step(report())
    second = step(report(headline="Better than before."))
    third = step(report(headline="Better than before."))

    (only,) = hub.world.comments_of(pull_request)
    assert [ran.code for ran in (first, second, third)] == [0, 0, 0]
    assert [ran.said["action"] for ran in (first, second, third)] == ["created", "updated", "unchanged"]
    assert [exchange.operation for exchange in hub.log] == [
        *("issues/list-comments", CREATE, "issues/list-comments"),
        *("issues/list-comments", UPDATE),
        "issues/list-comments",
    ]
    assert "Better than before" in only.body
    assert only.author.login == BOT
    assert second.file == only.body + "\n"
    assert second.summary.strip() == only.body
    assert second.said["comment-url"].endswith(f"/octo/models/pull/1#issuecomment-{only.id}")
    assert f"Comment updated: {second.said['comment-url']}" in second.log
    assert second.annotations == []
    assert "commit `aaaaaaaaaaaa`" in only.body
    assert f"[full report]({RUN_PAGE}/7)" in only.body


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive"])
def test_main__reports_every_verdict_without_judging_it(
    hub: GitHubDouble, step: Step, report: Reports, verdict: str
) -> None:
    ran = step(report("validate-data"), report("evaluate-model", verdict, reasons=("Because.",)))

    assert (ran.code, ran.said["verdict"]) == (0, verdict)
    (only,) = texts(hub)
    assert only.startswith(f"### {'✅' if verdict == 'pass' else '❌' if verdict == 'fail' else '⚠️'} `flights`")
    assert ("may replace production" in only) is (verdict == "pass")


def test_main__a_force_push_keeps_the_comment(hub: GitHubDouble, step: Step, report: Reports) -> None:
    step(report())
    step.pulled(sha="b" * 40)

    assert step(report()).said["action"] == "updated"
    (only,) = texts(hub)
    assert "commit `bbbbbbbbbbbb`" in only
    assert "aaaa" not in only


def test_main__every_model_has_a_comment(hub: GitHubDouble, step: Step, report: Reports) -> None:
    for _ in range(2):
        for model in ("flights", "fares", "org/fares", "прогноз -->"):
            assert step(report(model=model)).code == 0

    assert len(texts(hub)) == 4
    assert len({text.splitlines()[-1].split()[2] for text in texts(hub)}) == 4


def test_main__an_older_run_that_ends_later_leaves_the_text(hub: GitHubDouble, step: Step, report: Reports) -> None:
    step.environ["GITHUB_RUN_ID"] = "20"
    step(report(headline="newer"))
    step.environ["GITHUB_RUN_ID"] = "19"
    ran = step(report(headline="older"))

    assert (ran.code, ran.said["action"]) == (0, "left to a newer run")
    assert "older" in ran.file
    (only,) = texts(hub)
    assert "newer" in only


def test_main__a_second_attempt_replaces_the_first(hub: GitHubDouble, step: Step, report: Reports) -> None:
    step.environ["GITHUB_RUN_ID"] = "20"
    for attempt in ("1", "2", "1"):
        step.environ["GITHUB_RUN_ATTEMPT"] = attempt
        step(report(headline=f"attempt {attempt}"))

    (only,) = texts(hub)
    assert "attempt 2" in only


@pytest.mark.parametrize("earlier", [31, 101, 220])
def test_main__finds_its_comment_behind_many(
    hub: GitHubDouble, step: Step, report: Reports, pull_request: PullRequest, earlier: int
) -> None:
    for number in range(earlier):
        hub.world.comment(pull_request, f"comment {number}", author=BOT if number % 2 else "mona")
    hub.world.comment(pull_request, comment.stamp("flights", run_id=999, attempt=1, head_sha=""), author="mallory")

    assert step(report()).said["action"] == "created"
    assert step(report()).said["action"] == "updated"
    assert len(texts(hub)) == earlier + 2


@pytest.mark.parametrize(("overtaken", "overtaking"), [("1", "2"), ("2", "1")])
def test_main__two_runs_race(
    hub: GitHubDouble, step: Step, process: Step, report: Reports, overtaken: str, overtaking: str
) -> None:
    """Another machine's whole run fits between our look and our creation."""
    file = report()
    process.runs, process.environ = 50, {**process.environ, "GITHUB_RUN_ID": overtaking}
    step.environ["GITHUB_RUN_ID"] = overtaken
    hub.before(CREATE, lambda: process(file))

    ran = step(file)

    assert ran.code == 0
    assert len(hub.requests(CREATE)) == 2
    (only,) = texts(hub)
    assert " run=2.1 " in only.splitlines()[-1]
    assert ran.said["action"] == ("left to a newer run" if overtaken == "1" else "updated")


@pytest.mark.parametrize("fault", ["502", "503", "reset"])
def test_main__a_lost_answer_makes_no_second_comment(
    hub: GitHubDouble, step: Step, report: Reports, fault: str
) -> None:
    if fault == "reset":
        hub.cut_next(operation=CREATE, applied=True)
    else:
        hub.fail_next(int(fault), operation=CREATE, applied=True)

    ran = step(report())

    assert (ran.code, ran.said["action"]) == (0, "created")
    assert len(texts(hub)) == 1


def test_main__leaves_the_full_report_as_a_page(step: Step, report: Reports) -> None:
    tables = (Table(title="Long", columns=(Column(name="c"),), rows=(("only on the page",),), detail=True),)
    ran = step(report(tables=tables))

    page = Path(ran.said["page"])
    assert page.parent == Path(ran.said["comment-file"]).parent
    shown = page.read_text(encoding="utf-8")
    assert "<h1>flights: may replace production</h1>" in shown
    assert "only on the page" in shown and "only on the page" not in ran.file
    assert f'href="{RUN_PAGE}/101"' in shown


def test_main__the_page_is_there_where_the_comment_was_refused(hub: GitHubDouble, step: Step, report: Reports) -> None:
    ran = step(report(), github_token=hub.world.installation_token(issues="read", pull_requests="read"))
    assert ran.code == 1
    assert Path(ran.said["page"]).is_file()


def test_main__a_push_is_not_told_to_merge(step: Step, report: Reports) -> None:
    step.environ["GITHUB_EVENT_NAME"] = "push"
    step.event = {}
    assert "Merge" not in step(report()).file


# Which pull request


def test_main__the_input_names_the_pull_request(hub: GitHubDouble, step: Step, report: Reports) -> None:
    hub.world.pull_request(hub.world.repositories[REPOSITORY], branch="second")

    assert step(report(), pull_request="2").said["action"] == "created"
    step.event, step.environ["GITHUB_EVENT_NAME"] = {"ref": "refs/heads/main"}, "push"
    assert step(report(), pull_request="2").said["action"] == "updated"
    assert (len(texts(hub, 1)), len(texts(hub, 2))) == (0, 1)


def test_main__the_input_names_the_commit(step: Step, report: Reports) -> None:
    step.event, step.environ["GITHUB_EVENT_NAME"] = {"inputs": {}}, "workflow_dispatch"
    step.environ["GITHUB_SHA"] = "c" * 40

    ran = step(report("validate-data"), pull_request="1", commit="d" * 40)

    assert "commit `dddddddddddd`" in ran.file
    assert ran.file.endswith(f"head={'d' * 40} -->\n")
    assert "dddddddddddd" in Path(ran.said["page"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("given", ["main", "d" * 12, f"{'d' * 40} -->"])
def test_main__a_commit_is_its_whole_id(step: Step, report: Reports, given: str) -> None:
    ran = step(report(), commit=given)

    assert ran.code == 1
    assert ran.annotations[0][1].startswith(f"`commit` is `{given}`, which is no commit's id.")


@pytest.mark.parametrize(("given", "problem"), [("two", "a whole number"), ("#2", "a whole number")])
def test_main__a_pull_request_is_a_number(step: Step, report: Reports, given: str, problem: str) -> None:
    ran = step(report(), pull_request=given)

    assert ran.code == 1
    assert ran.annotations[0][1].startswith(f"`pull-request` must be {problem}, not `{given}`.")


def test_main__an_event_without_a_pull_request(hub: GitHubDouble, step: Step, report: Reports) -> None:
    step.event, step.environ["GITHUB_EVENT_NAME"] = {"ref": "refs/heads/main"}, "push"

    ran = step(report())

    assert ran.code == 0
    ((kind, said),) = ran.annotations
    assert kind == "notice"
    assert said.startswith("No comment was posted: the event `push` has no pull request")
    assert ran.said["comment-file"] in said
    assert_left_on_paper(ran)
    assert "commit `cccccccccccc`" in ran.file
    assert hub.log == []


def test_main__no_token(hub: GitHubDouble, step: Step, report: Reports) -> None:
    ran = step(report(), github_token="")

    assert ran.code == 0
    assert ran.annotations[0][1].startswith("No comment was posted: no `github-token` was given.")
    assert_left_on_paper(ran)
    assert hub.log == []


def test_main__on_a_persons_machine(
    hub: GitHubDouble, step: Step, report: Reports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    step.environ, step.event = {"INPUT_GITHUB_TOKEN": step.environ["INPUT_GITHUB_TOKEN"]}, {}

    ran = step(report())

    assert ran.code == 0
    assert "No comment was posted: this is not a run of GitHub Actions." in ran.log
    assert ran.said["comment-file"] == str(tmp_path / ".slipway" / "reports" / "flights" / "comment.md")
    assert_left_on_paper(ran)
    assert hub.log == []


def test_main__the_link_can_lead_elsewhere(hub: GitHubDouble, step: Step, report: Reports) -> None:
    step(report(), full_report="https://reports.test/7")

    assert "[full report](https://reports.test/7)" in texts(hub)[0]


# Reports


def test_main__a_stage_without_a_report_is_never_a_pass(
    hub: GitHubDouble, step: Step, report: Reports, tmp_path: Path
) -> None:
    ran = step(report("validate-data"), tmp_path / "train-model.json", tmp_path / "evaluate-model.json")

    assert (ran.code, ran.said["verdict"]) == (0, "inconclusive")
    (only,) = texts(hub)
    assert "- train\\-model left no report\\: it did not run, or broke before its end.\n" in only
    assert only.startswith("### ⚠️ `flights`: not judged")


def test_main__an_empty_line_is_a_stage_without_a_report(hub: GitHubDouble, step: Step, report: Reports) -> None:
    """`${{ steps.evaluate.outputs.report }}` of a step that was skipped."""
    ran = step(report("validate-data"), "", "  ")

    assert (ran.code, ran.said["verdict"]) == (0, "inconclusive")
    (only,) = texts(hub)
    assert only.count("left no report") == 2
    assert only.startswith("### ⚠️ `flights`: not judged")


def test_main__no_report_at_all(hub: GitHubDouble, step: Step, tmp_path: Path) -> None:
    absent = tmp_path / "evaluate-model.json"

    nameless = step(absent)
    named = step(absent, model="flights")

    assert nameless.code == 1
    assert nameless.annotations[0][1].startswith("None of the 1 reports exists, so there is nothing to post.")
    assert (named.code, named.said["verdict"], named.said["action"]) == (0, "inconclusive", "created")
    assert "evaluate\\-model left no report" in texts(hub)[0]


def test_main__reports_are_required(hub: GitHubDouble, step: Step) -> None:
    ran = step()

    assert ran.code == 1
    assert ran.annotations[0][1].startswith("`reports` is required and was not given.")
    assert hub.log == []


def test_main__reports_of_two_models(hub: GitHubDouble, step: Step, report: Reports) -> None:
    ran = step(report(model="flights"), report(model="fares"))

    assert (ran.code, ran.said) == (1, {})
    assert ran.annotations[0][1].startswith("The reports speak of 2 models: fares, flights.")
    assert "Call post-report once for each model" in ran.annotations[0][1]
    assert hub.log == []


GOOD = '{"stage": "evaluate-model", "model": "flights", "verdict": "pass"}'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        '"pass"',
        "verdict: pass",
        GOOD[:-1],
        GOOD.replace('"pass"', '"Pass"'),
        GOOD.replace('"pass"', "true"),
        GOOD.replace(', "verdict": "pass"', ""),
        GOOD.replace("}", ', "approved": true}'),
        GOOD.replace("}", ', "schema_version": 2}'),
        GOOD.replace("}", ', "seconds": NaN}'),
        GOOD.replace("}", ', "provenance": {"rows": Infinity}}'),
        GOOD.replace("}", ', "provenance": {"rows": 1e999}}'),
        GOOD.replace("}", ', "provenance": {"rows": {"a": 1}}}'),
        GOOD.replace("}", f', "provenance": {{"rows": {"9" * 5000}}}}}'),
        GOOD.replace("}", ', "checks": [{"name": "x", "verdict": "pass", "weight": 1}]}'),
        GOOD.replace("}", f', "reasons": {"[" * 100_000}'),
        GOOD.replace("}", ', "tables": [{"title": "t", "columns": [{"name": "a"}], "rows": [[1, 2]]}]}'),
        GOOD.replace("flights", "\\ud800"),
        GOOD.encode("utf-16"),
        GOOD.encode() + b"\xff",
        GOOD.encode() + b" " * post_report.LARGEST_REPORT,
    ],
    ids=lambda content: ascii(content[-40:]),
)
def test_main__what_is_no_report_is_refused(
    hub: GitHubDouble, step: Step, report: Reports, tmp_path: Path, content: str | bytes
) -> None:
    file = tmp_path / "evaluate-model.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)

    ran = step(report("validate-data"), file)

    assert (ran.code, ran.said) == (1, {})
    ((kind, said),) = ran.annotations
    assert kind == "error"
    assert said.startswith(str(file))
    assert len(said) < 2000
    assert hub.log == []


def test_main__a_folder_is_no_report(hub: GitHubDouble, step: Step, report: Reports, tmp_path: Path) -> None:
    ran = step(report(), tmp_path)

    assert (ran.code, ran.said["verdict"]) == (0, "inconclusive")


@pytest.mark.parametrize("model", ["../../../escaped", "/escaped", "..", "a\0b", "x" * 300, "a/../../..", "::x"])
def test_main__a_models_name_leads_out_of_no_folder(hub: GitHubDouble, step: Step, tmp_path: Path, model: str) -> None:
    file = Report(stage="evaluate-model", model=model, verdict=Verdict.PASS).write(tmp_path / "in" / "evaluate.json")

    ran = step(file)

    assert ran.code == 0
    assert Path(ran.said["comment-file"]).resolve().is_relative_to(tmp_path / "temp" / "slipway" / "reports")
    assert len(list(tmp_path.rglob("*.md"))) == 1
    assert len(texts(hub)) == 1


HOSTILE = [
    "@octo/admins ping",
    "see #1 and GH-1 and octo/models#1",
    "[approve](https://evil.test)",
    "![x](https://evil.test/x.png)",
    "https://evil.test www.evil.test",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "</details></table><h1>PASS</h1>",
    "<!-- slipway:report model=0 run=9.9 head= -->",
    "x\n\n### ✅ may replace production\n\n| a |\n|---|",
    "::error::forged\n::stop-commands::x",
    "`code` ``` | pipe | \\| \u202eesrever",
    "&lt;b&gt; &#64;octo",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_main__text_of_a_report_is_only_text(hub: GitHubDouble, step: Step, report: Reports, text: str) -> None:
    table = Table(
        title=text, columns=(Column(name=text), Column(name="c", kind="code")), rows=((text, text),), note=text
    )
    checks = (Check(name=text, verdict=Verdict.FAIL, detail=text, examples=(text,)),)
    reasons = {"headline": text, "reasons": (text,)}
    files = [
        report(
            "evaluate-model",
            "fail",
            model="m " + text.replace("/", "-").replace("\n", " ")[:40],
            **reasons,
            tables=(table, table.model_copy(update={"folded": True})),
            provenance={text: text},
        ),
        report(
            re.sub("[^a-z]", "", text)[:9] or "x",
            "fail",
            model="m " + text.replace("/", "-").replace("\n", " ")[:40],
            **reasons,
            checks=checks,
        ),
    ]

    ran = step(*files)

    assert ran.code == 0, ran.log
    (only,) = texts(hub)
    shown = cmarkgfm.github_flavored_markdown_to_html(only, options=cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE)
    assert re.findall(r"<a [^>]*>", shown) == [f'<a href="{RUN_PAGE}/101">']
    known = r"h3|p|ul|li|br|table|thead|tbody|tr|th|td|strong|sub|a|code|details|summary"
    assert re.findall(rf"</?(?!(?:{known})\b)[a-z]\w*", shown) == []
    assert shown.count("<h3>") == 1
    assert "</h3>" in shown.splitlines()[0]
    prose = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<code>.*?</code>|<!--.*?-->", "", shown)))
    assert not re.search(r"@\w|#\d|GH-\d|https?:|www\.", prose.replace("https\u200b", ""))
    assert "\u202e" not in only
    assert re.findall("<!--.*?-->", re.sub("<code>.*?</code>", "", shown)) == [only.splitlines()[-1]]
    assert ran.annotations == []
    assert step(*files).said["action"] == "updated"


def test_main__a_giant_table_ends_with_a_link(hub: GitHubDouble, step: Step, report: Reports) -> None:
    rows = tuple((f"slice {number} 🚢", number / 7) for number in range(20_000))
    table = Table(title="Slices", columns=(Column(name="slice"), Column(name="auc", kind="number")), rows=rows)

    ran = step(report(tables=(table,)))

    assert ran.code == 0
    (only,) = texts(hub)
    assert len(only.encode("utf-16-le")) // 2 <= 65_536
    assert "*and 19,800 more*" in only
    assert only.startswith("### ✅ `flights`: may replace production")
    assert f"Everything is in the [full report]({RUN_PAGE}/101)." in only
    assert only.splitlines()[-1].startswith(comment.marker("flights"))
    assert step(report()).said["action"] == "updated"


# Refusals


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("bad token", ["the token is not valid", "Bad credentials", "github-token: ${{ github.token }}"]),
        ("no token", ["it has spaces, line ends", "github-token: ${{ github.token }}"]),
        ("read-only token", ["Resource not accessible by integration", "permissions:\n    pull-requests: write"]),
        ("no repository", ["(404)", "Not Found", "Check the number."]),
        ("no pull request", ["(404)", "Not Found", "pull request #5"]),
        ("locked", ["Unable to create comment because issue is locked.", "Unlock"]),
        ("primary limit", ["API rate limit exceeded", "run the job again later"]),
        ("secondary limit", ["secondary rate limit", "run the job again later"]),
        ("outage", ["(503)", "status page"]),
        ("HTML page", ["(502)", "Unicorn!"]),
        ("refused", ["did not answer", "Connection refused"]),
        ("reset", ["did not answer", "reset by peer"]),
    ],
)
def test_main__a_refusal_leaves_everything_but_the_comment(
    hub: GitHubDouble, step: Step, report: Reports, monkeypatch: pytest.MonkeyPatch, case: str, words: list[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    reader = hub.world.installation_token(issues="read", pull_requests="read")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        match case:
            case "bad token":
                step.environ["INPUT_GITHUB_TOKEN"] = "ghs_" + "0" * 36
            case "no token":
                step.environ["INPUT_GITHUB_TOKEN"] = "ghp_a bad token"
            case "read-only token":
                step.environ["INPUT_GITHUB_TOKEN"] = reader
            case "no repository":
                step.environ["GITHUB_REPOSITORY"] = "octo/other"
                step.pulled(repository="octo/other")
            case "no pull request":
                step.pulled(5)
            case "locked":
                hub.fail_next(403, operation=CREATE, message="Unable to create comment because issue is locked.")
            case "primary limit":
                hub.fail_next(403, message="API rate limit exceeded for installation ID 1.")
            case "secondary limit":
                hub.limit_next(times=4, operation=CREATE, retry_after=5)
            case "outage":
                hub.fail_next(503, times=4)
            case "HTML page":
                hub.fail_next(502, times=2, operation=CREATE, page="<html><h1>Unicorn!</h1></html>")
            case "refused":
                step.environ["GITHUB_API_URL"] = f"http://127.0.0.1:{bound.getsockname()[1]}"
            case "reset":
                hub.cut_next(times=4)

        ran = step(report())

    assert ran.code == 1
    ((kind, said),) = ran.annotations
    assert kind == "error"
    assert [word for word in words if word not in said] == []
    assert (ran.said["comment-file"] in said) is (case != "no token")
    assert_left_on_paper(ran)
    assert texts(hub) == []
    assert "Traceback" not in ran.log
    printed = ran.log.replace(f"::add-mask::{step.environ['INPUT_GITHUB_TOKEN']}", "")
    assert step.environ["INPUT_GITHUB_TOKEN"] not in printed


@pytest.mark.parametrize("fork", ["mona/models", None])
def test_main__a_forks_pull_request_warns(hub: GitHubDouble, step: Step, report: Reports, fork: str | None) -> None:
    step.pulled(repository=fork)

    ran = step(report(), github_token=hub.world.installation_token(issues="read", pull_requests="read"))

    assert ran.code == 0
    ((kind, said),) = ran.annotations
    assert kind == "warning"
    assert "comes from a fork" in said
    assert "Nothing is wrong in your setup" in said
    assert_left_on_paper(ran)


def test_main__a_forks_pull_request_with_a_token_that_may(hub: GitHubDouble, step: Step, report: Reports) -> None:
    """Private repositories can be set so; `pull_request_target` always is."""
    step.pulled(repository="mona/models")

    assert step(report()).said["action"] == "created"


@pytest.mark.parametrize("case", ["pull_request_target", "another pull request"])
def test_main__a_read_only_token_that_is_not_the_forks_fault(
    hub: GitHubDouble, step: Step, report: Reports, case: str
) -> None:
    hub.world.pull_request(hub.world.repositories[REPOSITORY], branch="second")
    step.pulled(repository="mona/models")
    given = {"github_token": hub.world.installation_token(issues="read", pull_requests="read")}
    if case == "pull_request_target":
        step.environ["GITHUB_EVENT_NAME"] = case
    else:
        given["pull_request"] = "2"

    ran = step(report(), **given)

    assert ran.code == 1
    assert "pull-requests: write" in ran.annotations[0][1]


def test_main__a_defect_of_ours(step: Step, report: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("slipway.github_api.comments.post", broken)

    ran = step(report())

    assert ran.code == 2
    assert ran.annotations[0][1].startswith("Defect in Slipway: ZeroDivisionError: a defect")
    assert_left_on_paper(ran)


# Accounts


def test_main__a_persons_token(hub: GitHubDouble, step: Step, report: Reports, pull_request: PullRequest) -> None:
    step.environ["INPUT_GITHUB_TOKEN"] = hub.world.user_token("mona")

    assert [step(report()).said["action"] for _ in range(2)] == ["created", "updated"]
    (only,) = hub.world.comments_of(pull_request)
    assert only.author.login == "mona"


def test_main__an_apps_token(hub: GitHubDouble, step: Step, report: Reports, pull_request: PullRequest) -> None:
    step.environ["INPUT_GITHUB_TOKEN"] = hub.world.installation_token("my-app")

    told = [step(report(), comment_author="my-app[bot]") for _ in range(2)]
    assert [ran.said["action"] for ran in told] == ["created", "updated"]
    assert [ran.annotations for ran in told] == [[], []]
    assert len(hub.requests(CREATE)) == 1

    untold = step(report())
    assert (untold.code, untold.said["action"]) == (0, "updated")
    assert untold.annotations[0][0] == "warning"
    assert "set `comment-author: my-app[bot]`" in untold.annotations[0][1]
    (only,) = hub.world.comments_of(pull_request)
    assert only.author.login == "my-app[bot]"


# The process


def test_process__the_token_is_nowhere(hub: GitHubDouble, process: Step, report: Reports) -> None:
    token = process.environ["INPUT_GITHUB_TOKEN"]
    command_lines: list[str] = []

    def look() -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command_lines.append(path.read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue  # it ended in this moment

    hub.before(CREATE, look)
    created = process(report())
    hub.fail_next(403, operation=UPDATE, message="Resource not accessible by integration")
    refused = process(report())

    assert (created.code, refused.code) == (0, 1)
    assert created.log.splitlines()[0] == f"::add-mask::{token}"
    for ran in (created, refused):
        assert token not in ran.log.replace(f"::add-mask::{token}", "", 1)
        assert token not in ran.summary + ran.file + str(ran.said)
    assert not any(token in line for line in command_lines)
    assert not any(token in text for text in texts(hub))
    if command_lines:
        assert any("post_report.py" in line for line in command_lines)
    assert hub.requests(CREATE)[0].headers["Authorization"].endswith(token)


def test_process__a_command_line_takes_no_token(report: Reports) -> None:
    command = [sys.executable, str(SCRIPT), f"--reports={report()}", "--github-token=ghs_secret"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "`github-token` is a secret and has no option." in done.stderr
    assert "ghs_secret" not in done.stdout + done.stderr


def test_process__a_cancelled_run_ends_at_once(hub: GitHubDouble, process: Step, report: Reports) -> None:
    """GitHub is slow, and the workflow is cancelled meanwhile."""
    arrived, answered = threading.Event(), threading.Event()

    def be_slow() -> None:
        arrived.set()
        answered.wait(30)

    hub.before(CREATE, be_slow)

    def execute(given: dict[str, str]) -> tuple[int, str]:
        with launched(given) as child:
            arrived.wait(30)
            child.send_signal(signal.SIGTERM)
            said, _ = child.communicate(timeout=30)
        answered.set()
        return child.returncode, said

    process.execute = execute
    ran = process(report())

    assert ran.code == 130
    assert ran.annotations == [("warning", "Cancelled: the stage stopped before its end.")]
    assert_left_on_paper(ran)


def test_process__imports_nothing_heavy(process: Step, report: Reports) -> None:
    """A report is posted while the big libraries would still be loading."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import post_report\nprint(*sys.modules)\n"
        "from slipway.github_api import client, comments\nprint(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    early, late = ({name.partition(".")[0] for name in line.split()} for line in done.stdout.splitlines())
    heavy = {"pandas", "sklearn", "mlflow", "numpy", "polars", "pandera", "scipy", "yaml", "hypothesis"}
    assert late & heavy == set()
    # What a run without a pull request need not pay.
    assert early & {"github", "requests", "urllib3", "tabulate"} == set()


def test_action__as_declared(
    hub: GitHubDouble, environ: dict[str, str], tmp_path: Path, environments_cache: Path, report: Reports
) -> None:
    """The composite's own steps, with the outputs of two steps that were skipped."""
    runner = RunnerDouble(
        workspace=tmp_path,
        temp=tmp_path / "temp",
        event=pull_request_event(1),
        env={"SLIPWAY_CACHE": str(environments_cache)},
        api_url=hub.base_url,
    )
    given = {"github-token": environ["INPUT_GITHUB_TOKEN"], "reports": f"{report('validate-data')}\n\n\n"}
    hub.world.pull_request(hub.world.repository(REPOSITORY))

    result = runner.run_action(SCRIPT.parents[1] / "actions" / "post-report", given)

    assert result.code == 0, result.log
    (only,) = texts(hub)
    assert only.count("left no report") == 2
    assert result.outputs == {
        "verdict": "inconclusive",
        "comment-file": str(tmp_path / "temp" / "slipway" / "reports" / "flights" / "comment.md"),
        "page": str(tmp_path / "temp" / "slipway" / "reports" / "flights" / "report.html"),
        "comment-url": f"{hub.html_url}/{REPOSITORY}/pull/1#issuecomment-{next(iter(hub.world.comments))}",
        "action": "created",
        "report": str(tmp_path / "temp" / "slipway" / "reports" / "flights" / "post-report.json"),
    }
    own = Report.read(Path(result.outputs["report"]))
    assert own.links == {"comment": result.outputs["comment-url"]}
    assert own.verdict.value == "inconclusive"
    # The file ends with a line end, the comment does not.
    digest = hashlib.sha256(only.encode() + b"\n").hexdigest()
    assert own.subjects[0].id == f"sha256:{digest}"
    assert result.summary.strip() == only
    assert environ["INPUT_GITHUB_TOKEN"] not in result.log


# The second opinion


@pytest.mark.node
def test_main__the_emulator_agrees(emulated_github: Emulator, step: Step, report: Reports) -> None:
    repository = "octocat/models"
    number = emulated_github.open_pull_request(repository, branch="post-report")
    path = f"/repos/{repository}/issues/{number}/comments"
    for index in range(105):
        emulated_github.request("POST", path, login="mona", body=f"comment {index}")
    step.environ |= {
        "GITHUB_API_URL": emulated_github.base_url,
        "GITHUB_REPOSITORY": repository,
        "INPUT_GITHUB_TOKEN": emulated_github.tokens["octocat"],
    }
    step.pulled(number, repository=repository)

    first, second = step(report()), step(report(headline="Better than before."))
    other = step(report(model="fares"))
    step.environ["GITHUB_RUN_ID"] = "102"
    same = step(report(headline="Better than before."))

    ran = [first, second, other, same]
    assert [each.code for each in ran] == [0, 0, 0, 0], first.log
    assert [each.said["action"] for each in ran] == ["created", "updated", "created", "unchanged"]
    ours = emulated_github.request("GET", f"{path}?per_page=100&page=2")[5:]
    assert [each["user"]["login"] for each in ours] == ["octocat", "octocat"]
    assert [each["body"] for each in ours] == [second.file.rstrip("\n"), other.file.rstrip("\n")]
    # A person whose comment ends with our marker keeps it.
    step.environ["INPUT_GITHUB_TOKEN"] = emulated_github.tokens["mona"]
    assert step(report()).said["action"] == "created"
    assert len(emulated_github.request("GET", f"{path}?per_page=100&page=2")) == 8
