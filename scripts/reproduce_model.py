"""Rebuild a registered version from what is recorded of it, grade the match, and say why it is not better."""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from slipway.ledger import place
from slipway.policy.model import Grade, Policy
from slipway.policy.source import load
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, Subject, Verdict, enforce, publishing
from slipway.reproduction import layers, recorded, telling
from slipway.reproduction.diagnosis import Cause, Diagnosis, Laboratory, of_failure
from slipway.reproduction.matching import Matcher
from slipway.reproduction.rebuilding import DataChangedError, Workshop, throw_away_store
from slipway.reproduction.recorded import Recorded
from slipway.reproduction.worktree import Source
from slipway.runner import context, stage
from slipway.runner.errors import InputError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

STAGE = "reproduce-model"
UNKNOWN = (
    "See what could not be told, mend it, and run the job again: what was not rebuilt was not shown to be rebuildable."
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Rebuild a registered version from its record."""

    policy: Path = Path("slipway.yml")
    model_version: str = ""
    tracking_uri: str = ""
    diagnose: bool = True
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """How well the version could be rebuilt, and what stands in the way."""

    report: Path
    verdict: Verdict
    version: str = ""
    grade: Grade = "none"
    layer: str = ""
    cause: Cause = ""


def main(given: Inputs) -> None:
    """Rebuild, grade, report, and fail the step where the grade is below what the policy asks for."""
    run = context.Run.from_environ()
    sourced = load(given.policy, run)
    policy, model = sourced.policy, sourced.policy.model
    path = given.report or context.report_file(model, STAGE)
    begun = Report(
        stage=STAGE,
        model=model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        provenance={**sourced.provenance},
        subjects=(Subject(role="policy", name=str(sourced.path), id=policy.digest),),
    )
    said = Outputs(report=path, verdict=Verdict.INCONCLUSIVE)
    rebuild = Rebuild(given, policy, run, begun)
    try:
        with disk_errors():
            report, said = rebuild.run_all(said)
    except SlipwayError as failure:
        report = rebuild.report
        found = of_failure(failure)
        report = report.after_failure(failure, provenance=report.provenance)
        version = rebuild.version.version if rebuild.version else ""
        publish(report, replace(said, verdict=report.verdict, version=version, layer=found.layer, cause=found.cause))
        raise
    publish(report, said)
    enforce(report, on_inconclusive=policy.reproducibility.on_inconclusive, fix=UNKNOWN)


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full disk is the machine's, no defect of ours. What was written so far is gone with the temporary folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            "The disk is full, so the model could not be rebuilt.",
            why=str(error),
            fix="Use a runner with more disk: a rebuild needs room for data, environment and model once more.",
        ) from error


@dataclass
class Rebuild:
    """One rebuild, with what is known of it so far: a failure half-way is reported with that."""

    given: Inputs
    policy: Policy
    run: context.Run
    report: Report
    version: ModelVersion | None = None

    def run_all(self, said: Outputs) -> tuple[Report, Outputs]:
        """From the version to the finished report and outputs."""
        given = self.given
        registry = Registry(given.tracking_uri)
        self.version = version = recorded.find(registry, self.policy.model, given.model_version)
        self._know(telling.subjects(version, registry.identity(version.model)), telling.facts(version, None))
        with tempfile.TemporaryDirectory(prefix="slipway-reproduction-") as folder:
            scratch = Path(folder).resolve()
            found = recorded.read(registry, version, scratch)
            self._know(telling.of_record(found), telling.facts(version, found))
            self._show(layers.of_inputs(found.made, None))
            source = Source.around(place.find(self.run, token=given.github_token))
            with throw_away_store(scratch) as own:
                workshop = Workshop(recorded=found, source=source, store=own, scratch=scratch)
                try:
                    return self._rebuild(workshop, found, version, said)
                except DataChangedError as changed:
                    rows = layers.of_inputs(found.made, None)
                    self._show(layers.with_changed_data(rows, changed.name, str(changed.found)))
                    raise
                finally:
                    workshop.clear()

    def _rebuild(
        self, workshop: Workshop, found: Recorded, version: ModelVersion, said: Outputs
    ) -> tuple[Report, Outputs]:
        wanted = self.policy.reproducibility.grade
        rebuilt = workshop.attempt("first")
        matcher = Matcher(lambda: workshop.python, self.policy.reproducibility.tolerance, workshop.scratch)
        match = matcher.compare(found.model, rebuilt)
        rows = [*layers.of_inputs(found.made, rebuilt.made), *layers.of_outputs(match)]
        diagnosis = Diagnosis()
        if match.verdict(wanted) is not Verdict.PASS:
            laboratory = Laboratory(workshop, matcher, found.model)
            diagnosis = laboratory.diagnose(rebuilt, match, rows, experiments=self.given.diagnose)
        update = telling.outcome(version, match, wanted, rows, diagnosis)
        update["reasons"] = (*update["reasons"], *telling.remarks(found), *self.report.reasons)
        report = self.report.model_copy(update=update)
        return report, replace(
            said,
            verdict=report.verdict,
            version=version.version,
            grade=match.grade,
            layer=diagnosis.layer,
            cause=diagnosis.cause,
        )

    def _show(self, rows: list[layers.Row]) -> None:
        self.report = self.report.model_copy(update={"tables": (layers.table(rows),)})

    def _know(self, subjects: tuple[Subject, ...], facts: dict[str, str]) -> None:
        update = {"subjects": (*self.report.subjects, *subjects), "provenance": {**self.report.provenance, **facts}}
        self.report = self.report.model_copy(update=update)


def publish(report: Report, said: Outputs) -> None:
    """Report, pages, outputs and summary."""
    publishing.publish_with_pages(report, said.report, said, context.Run.from_environ().url)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
