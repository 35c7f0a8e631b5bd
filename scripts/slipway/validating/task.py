"""What validate-data is to do. Its data are brought and hashed here, before the libraries that read them are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slipway import datasets
from slipway.report.model import Subject
from slipway.runner.background import Background
from slipway.runner.errors import InputError

if TYPE_CHECKING:
    from slipway.policy.dataset import Dataset
    from slipway.policy.source import SourcedPolicy


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be checked, whether it comes from the policy or from the inputs."""

    model: str
    datasets: dict[str, Dataset]
    holdout: str = ""
    on_inconclusive: Literal["warn", "fail"] = "warn"
    sourced: SourcedPolicy | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know about the policy."""
        return self.sourced.remarks if self.sourced else ()

    @property
    def provenance(self) -> dict[str, str]:
        """What the report says of the policy."""
        return self.sourced.provenance if self.sourced else {}

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The policy, for machines."""
        if self.sourced is None:
            return ()
        return (Subject(role="policy", name=str(self.sourced.path), id=self.sourced.policy.digest),)

    @property
    def must_be_pinned(self) -> bool:
        """Whether the policy refuses data that can change under their name."""
        return self.sourced is not None and self.sourced.policy.reproducibility.mutable_data == "fail"

    def schema_text(self, path: str) -> str:
        """The schema that judges: in a pull request the base branch's."""
        if self.sourced:
            return self.sourced.gate_file(path)
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The schema {path} cannot be read.", why=str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A dataset that is here, unless Spark reads it where it lies; why it is not, where it could not be brought.

    `version` is being told while the caller goes on: to hash a large file takes as long as to check it.
    """

    place: str
    version: Background[datasets.DatasetVersion] | None = None
    missing: InputError | None = None


def bring(dataset: Dataset) -> Brought:
    """The dataset, fetched where it is missing."""
    try:
        place = dataset.path if dataset.stays else datasets.fetch_missing(dataset.path)
    except InputError as error:
        return Brought(place=dataset.path, missing=error)
    return Brought(place=place, version=Background(lambda: datasets.identify(dataset.path)))
