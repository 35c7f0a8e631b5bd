"""A model's story on record: real reports and a real provenance in a real ledger in real git."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from conftest import pull_request
from ledger_kit import clone, ledger
from slipway.audit.trail import Trail
from slipway.datasets import DatasetVersion
from slipway.evaluation.judgement import judge
from slipway.evaluation.multiplicity import account
from slipway.evaluation.sampling import Sampling
from slipway.ledger import drafting
from slipway.ledger.entries import Kind, digest
from slipway.policy.evaluation import Evaluation
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Report, Subject, Verdict
from slipway.runner.context import Run
from slipway.training import telling
from slipway.training.provenance import Base, Environment, Provenance
from test_evaluation_judgement import models

PULL = "https://github.invalid/octo/models/pull/7"
BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
MODEL = "flights"
COMMITS = {"1": "1" * 40, "2": "2" * 40, "3": "3" * 40}
DIGESTS = {version: f"sha256:{version * 64}" for version in COMMITS}
POLICY = {"policy": "slipway.yml", "policy_digest": f"sha256:{'a' * 64}", "gates_from": "b" * 40}
LOCK = f"""\
numpy==2.4.6 ; python_version >= "3.11" \\
    --hash=sha256:{"c" * 64} \\
    --hash=sha256:{"d" * 64}
scikit_learn==1.9.1 \\
    --hash=sha256:{"e" * 64}
"""


STATEMENT = {"provenance.intoto.json": b'{"_type": "https://in-toto.io/Statement/v1"}\n'}
"""Stands for the statement that training keeps with its report: here only its digest is read."""


def day(number: float) -> datetime:
    """So many days after the story begins."""
    return BEGIN + timedelta(days=number)


class Story:
    """Writes a ledger entry by entry and reads it back."""

    def __init__(self, folder: Path, model: str = MODEL) -> None:
        self.folder = folder
        self.model = model
        self.clone = clone(folder / "upstream", folder / "clone")
        self.ledger = ledger(self.clone.path)
        self._drafts: list[drafting.Drafted] = []
        self._number = 0

    def run(
        self, version: str, *, title: str = "Wider trees", body: str = "Fixes #12", url: str = PULL, **said: Any
    ) -> Run:
        """The pull-request run that made a version."""
        event = pull_request(head=COMMITS.get(version, version * 40)[:40])
        event["pull_request"] |= {"title": title, "body": body, "html_url": url}
        facts = {"repository": "octo/models", "run_id": 1000 + int(version), "attempt": 1, "actor": "mona"}
        facts |= {
            "actor_id": "17",
            "ref": "refs/pull/7/merge",
            "workflow_ref": "octo/models/.github/workflows/ml.yml@refs/heads/main",
        }
        return Run(event_name="pull_request", event=event, **{**facts, **said})

    def report(self, stage: str, version: str, when: datetime, run: Run | None = None, **said: Any) -> None:
        """An entry made from a report."""
        self._number += 1
        folder = self.folder / f"reports-{self._number}"
        path = folder / f"{stage}.json"
        folder.mkdir()
        files: dict[str, bytes] = said.pop("files", {})
        for name, raw in files.items():
            (folder / name).write_bytes(raw)
        said["attachments"] = {name: digest(raw) for name, raw in files.items()}
        made = {"verdict": Verdict.PASS, **said}
        Report(stage=stage, model=self.model, started=when, **made).write(path)
        self._drafts.append(drafting.of_report(path, run or self.run(version)))

    def validate(self, version: str, when: datetime, run: Run | None = None, **said: Any) -> None:
        """The validation of the data that a version is trained on."""
        facts = {
            "headline": "All 2 checks of 1 datasets passed.",
            "checks": (
                Check(name="train: month in 1 to 12", verdict=Verdict.PASS),
                Check(name="train: fresh", verdict=Verdict.PASS),
            ),
            "subjects": (
                policy(),
                Subject(role="schema", name="schema.yml", id=f"sha256:{'f' * 64}"),
                Subject(role="data", name="train", id=str(dataset(version))),
            ),
        }
        self.report("validate-data", version, when, run, **{**facts, **said})

    def train(self, version: str, when: datetime, run: Run | None = None, **said: Any) -> None:
        """The training of a version; said: other fields of its provenance, and `registry`."""
        registry = str(said.pop("registry", ""))
        after = replace(provenance(self.model, version), **said)
        self.report(
            "train-model",
            version,
            when,
            run,
            headline=f"Trained version {version} in 9 s from commit {after.commit[:12]}.",
            reasons=after.remarks,
            subjects=(policy(), *telling.subjects(after, registered(version, self.model), registry)),
            files={"provenance.json": after.write(self.folder / "provenance.json").read_bytes(), **STATEMENT},
        )

    def evaluate(self, version: str, production: str, when: datetime, run: Run | None = None, **said: Any) -> None:
        """A real comparison on made-up predictions."""
        metrics = {"roc_auc": {"margin": 0.01}, "log_loss": {"margin": 0.02, "max": 0.7}, "accuracy": {}}
        rules = {"task": "binary", "holdout": "holdout", "target": "late", "metrics": metrics}
        theirs, ours = models(worse=0.05)
        sampling = Sampling(len(ours), seed=1)
        found = judge(Evaluation.model_validate(rules), ours, theirs if production else None, sampling)
        judgement = account(found, sampling.confidence)
        subjects = [policy(), Subject(role="candidate", name=version, id=DIGESTS[version])]
        if production:
            subjects.append(Subject(role="production", name=production, id=DIGESTS[production]))
        facts = {
            "verdict": judgement.verdict,
            "headline": f"Candidate version {version} against production version {production} on 2,000 rows.",
            "reasons": judgement.reasons,
            "checks": judgement.checks,
            "tables": judgement.tables,
            "subjects": (*subjects, Subject(role="data", name="holdout", id="dvc:md5:0123")),
        }
        self.report("evaluate-model", version, when, run, **{**facts, **said})

    def comment(self, version: str, when: datetime, run: Run | None = None) -> None:
        """The comment on the pull request."""
        address = f"{PULL}#issuecomment-1"
        subjects = (Subject(role="comment", name=address, id=f"sha256:{'0' * 64}"),)
        self.report("post-report", version, when, run, subjects=subjects, links={"comment": address})

    def event(self, event: Kind, version: str, when: datetime, run: Run | None = None, **said: Any) -> None:
        """An entry without a report; `details` and other fields are `said`."""
        self._number += 1
        facts = {"model": self.model, "model_version": version, "model_digest": DIGESTS.get(version, ""), **said}
        summary = str(facts.pop("summary", f"{event} of version {version}."))
        run = run or Run(
            repository="octo/models", run_id=5000, attempt=1, event_name="workflow_dispatch", actor="hubot"
        )
        drafted = drafting.of_event(event, summary, run, occurred_at=when, key=(self._number,), said=facts)
        self._drafts.append(drafted)

    def place(
        self, event: Kind, version: str, when: datetime, *, before: str = "", environment: str = "production"
    ) -> None:
        """A promotion, deployment or rollback."""
        self.event(event, version, when, details={"environment": environment, "previous_version": before})

    def read(self) -> Trail:
        """Append what was told, and read the whole ledger as a stage does."""
        self.ledger.append(self._drafts)
        self._drafts = []
        return Trail.read(self.ledger)


def whole(folder: Path) -> Trail:
    """Three versions: a first release, a better one with everything on record, and one that was rolled back."""
    story = Story(folder)
    first = story.run("1", title="First model", body="")
    story.train("1", day(0), first, environment=Environment(python="3.11.7", packages=("numpy==2.4.6",)))
    story.evaluate("1", "", day(0.01), first)
    story.place("promotion", "1", day(1))
    story.validate("2", day(7))
    story.train("2", day(7.01))
    story.evaluate("2", "1", day(7.02))
    story.comment("2", day(7.03))
    approved = {"environment": "production", "approver": "ada", "approver_id": 42, "self_approval": False}
    story.event("approval", "2", day(8), verdict="pass", summary="Approved by ada.", details=approved)
    story.place("promotion", "2", day(8.5), before="1")
    story.train("3", day(10))
    story.place("promotion", "3", day(11), before="2")
    story.place("rollback", "2", day(11.25), before="3")
    return story.read()


def policy() -> Subject:
    """The policy, as reports name it."""
    return Subject(role="policy", name="slipway.yml", id=POLICY["policy_digest"])


def dataset(version: str) -> DatasetVersion:
    """The training data of a version."""
    return DatasetVersion(
        path="data/train.parquet", kind="dvc", id=f"md5:{version * 32}", immutable=True, tracked_by="data/train.dvc"
    )


def provenance(model: str, version: str) -> Provenance:
    """What training notes of a version."""
    return Provenance(
        model=model,
        commit=COMMITS.get(version, version * 40)[:40],
        clean=True,
        changes=(),
        datasets={"train": dataset(version)},
        parameters={"model.depth": "3", "rate": "0.1"},
        environment=Environment(
            python="3.11.7",
            packages=("numpy==2.4.6", "pip==26.0", "scikit-learn==1.9.1"),
            lock=LOCK,
            lock_digest=f"sha256:{'9' * 64}",
            hash_locked=True,
        ),
        command=["python", "train.py", "--depth", "3"],
        seed=7,
        policy=POLICY,
        machine={"platform": "Linux-6.8-x86_64", "machine": "x86_64", "processor": ""},
        run={"url": "", "id": 1000, "attempt": 1, "event": "pull_request", "actor": "mona"},
        seconds=9.123,
        peak_memory=1_234_567,
        model_digest=DIGESTS.get(version, f"sha256:{'8' * 64}"),
        payload_digest=f"sha256:{'7' * 64}",
        mlflow_run="0123456789abcdef",
        base=Base(kind="container", image="python:3.11-slim"),
        base_model="models:/flights-base/1",
        started="2026-11-09T09:14:24Z",
        finished="2026-11-09T09:14:33Z",
        log_digest=f"sha256:{'4' * 64}",
    )


def registered(version: str, model: str = MODEL, **tags: str) -> ModelVersion:
    """The version as the registry has it, in a store on the machine that trained it."""
    known = provenance(model, version).tags()
    return ModelVersion(model, version, "0123456789abcdef", "/srv/mlruns/0/models/m-1/artifacts", {**known, **tags})
