"""The stage as its action declares it, over a real ledger and a real registry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit_kit import whole
from conftest import pull_request
from ledger_kit import clone, draft, ledger, subjects
from runner_double import RunnerDouble
from slipway.audit.answers import moment, what_was_live
from slipway.audit.delivery import measure
from slipway.audit.trail import Trail
from slipway.ledger import place, store
from slipway.ledger.git import Git
from slipway.registry.mlflow import PRODUCTION, LoggedModel, ModelVersion, Registry
from slipway.runner.errors import GateError, InputError
from test_training_toy import QUIET, Done, empty_store, save_toy

pytestmark = QUIET

ROOT = Path(__file__).resolve().parents[1]
MODEL = "toy"


@dataclass
class Site:
    """A clone with its upstream, and a registry."""

    clone: Path
    upstream: Path
    temp: Path
    cache: Path
    registry: Registry

    def ask(self, **inputs: str) -> Done:
        """Run the action."""
        runner = RunnerDouble(self.clone, self.temp, event=pull_request(), env={"SLIPWAY_CACHE": str(self.cache)})
        given = {"tracking-uri": self.registry.uri, "remote": str(self.upstream)}
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        done = runner.run_action(ROOT / "actions" / "audit-trail", {**given, **named})
        return Done(done.code, done.outputs, done.annotations, done.summary, done.log)

    def record(self, number: int, event: str, version: str = "", **said: Any) -> None:
        """An entry about the model; a version's digest is made of its number."""
        digest = f"sha256:{version * 64}"[:71] if version else ""
        facts = {"model": MODEL, "model_version": version, "model_digest": digest, **said}
        receipt = ledger(self.clone, remote=str(self.upstream)).append([draft(number, event=event, **facts)])
        assert receipt.why_not == ""

    def promote(self, number: int, version: str, event: str = "promotion", environment: str = PRODUCTION) -> None:
        self.record(number, event, version, details={"environment": environment})

    def register(self, version: str, digest: str = "") -> ModelVersion:
        """A version in the registry, whose digest is that of its number."""
        run_id = self.registry.start_run(MODEL, "by hand", {})
        self.registry.log_model_folder(run_id, save_toy(self.temp / f"model-{run_id}", {"x1": 1.0}))
        (logged,) = self.registry.logged_models(run_id)
        tags = {"slipway.model_digest": digest or f"sha256:{version * 64}"}
        made = self.registry.register(MODEL, LoggedModel(logged.model_id, logged.uri, logged.name), run_id, tags)
        assert made.version == version
        return made


@pytest.fixture
def site(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Site:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    shutil.copy(empty_store(tmp_path_factory.getbasetemp(), environments_cache), tmp_path / "mlflow.db")
    (tmp_path / "temp").mkdir()
    here = clone(tmp_path / "up.git", tmp_path / "clone")
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return Site(here.path, tmp_path / "up.git", tmp_path / "temp", environments_cache, registry)


def cells(done: Done, column: str) -> list[Any]:
    """One column of the answer's table."""
    (table,) = done.report["tables"]
    at = [each["name"] for each in table["columns"]].index(column)
    return [row[at] for row in table["rows"]]


def forge(site: Site, number: int) -> None:
    """Replace an entry's evidence upstream, and make every later commit anew."""
    git, branch = Git(site.upstream), f"refs/heads/{place.BRANCH}"
    commits = git.run("rev-list", "--reverse", branch).decode().split()
    parent = commits[number - 1]
    for commit in commits[number:]:
        tree = git.line("rev-parse", f"{commit}^{{tree}}")
        if commit == commits[number]:
            raw = git.run("show", f"{commit}:entry.json").replace(b"Trained", b"Drained")
            tree = git.line("mktree", given=f"100644 blob {git.store(raw)}\tentry.json\n".encode())
        text = git.run("cat-file", "commit", commit).partition(b"\nauthor ")[2]
        parent = git.store(f"tree {tree}\nparent {parent}\nauthor ".encode() + text, "commit")
    git.run("update-ref", branch, parent)


def test_verify__a_whole_ledger(site: Site) -> None:
    site.record(1, "training", "1")
    site.record(2, "evaluation", "1")
    done = site.ask()
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert done.report["headline"] == "The ledger is whole: 3 entries."
    assert done.outputs["head"] == ledger(site.clone, remote=str(site.upstream)).head() != ""
    assert "The ledger is whole" in done.summary


def test_verify__an_altered_entry_is_named(site: Site) -> None:
    for number in range(1, 5):
        site.record(number, "training", str(number))
    forge(site, 2)
    shutil.rmtree(site.clone / ".git" / "slipway")  # a machine that has never seen the ledger before
    done = site.ask()
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    assert "Entry 2 (commit" in done.error and "The 2 entries before it" in done.error
    assert done.report["verdict"] == "fail"
    for command in ("history", "what-was-live", "compare"):
        assert site.ask(command=command).code == 1


def test_verify__remembered_heads(site: Site) -> None:
    site.record(1, "training", "1")
    remembered = site.ask().outputs["head"]
    site.record(2, "training", "2")
    assert site.ask(heads=remembered).code == 0
    Git(site.upstream).run("update-ref", f"refs/heads/{place.BRANCH}", f"refs/heads/{place.BRANCH}~2")
    shutil.rmtree(site.clone / ".git" / "slipway")
    done = site.ask(heads=f"{remembered}\n")
    assert done.code == 1
    assert "The ledger ends at entry 0, and entry 1 is remembered" in done.error
    assert "is no head of a ledger" in site.ask(heads="7").error


def test_verify__entries_that_contradict_each_other(site: Site) -> None:
    site.record(1, "training", "1")
    site.record(2, "evaluation", "1", model_digest="sha256:another")
    done = site.ask()
    assert done.code == 1
    assert "toy version 1: entry 2 names the digest sha256:another, entry 1 sha256:1111" in done.error


def test_verify__nothing_was_verified_in_an_empty_ledger(site: Site) -> None:
    done = site.ask()
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert "there is no entry yet" in done.error and "record-reports" in done.error and "holdout" not in done.error


def test_verify__a_repository_that_cannot_be_reached(site: Site) -> None:
    done = site.ask(remote="http://127.0.0.1:9/models")
    assert done.code == 1 and "cannot be read as a whole" in done.error and "could not be reached" in done.error
    site.record(1, "training", "1")
    site.upstream.rename(site.upstream.with_name("away"))
    done = site.ask()
    assert done.code == 0
    assert "The answer rests on what this machine has seen before." in done.reasons


def test_history__who_and_why(site: Site) -> None:
    trigger = {"event": "pull_request", "actor": "mona", "pull_request": 7}
    because = {"kind": "pull request", "text": "Wider trees\n\nMore words", "issues": ("#12",)}
    reused = {"reused_from": "https://github.invalid/runs/1"}
    site.record(1, "training", "1", verdict="pass", trigger=trigger, justification=because, details=reused)
    site.record(2, "evaluation", "1", verdict="fail", trigger={**trigger, "triggering_actor": "lisa"})
    site.record(3, "training", "1", model="another")
    done = site.ask(command="history", model=MODEL)
    assert done.code == 0, done.log
    assert cells(done, "event") == ["training (reused)", "evaluation"]
    assert cells(done, "by") == ["mona", "lisa (again, first mona)"]
    assert cells(done, "why") == ["pull request #7: Wider trees", "#7"]
    assert cells(done, "verdict") == ["pass", "fail"]
    # Which model, if not told?
    done = site.ask(command="history")
    assert done.code == 1 and "the ledger is about 2 models: `toy`, `another`" in done.error


def test_what_was_live__at_any_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, (version, event) in enumerate([("1", "promotion"), ("2", "promotion"), ("1", "rollback")], start=1):
        now = datetime(2026, 11, day, 12, tzinfo=UTC)
        monkeypatch.setattr(store, "utc_now", lambda now=now: now)
        site.promote(day, version, event)
    site.promote(9, "3", environment="staging")
    for at, version in {
        **{"2026-10-31": "", "2026-11-01T11:59": "", "2026-11-01T12:00": "1", "2026-11-01": "1"},
        **{"2026-11-02": "2", "2026-11-02T13:00+02:00": "1", "2026-11-03": "1", "": "1"},
    }.items():
        done = site.ask(command="what-was-live", at=at)
        assert (done.code, done.outputs["live-version"]) == (0, version), (at, done.log)
    assert done.report["headline"] == "Version 1 of `toy` was live in production now, by entry 3."
    assert cells(done, "until (UTC)") == ["2026-11-02 12:00", "2026-11-03 12:00", "now"]
    assert site.ask(command="what-was-live", environment="staging").outputs["live-version"] == "3"
    done = site.ask(command="what-was-live", environment="dev")
    assert done.report["headline"] == "By the ledger no version of `toy` was live in dev now."
    assert "was ever live in `dev`. Environments on record: `production`, `staging`." in done.reasons
    done = site.ask(command="what-was-live", at="2999-01-01")
    assert done.code == 1 and "lies in the future" in done.error


def test_what_was_live__a_canary_that_is_taken_back_leaves_the_live_version_where_it_was(site: Site) -> None:
    for number, (event, version, said) in enumerate(
        [
            ("promotion", "1", {}),
            ("deployment", "2", {"rollout": "canary"}),
            ("rollback", "1", {"previous_version": "2", "cause": "harm"}),
            ("promotion", "3", {}),
            ("rollback", "1", {"previous_version": "3", "cause": "person", "reason": "Passengers complain"}),
        ],
        start=1,
    ):
        site.record(number, event, version, details={"environment": PRODUCTION, **said})
        if number == 3:
            done = site.ask(command="what-was-live")
            assert done.report["headline"] == "Version 1 of `toy` was live in production now, by entry 1."
            assert cells(done, "until (UTC)") == ["now"]
    done = site.ask(command="what-was-live")
    assert cells(done, "version") == ["1", "3", "1"]
    assert cells(done, "why")[-1] == "version 3 was taken back: Passengers complain"
    assert "version 2 was taken back: harm" in cells(site.ask(command="history"), "why")


@pytest.mark.parametrize("at", ["yesterday", "2026-13-01", "2026-11-31", "11/25/2026", "9999-12-31"])
def test_moment__no_date(at: str) -> None:
    with pytest.raises(InputError, match="is no date"):
        moment(at)


def test_moment__days_and_times() -> None:
    for day in ("2026-11-25", "20261125", "2026-W48-3"):
        assert moment(day) == datetime(2026, 11, 26, tzinfo=UTC) - timedelta(milliseconds=1)
    assert moment("2026-11-25T14:30+01:00") == datetime(2026, 11, 25, 13, 30, tzinfo=UTC)
    assert moment("2026-11-25T14:30Z") == datetime(2026, 11, 25, 14, 30, tzinfo=UTC)
    assert moment("") is None


def test_what_was_live__says_the_time_in_utc(tmp_path: Path) -> None:
    found = what_was_live(whole(tmp_path), "flights", "production", moment("2020-11-25T00:30+01:00"))
    assert found.headline == "By the ledger no version of `flights` was live in production on 2020-11-24 at 23:30 UTC."


def test_compare__agreement(site: Site) -> None:
    for version in ("1", "2"):
        site.register(version)
        site.record(int(version), "training", version)
    site.registry.set_alias(MODEL, PRODUCTION, "2")
    site.promote(3, "2")
    done = site.ask(command="compare")
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert cells(done, "finding") == ["version 2, entry 3", "as trained by entry 1", "as trained by entry 2"]
    assert done.outputs["live-version"] == "2"


def test_compare__behind_the_pipelines_back(site: Site) -> None:
    for version in ("1", "2", "3"):
        site.register(version, digest="sha256:other" if version == "2" else "")
    site.record(1, "training", "1")
    site.record(2, "training", "2")
    site.record(4, "training", "4")
    site.promote(5, "1")
    site.registry.set_alias(MODEL, PRODUCTION, "3")
    done = site.ask(command="compare")
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    findings = dict(zip(cells(done, "what"), cells(done, "finding"), strict=True))
    assert "the ledger says version 1, the registry's alias points at version 3" in findings["live in production"]
    assert findings["version 1"] == "as trained by entry 1"
    assert findings["version 2"].startswith("the registry says sha256:other, entry 2 says sha256:2222")
    assert findings["version 3"].startswith("is in the registry and was registered behind the pipeline's back")
    assert findings["version 4"].startswith("was trained by entry 3 and is gone from the registry")
    assert all("`command: acknowledge`" in findings[f"version {number}"] for number in (2, 3, 4))


def test_compare__a_model_that_the_registry_does_not_know(site: Site) -> None:
    site.record(1, "training", "1")
    assert "is gone from the registry" in site.ask(command="compare").error
    done = site.ask(command="compare", model='it\'s "quoted"')
    assert done.code == 1 and 'The ledger knows no model `it\'s "quoted"`, and neither does the registry.' in done.error
    assert "The ledger is about: `toy`." in done.error


@pytest.mark.parametrize("command", ["history", "what-was-live", "export", "delivery", "acknowledge"])
def test_a_model_that_nobody_knows(site: Site, command: str) -> None:
    site.record(1, "training", "1")
    done = site.ask(command=command, model="toi", reason="Typed wrongly", output="out")
    assert done.code == 1 and "The ledger knows no model `toi`" in done.error and "`toy`" in done.error
    assert len(subjects(site.upstream)) == 2


def test_compare__a_model_from_before_the_ledger(site: Site) -> None:
    site.register("1")
    site.record(1, "training", "1", model="another")
    assert "version 1: is in the registry and was registered behind the pipeline's back, or its report was never" in (
        site.ask(command="compare", model=MODEL).error
    )


def test_acknowledge__a_registry_that_cannot_be_meant(site: Site) -> None:
    """A wrong address of a database makes an empty one: it says nothing about what is live."""
    site.record(1, "training", "1")
    site.promote(2, "1")
    empty = f"sqlite:///{site.temp / 'typo.db'}"
    for version in ("", "1"):
        done = site.ask(command="acknowledge", reason="By hand", tracking_uri=empty, model_version=version)
        assert done.code == 1 and "knows no model `toy`, so there is nothing to acknowledge" in done.error
    site.register("1", digest="sha256:of another registry")
    site.registry.client.delete_model_version(MODEL, "1")
    done = site.ask(command="acknowledge", reason="By hand")
    assert done.code == 1 and "has no version 1 of `toy`, which is live in production by entry 2" in done.error
    assert len(subjects(site.upstream)) == 3
    site.ask(command="acknowledge", reason="Deleted by hand", model_version="1")
    done = site.ask(command="acknowledge", reason="Taken out of production by hand")
    assert (done.code, done.outputs["live-version"]) == (0, ""), done.log
    assert cells(done, "finding")[0] == "no version, entry 4"


def test_acknowledge__a_return_to_an_earlier_version_is_a_rollback(site: Site) -> None:
    for number in ("1", "2"):
        site.register(number)
        site.record(int(number), "training", number)
        site.promote(int(number) + 2, number)
    site.registry.set_alias(MODEL, PRODUCTION, "1")
    done = site.ask(command="acknowledge", reason="Version 2 was slow")
    assert (done.code, done.outputs["live-version"]) == (0, "1"), done.log
    trail = Trail.read(ledger(site.clone, remote=str(site.upstream)))
    assert (trail.records[-1].entry.event, trail.records[-1].entry.details["previous_version"]) == ("rollback", "2")
    releases = measure(trail, MODEL).releases
    assert [(each.version, each.rolled_back is not None) for each in releases] == [("1", False), ("2", True)]


def test_acknowledge__brings_a_change_by_hand_on_record(site: Site) -> None:
    site.register("1")
    site.record(1, "training", "1")
    site.registry.set_alias(MODEL, PRODUCTION, "1")
    assert site.ask(command="compare").code == 1
    assert "`reason` was not given" in site.ask(command="acknowledge").error
    reason = "Released by hand while the runners were down, fixes #3"
    done = site.ask(command="acknowledge", reason=reason)
    assert (done.code, done.outputs["live-version"]) == (0, "1"), done.log
    trail = Trail.read(ledger(site.clone, remote=str(site.upstream)))
    entry = trail.records[-1].entry
    assert (entry.event, entry.model_version, entry.model_digest) == ("promotion", "1", f"sha256:{'1' * 64}")
    assert (entry.justification.kind, entry.justification.text) == ("person", reason)
    assert (entry.justification.issues, entry.trigger.actor) == (("#3",), "mona")
    assert entry.details == {"environment": "production", "previous_version": "", "observed_in": "registry"}
    # Once is enough.
    assert site.ask(command="acknowledge", reason=reason).code == 0
    assert len(subjects(site.upstream)) == 3


def test_compare__another_registry(site: Site) -> None:
    """A registry that was set up anew counts from 1: its versions are not those on record until somebody says so."""
    site.register("1", digest="sha256:new")
    ours, old = site.registry.identity(MODEL), "mlflow, begun 2020-01-01T00:00:00.000Z"
    assert re.fullmatch(r"mlflow, begun 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours)
    site.record(1, "training", "1", details={"registry": old})
    site.record(2, "training", "2", details={"registry": old})
    done = site.ask(command="compare")
    assert done.code == 1 and f"is of the registry `{ours}`, and entry 2 speaks of `{old}`" in done.error
    done = site.ask(command="acknowledge", model_version="1", reason="Moved to a new server")
    assert done.code == 0, done.log
    assert cells(done, "finding") == ["nothing was released yet", "as acknowledged by entry 3"]
    assert site.ask(command="verify").code == 0
    assert site.ask(command="show", model_version="1").code == 0


def test_acknowledge__a_version_that_the_pipeline_does_not_know_as_it_is(site: Site) -> None:
    """Versions from before Slipway, altered ones and deleted ones: somebody answers for each of them, once."""
    site.register("1")  # nobody recorded it
    site.register("2", digest="sha256:other")
    site.record(1, "training", "2")
    site.record(2, "training", "3")
    site.registry.set_alias(MODEL, "production", "1")
    site.promote(3, "1")
    assert site.ask(command="compare").code == 1
    for version in ("1", "2", "3"):
        done = site.ask(command="acknowledge", model_version=version, reason="From before the pipeline, fixes #4")
        assert "could not" not in done.log
        before = subjects(site.upstream)
        site.ask(command="acknowledge", model_version=version, reason="Once is enough")
        assert subjects(site.upstream) == before
    done = site.ask(command="compare")
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert cells(done, "finding") == [
        "version 1, entry 3",
        *("as acknowledged by entry 4", "as acknowledged by entry 5", "as acknowledged by entry 6"),
    ]
    entry = Trail.read(ledger(site.clone, remote=str(site.upstream))).records[-1].entry
    assert (entry.event, entry.model_version, entry.trigger.actor) == ("override", "3", "mona")
    identity = site.registry.identity(MODEL)
    assert entry.details == {"observed_in": "registry", "registered": False, "registry": identity}
    assert entry.justification.issues == ("#4",)
    # What is altered after that is a finding again, and `verify` lives with what was answered for.
    (second,) = (version for version in site.registry.versions(MODEL) if version.version == "2")
    site.registry.tag_version(second, {"slipway.model_digest": "sha256:yet another"})
    assert "version 2: the registry says sha256:yet another" in site.ask(command="compare").error
    assert site.ask(command="verify").code == 0
    done = site.ask(command="acknowledge", model_version="9", reason="Typed wrongly")
    assert "Neither ledger nor registry has a version 9" in done.error


def test_deliver__brings_upstream_what_waits(site: Site) -> None:
    site.record(1, "training")
    away = site.upstream.rename(site.upstream.with_name("away"))
    ledger(site.clone, remote=str(site.upstream)).append([draft(2, event="training", model=MODEL)])
    done = site.ask(command="deliver")
    assert done.code == 1 and "1 entries still wait" in done.error
    done = site.ask(command="history")
    assert done.report["provenance"]["ledger_head"] == done.outputs["head"]
    assert (done.outputs["head"][:2], done.report["provenance"]["entries_waiting_here"]) == ("1:", 1)
    away.rename(site.upstream)
    done = site.ask(command="deliver")
    assert done.code == 0, done.log
    assert "Delivered entry 2: Trained 2" in done.log
    assert subjects(site.upstream) == ["Begin the ledger", "Trained 1", "Trained 2"]
    assert "Nothing waited on this machine." in site.ask(command="deliver").log
    done = site.ask(command="deliver", remote="orign")
    assert (
        done.code == 1 and "`remote` is `orign`, which is no remote of this clone, no address and no path" in done.error
    )


def test_show__each_claim_with_its_evidence(site: Site) -> None:
    site.record(1, "training", "1")
    site.record(2, "evaluation", "1", verdict="pass")
    site.register("1")
    done = site.ask(command="show", model_version="1")
    assert done.code == 0, done.log
    rows = {row[0]: (row[1], row[2]) for table in done.report["tables"] for row in table["rows"]}
    assert any(value == f"sha256:{'1' * 64}" for value, _ in rows.values())
    assert any(value == "not known" for value, _ in rows.values())
    assert all(evidence for _, evidence in rows.values())
    assert "not known" in done.summary
    assert "`model-version` was not given" in site.ask(command="show").error
    assert "says nothing of version 9" in site.ask(command="show", model_version="9").error


def test_export__an_evidence_pack(site: Site, tmp_path: Path) -> None:
    site.record(1, "training", "1")
    site.promote(2, "1")
    output = tmp_path / "pack"
    done = site.ask(command="export", model_version="1", output=str(output))
    assert done.code == 0, done.log
    files = done.outputs["files"].splitlines()
    assert {"model-card.html", "ml-bom.cdx.json", "technical-record.md", "approvals.csv", "SHA256SUMS"} <= {
        Path(file).name for file in files
    }
    # Whoever gets the pack checks it with what every machine has.
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=output, check=True, capture_output=True)
    done = site.ask(command="export", model_version="1", output=str(output))
    assert done.code == 1 and "is not an empty folder" in done.error
    assert "`output` was not given" in site.ask(command="export").error


def test_show_and_export__two_models_by_one_number_fail(site: Site, tmp_path: Path) -> None:
    site.record(1, "training", "1")
    site.record(2, "evaluation", "1", model_digest="sha256:another")
    done = site.ask(command="show", model_version="1")
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    assert "version 1: entry 2 names the digest sha256:another, entry 1 sha256:1111" in done.error
    done = site.ask(command="export", model_version="1", output=str(tmp_path / "pack"))
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    for name in ("model-card.md", "model-card.html"):
        assert "The ledger contradicts itself about this version" in (tmp_path / "pack" / name).read_text()


def test_export__entries_as_csv_and_json(site: Site, tmp_path: Path) -> None:
    site.record(1, "training", "1")
    done = site.ask(command="export", output=str(tmp_path / "out"))
    assert done.code == 0, done.log
    assert [Path(file).name for file in done.outputs["files"].splitlines()] == ["entries.csv", "entries.json"]
    assert b"training" in (tmp_path / "out" / "entries.csv").read_bytes()
    done = site.ask(command="export", output=str(tmp_path / "out" / "entries.csv"))
    assert done.code == 1 and "which is no folder" in done.error


def test_delivery__as_a_table_and_as_files(site: Site, tmp_path: Path) -> None:
    for number in range(1, 4):
        when = datetime(2026, 11, number, tzinfo=UTC)
        site.record(number, "promotion", str(number), details={"environment": PRODUCTION}, occurred_at=when)
    done = site.ask(command="delivery", output=str(tmp_path / "out"))
    assert done.code == 0, done.log
    assert done.report["headline"] == "Delivery of `toy` to production: 3 releases."
    assert (tmp_path / "out" / "delivery.svg").read_text().startswith("<")
    assert "# TYPE" in (tmp_path / "out" / "delivery.prom").read_text()
    assert site.ask(command="delivery").outputs["files"] == ""


def test_about__a_version_and_the_run_that_made_it(site: Site) -> None:
    first: dict[str, Any] = {
        "run": {"repository": "octo/models", "run_id": 5, "attempt": 1},
        "trigger": {"sha": "a" * 40},
    }
    second: dict[str, Any] = {
        "run": {"repository": "octo/models", "run_id": 6, "attempt": 1},
        "trigger": {"sha": "a" * 40},
    }
    site.record(1, "validation", **first)
    site.record(2, "validation", **second)
    site.record(3, "training", "1", **first)
    site.record(4, "comment", **first)
    site.record(5, "training", "2", **second)
    site.record(6, "promotion", "1", run={"repository": "octo/models", "run_id": 7})
    trail = Trail.read(ledger(site.clone, remote=str(site.upstream)))
    assert [record.entry.sequence for record in trail.about(MODEL, "1")] == [1, 3, 4, 6]
    with pytest.raises(InputError, match="says nothing of version 9") as failure:
        trail.about(MODEL, "9")
    assert "It knows the versions 1, 2." in failure.value.why


def test_trail__reports_and_files(site: Site) -> None:
    files = {"provenance.json": json.dumps({"commit": "abc"}).encode()}
    found = ledger(site.clone, remote=str(site.upstream))
    found.append([draft(1, files, model=MODEL)])
    trail = Trail.read(found)
    assert trail.provenance(trail.records[-1]) == {"commit": "abc"}
    assert trail.file(trail.records[-1], "report.json") is None
    assert trail.provenance(trail.records[0]) == {}


def test_trail__an_altered_ledger_is_no_evidence(site: Site) -> None:
    site.record(1, "training", "1")
    found = ledger(site.clone, remote=str(site.upstream))
    subprocess.run(["git", "clone", "--quiet", "--bare", str(site.upstream), str(site.temp / "copy")], check=True)
    forge(site, 1)
    fresh = ledger(site.clone, remote=str(site.temp / "copy"))
    assert len(Trail.read(fresh).records) == 2
    shutil.rmtree(site.clone / ".git" / "slipway")
    with pytest.raises(GateError, match=r"was altered\. Entry 1"):
        Trail.read(found)
