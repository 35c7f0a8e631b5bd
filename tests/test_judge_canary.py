"""The stage as its step runs it: over several runs, with its state in a real ledger, from each source."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

import judge_canary
from canary_kit import arm
from conftest import GitRepository, pull_request
from ledger_kit import clone, subjects
from slipway.canary.observations import Observation
from slipway.policy.canary import ObservationSource
from slipway.runner.errors import InputError
from slipway.targets.protocol import Target
from slipway.watching import record, sources
from step_kit import Ran, in_this_process, left, variables
from targets_kit import Stand, standing

MODEL = "flights"
STAGES = [{"share": 0.1, "minutes": 2, "requests": 100}, {"share": 0.5, "minutes": 2, "requests": 100}]
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


@dataclass
class Step:
    """A step of a scheduled run in a clone, and the file that its observations are appended to."""

    folder: Path
    clone: GitRepository
    execute: Callable[[dict[str, str]], tuple[int, str]]
    event: dict[str, Any] = field(default_factory=lambda: {"schedule": "*/5 * * * *"})
    runs: int = 0

    @property
    def file(self) -> Path:
        return self.clone.path / "observations.jsonl"

    def policy(self, **said: Any) -> None:
        canary = {"stages": STAGES, "observations": {"file": "observations.jsonl"}, **said}
        text = yaml.safe_dump({"version": 1, "model": MODEL, "canary": canary})
        (self.clone.path / "slipway.yml").write_text(text, encoding="utf-8")

    def observe(self, observations: Iterable[Observation]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(f"{each.model_dump_json()}\n" for each in observations)

    def __call__(self, environ: dict[str, str] | None = None, **inputs: str) -> Ran:
        self.runs += 1
        asked = {"canary_version": "8", "baseline_version": "7", "remote": str(self.folder / "up.git"), **inputs}
        given = {
            **variables(self.folder, self.runs, self.event, asked),
            "GITHUB_REPOSITORY": "octo/models",
            "GITHUB_EVENT_NAME": "schedule",
            **(environ or {}),
        }
        return left(given, *self.execute(given))

    @property
    def entries(self) -> list[str]:
        return subjects(self.folder / "up.git")


@pytest.fixture
def step(
    tmp_path: Path, signals_restored: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Step:
    """The stage in this process."""
    made = Step(tmp_path, clone(tmp_path / "up.git", tmp_path / "clone"), lambda _: (0, ""))

    def execute(given: dict[str, str]) -> tuple[int, str]:
        return in_this_process(judge_canary, given, monkeypatch, capfd, made.clone.path)

    made.execute = execute
    made.policy()
    return made


def minutes(
    first: int, last: int, canary: tuple[int, int], baseline: tuple[int, int], **said: Any
) -> list[Observation]:
    """Observations of whole minutes after BEGAN, both ends included."""
    found = []
    for minute in range(first, last + 1):
        since = BEGAN + timedelta(minutes=minute - 1)
        arms: dict[str, Any] = {
            "canary": arm(*canary, since=since, version="8"),
            "baseline": arm(*baseline, since=since, version="7"),
        }
        found.append(Observation(at=since + timedelta(minutes=1), **arms, **said))
    return found


TENTH = {"canary": (1_000, 100), "baseline": (9_000, 900)}
HALF = {"canary": (5_000, 500), "baseline": (5_000, 500)}


def later(observations: list[Observation]) -> list[Observation]:
    """The same as of now: after the step before them."""
    by = datetime.now(UTC) + timedelta(seconds=1) - min(each.canary.since or each.at for each in observations)

    def moved(each: Observation) -> Observation:
        since = each.canary.since
        assert since is not None
        arms = {name: getattr(each, name).model_copy(update={"since": since + by}) for name in ("canary", "baseline")}
        return each.model_copy(update={"at": each.at + by, **arms})

    return [moved(each) for each in observations]


def test_main__from_the_first_look_to_promotion(step: Step) -> None:
    step.observe(minutes(1, 1, **TENTH))
    first = step()
    assert first.code == 0, first.log
    assert (first.said["decision"], first.said["verdict"], first.said["share"]) == ("continue", "inconclusive", "0.1")
    step.observe(minutes(2, 3, **TENTH))
    second = step()
    assert (second.said["decision"], second.said["verdict"]) == ("advance", "pass")
    assert (second.said["share"], second.said["canary-stage"]) == ("0.5", "2")
    step.observe(later(minutes(1, 3, **HALF)))
    third = step()
    assert (third.code, third.said["decision"], third.said["share"]) == (0, "promote", "1.0"), third.log
    assert [each.split(": ")[0] for each in step.entries] == [
        "Begin the ledger",
        "Canary 8 at 0.1 of the traffic after 1 look",
        "Canary 8 from 0.1 to 0.5 of the traffic after 2 looks",
        "Canary 8 at 0.5 of the traffic after 4 looks",
    ]
    listed = ["git", "ls-tree", "--name-only", "slipway-ledger"]
    kept = subprocess.run(listed, cwd=step.folder / "up.git", check=True, capture_output=True, text=True).stdout
    assert kept.split() == ["entry.json", "report.json", "state.json"]
    # Whoever has to act may have been killed: the decision is said again, and nothing is looked at.
    again = step()
    assert (again.said["decision"], again.said["share"], len(step.entries)) == ("promote", "1.0", 4)
    assert "decided before" in again.messages("warning")


def test_main__rolls_back_and_succeeds_so_that_the_next_step_can_act(step: Step) -> None:
    step.observe(minutes(1, 2, (1_000, 400), (9_000, 900)))
    done = step()
    assert (done.code, done.said["decision"], done.said["verdict"], done.said["share"]) == (
        0,
        "roll-back",
        "fail",
        "0.0",
    )
    assert "Canary 8 at 0.1 of the traffic after 1 look: roll-back." in done.messages("error")
    check = next(each for each in done.report.checks if each.name == "errors")
    assert check.verdict == "fail"
    assert check.values["ratio"] == pytest.approx(4.0, rel=0.01)
    assert "400 of 1,000" in done.summary.replace("\N{NO-BREAK SPACE}", " ")


def test_main__report_and_page_show_the_evidence_over_looks(step: Step) -> None:
    step.policy(metrics={"errors": {"margin": 1.01, "floor": 0}})
    step.observe(minutes(1, 5, **TENTH))
    done = step()
    (chart,) = done.report.charts
    # Both limits are 20 here, and one line would hide the other.
    assert [each.name for each in chart.series] == ["harm", "no harm", "either is shown"]
    assert len(chart.series[0].points) == 5
    page = Path(done.said["page"]).read_text(encoding="utf-8")
    assert "<svg" in page
    assert "Evidence on errors" in page
    assert {each.role: each.name for each in done.report.subjects} == {
        "candidate": "8",
        "production": "7",
        "policy": "slipway.yml",
    }
    assert done.report.provenance["looks"] == 5


@pytest.mark.parametrize(("on_inconclusive", "code"), [("warn", 0), ("fail", 1)])
def test_main__at_the_horizon_a_person_decides(step: Step, on_inconclusive: str, code: int) -> None:
    # Nanoseconds: over at whatever look comes after the first, however fast this machine is.
    step.policy(horizon_hours=1e-12, metrics={"errors": {"floor": 0}}, on_inconclusive=on_inconclusive)
    step.observe(minutes(1, 1, (10, 0), (90, 0)))
    step()
    done = step()
    assert (done.code, done.said["decision"], done.said["share"], done.said["verdict"]) == (
        code,
        "inconclusive",
        "",
        "inconclusive",
    )


def test_main__nothing_to_see_is_a_look_that_changes_nothing(step: Step) -> None:
    step.file.touch()
    done = step()
    assert (done.code, done.said["decision"], done.report.checks[0].verdict) == (0, "continue", "inconclusive")
    assert "There was no new observation." in done.report.reasons


def test_main__rules_that_change_on_the_way_are_refused(step: Step) -> None:
    step.observe(minutes(1, 1, **TENTH))
    assert step().code == 0
    step.policy(alpha=0.5)
    done = step()
    assert (done.code, done.said["verdict"], done.said["share"]) == (1, "inconclusive", "")
    assert "another than when the canary began" in done.messages("error")
    anew = step(begin_anew="true")
    assert (anew.code, anew.report.provenance["looks"]) == (0, 0)
    assert len(step.entries) == 3
    step.policy(alpha=0.5, observations={"command": "false"}, on_inconclusive="fail")
    assert "another than" not in step().messages("error")


def unnamed(observations: list[Observation]) -> list[Observation]:
    return [
        each.model_copy(
            update={name: getattr(each, name).model_copy(update={"version": None}) for name in ("canary", "baseline")}
        )
        for each in observations
    ]


def test_main__what_an_earlier_canary_left_in_the_file_counts_for_no_later_one(step: Step) -> None:
    step.observe(minutes(1, 3, (1_000, 400), (9_000, 900)))
    assert step().said["decision"] == "roll-back"
    later_one = step(canary_version="9")
    assert (later_one.said["decision"], later_one.report.provenance["looks"]) == ("continue", 0)
    step.file.write_text("", encoding="utf-8")
    step(canary_version="11")
    # Nobody can tell of which canary lines without versions are: they count from its beginning on.
    step.observe(unnamed(minutes(4, 6, (1_000, 400), (9_000, 900))))
    for version in ("10", "11"):
        other = step(canary_version=version)
        assert (other.said["decision"], other.report.provenance["looks"]) == ("continue", 0)
    step.observe(unnamed(later(minutes(1, 1, (1_000, 400), (9_000, 900)))))
    assert step(canary_version="10").said["decision"] == "roll-back"


def test_main__another_baseline_on_the_way_is_refused(step: Step) -> None:
    step.observe(minutes(1, 1, **TENTH))
    assert step().code == 0
    done = step(baseline_version="6")
    assert done.code == 1
    assert "began beside version 7, and is now beside 6" in done.messages("error")
    assert step(baseline_version="6", begin_anew="true").code == 0
    assert step(baseline_version="6").code == 0


def test_main__two_runs_at_the_same_time_make_one_look(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    step.observe(minutes(1, 1, **TENTH))
    append = record.Keeper.append
    rivals: list[Ran] = []

    def raced(self: record.Keeper, *given: Any, **said: Any) -> Any:
        monkeypatch.setattr(record.Keeper, "append", append)
        rivals.append(step(environ={"SLIPWAY_HOME": str(step.folder / "other")}))
        return append(self, *given, **said)

    monkeypatch.setattr(record.Keeper, "append", raced)
    done = step()
    assert (done.code, rivals[0].code, len(step.entries)) == (0, 0, 2)
    assert "Another run looked at the same time" in done.messages("warning") + rivals[0].messages("warning")


def test_main__what_is_not_on_record_leads_to_nothing_but_a_rollback(step: Step) -> None:
    step.observe(minutes(1, 3, **TENTH))
    step()
    hook = step.folder / "up.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    step.observe(later(minutes(1, 3, **HALF)))
    done = step()
    assert (done.code, done.said["decision"], done.said["share"]) == (0, "continue", "")
    assert "not on record" in done.messages("warning")
    # It waits on this machine as promoted, and is not said to be until others can see it.
    assert step().said["decision"] == "continue"
    hook.unlink()
    assert step().said["decision"] == "promote"


def test_main__a_rollback_does_not_wait_for_the_record(step: Step) -> None:
    hook = step.folder / "up.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    step.observe(minutes(1, 1, (1_000, 400), (9_000, 900)))
    done = step()
    assert (done.code, done.said["decision"], done.said["share"], done.said["head"]) == (0, "roll-back", "0.0", "")
    assert "not on record" in done.messages("warning")


def test_main__an_altered_ledger_is_an_error(step: Step) -> None:
    step.observe(minutes(1, 1, **TENTH))
    step()
    bare = step.folder / "up.git"
    tree = (
        subprocess.run(["git", "mktree"], cwd=bare, input=b"", check=True, capture_output=True).stdout.decode().strip()
    )
    commit = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit-tree", tree, "-m", "x"]
    parent = ["-p", "slipway-ledger"]
    name = subprocess.run([*commit, *parent], cwd=bare, check=True, capture_output=True).stdout.decode().strip()
    subprocess.run(["git", "update-ref", "refs/heads/slipway-ledger", name], cwd=bare, check=True)
    done = step()
    assert (done.code, done.said["decision"], done.said["share"]) == (1, "continue", "")
    assert "was altered" in done.messages("error")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"canary_version": "7"}, "version is not held against itself"),
        ({"canary_version": '8"} or vector(1)'}, "`canary-version` must be letters"),
    ],
)
def test_main__refuses_versions_that_are_none(step: Step, inputs: dict[str, Any], said: str) -> None:
    done = step(**inputs)
    assert done.code == 1
    assert said in done.messages("error")


def test_main__a_pull_request_looks_at_nothing(step: Step) -> None:
    step.event = pull_request()
    done = step(environ={"GITHUB_EVENT_NAME": "pull_request"})
    assert done.code == 1
    assert step.clone.path.parent.joinpath("up.git").exists()
    assert not done.said.get("page")


def test_main__another_branch_looks_at_nothing(step: Step) -> None:
    step.event = {"repository": {"full_name": "octo/models", "default_branch": "main"}}
    done = step(environ={"GITHUB_REF": "refs/heads/change"})
    assert done.code == 1
    assert "what is served is decided by runs of `main`" in done.messages("error")
    assert not done.said.get("page")


@pytest.mark.parametrize("canary", [None, {"stages": STAGES}])
def test_main__asks_for_the_section(step: Step, canary: dict[str, Any] | None) -> None:
    said = {"version": 1, "model": MODEL, **({"canary": canary} if canary else {})}
    (step.clone.path / "slipway.yml").write_text(yaml.safe_dump(said), encoding="utf-8")
    done = step()
    assert done.code == 1
    assert "slipway.yml has no section `canary" in done.messages("error")


def test_file__a_line_that_is_none_is_named(step: Step) -> None:
    step.observe(minutes(1, 1, **TENTH))
    step.file.write_text(step.file.read_text(encoding="utf-8") + '\n{"at": 3}\n', encoding="utf-8")
    done = step()
    assert done.code == 1
    assert "Line 3 of observations.jsonl is no observation." in done.messages("error")
    assert not (step.folder / "up.git" / "refs" / "heads" / "slipway-ledger").exists()


def test_command__writes_observations_and_sees_no_token(step: Step) -> None:
    script = step.clone.path / "observe.py"
    lines = [each.model_dump_json() for each in minutes(1, 1, **TENTH)]
    script.write_text(
        "import os, pathlib\n"
        "assert not [name for name in os.environ if 'TOKEN' in name], os.environ\n"
        "assert (os.environ['SLIPWAY_CANARY'], os.environ['SLIPWAY_BASELINE']) == ('8', '7')\n"
        f"pathlib.Path(os.environ['SLIPWAY_OBSERVATIONS']).write_text({lines[0]!r})\n",
        encoding="utf-8",
    )
    step.policy(observations={"command": [sys.executable, "observe.py"]})
    tokens = {"SLIPWAY_PROMETHEUS_TOKEN": "secret-1", "GITHUB_TOKEN": "secret-2"}
    done = step(environ=tokens)
    assert (done.code, done.report.provenance["looks"]) == (0, 1), done.log


@pytest.mark.parametrize(
    ("code", "said"), [("raise SystemExit(3)", "ended with exit code 3"), ("", "wrote no observations")]
)
def test_command__that_fails_or_writes_nothing_is_an_error(step: Step, code: str, said: str) -> None:
    step.policy(observations={"command": [sys.executable, "-c", code or "pass"]})
    done = step()
    assert (done.code, done.said["decision"], done.said["share"]) == (1, "continue", "")
    assert said in done.messages("error")


def observed_target(step: Step, stand: Stand, **metrics: Any) -> None:
    """A policy whose canaries are observed by the target that serves them."""
    local = {"folder": str(stand.folder / "target"), "port": stand.port, "gateway": stand.gateway}
    canary = {
        "stages": [{"share": 0.5, "minutes": 0.001, "requests": 20}],
        "observations": {"target": "production"},
        "metrics": metrics,
    }
    deployment = {"environments": {"production": {"target": {"local": local}, "rollout": "canary"}}}
    said = {"version": 1, "model": MODEL, "canary": canary, "deployment": deployment}
    (step.clone.path / "slipway.yml").write_text(yaml.safe_dump(said), encoding="utf-8")


def test_target__its_own_counters_of_real_traffic_roll_back(
    step: Step, tmp_path: Path, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(environments_cache))
    with standing(tmp_path) as stand:
        stand.start("7")
        target = stand.start("8")
        target.set_traffic({"7": 0.5, "8": 0.5})
        observed_target(step, stand, latency={}, predictions={})
        first = step()
        assert (first.code, first.said["decision"], first.report.provenance["looks"]) == (0, "continue", 0), first.log
        keys = {version: stand.key_of(version) for version in ("7", "8")}
        for looks in (1, 2, 3):
            for version in ("7", "8") * 10:
                assert stand.post(X_Slipway_Key=keys[version]).code == 200
            good = step()
            assert (good.said["decision"], good.report.provenance["looks"]) == ("continue", looks), good.log
        assert "no data" not in " ".join(good.report.reasons)
        stand.behave("8", code=500)
        for version in ("7", "8") * 30:
            stand.post(X_Slipway_Key=keys[version])
        bad = step()
        assert (bad.said["decision"], bad.said["share"]) == ("roll-back", "0.0"), bad.log
        assert "30 of 60" in bad.summary.replace("\N{NO-BREAK SPACE}", " ")


def test_target__that_has_not_these_versions_is_an_error(
    step: Step, tmp_path: Path, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(environments_cache))
    observed_target(step, Stand(tmp_path))
    done = step()
    assert done.code == 1
    assert "There is no version 8" in done.messages("error")
    assert not (tmp_path / "target").exists(), "asking makes nothing"


def test_target__that_counts_nothing_is_an_error() -> None:
    class Silent:
        shown = "nothing"

        def observe(self, *_: str) -> None:
            return None

    rules = ObservationSource(target="production")
    source = sources.find(rules, canary="8", baseline="7", target=cast("Target", Silent()))
    with pytest.raises(InputError, match="does not count what it serves"):
        source.observe(None)
