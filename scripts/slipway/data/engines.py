"""What reads a dataset and holds it against its schema: polars on this machine, or Spark for data past one machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from slipway.data import leakage, reading, validation
from slipway.data.schema import Schema
from slipway.report.model import Check, Verdict

if TYPE_CHECKING:
    from slipway.data.spark.table import Table
    from slipway.policy.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class InPolars:
    """A dataset that polars reads. Its methods raise InputError for data that are damaged."""

    path: str
    """Its name in messages."""

    frame: pl.LazyFrame

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        with reading.unreadable(self.path):
            return self.frame.collect_schema().names()

    def checks(self, schema: Schema, *, examples: int) -> list[Check]:
        """What the schema finds; `examples` is how many violating rows a check may quote."""
        with reading.unreadable(self.path):
            return validation.validate(schema, self.frame, examples=examples)


@dataclass(frozen=True, kw_only=True)
class InSpark:
    """A dataset that Spark reads, when it is first asked: what is reused starts none.

    Its methods raise InputError for data that Spark cannot read and where it does not start, RemoteError where its
    server does not answer, and PolicyError for what Spark is not known to answer as polars does.
    """

    path: str
    place: str
    server: str
    """The Spark Connect server; empty for a Spark in this process."""

    frame: pl.LazyFrame | None
    """The same files for polars, which only looks at their types; None for data that stay in a store."""

    @cached_property
    def table(self) -> Table:
        """Its rows in Spark."""
        from slipway.data.spark import session, table

        spark = session.at(self.server)
        if self.frame is None:
            return table.of_address(spark, self.path)
        return table.of_files(spark, self.place, dict(self.frame.collect_schema()))

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.table.types)

    def checks(self, schema: Schema, *, examples: int) -> list[Check]:
        """What the schema finds; the same as in polars."""
        from slipway.data.spark import validation as on_spark

        return on_spark.validate(schema, self.table, examples=examples)


Rows = InPolars | InSpark


def open_rows(dataset: Dataset, place: str, *, server: str, schema: Schema | None) -> Rows:
    """The dataset, which lies at `place`; files without types are read as `schema` has them.

    Raises InputError where polars cannot read its files.
    """
    if dataset.engine == "spark":
        return in_spark(dataset.path, place, server=server)
    return InPolars(path=dataset.path, frame=reading.scan(place, types=schema.types if schema else reading.NO_TYPES))


def in_spark(path: str, place: str, *, server: str) -> InSpark:
    """Data for Spark to read: at an address, or at a place that this machine sees, too."""
    frame = None if "://" in place else reading.scan(place)
    return InSpark(path=path, place=place, server=server, frame=frame)


def leaked(train: Rows, holdout: Rows, *, name: str) -> Check:
    """Whether rows of the holdout are among those of the training data; inconclusive where two engines hold them."""
    if isinstance(train, InSpark) and isinstance(holdout, InSpark):
        from slipway.data.spark import leakage as on_spark

        return on_spark.check(train.table, holdout.table, name=name)
    if isinstance(train, InSpark) or isinstance(holdout, InSpark):
        detail = "not run: two engines hold the two datasets; give both `engine: spark`"
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=detail)
    with reading.unreadable(train.path):
        return leakage.check(train.frame, holdout.frame, name=name)


def against_schema(name: str, dataset: Dataset, schema: Schema | None, rows: Rows, examples: int) -> tuple[Check, ...]:
    """The checks of the schema."""
    if schema is None:
        detail = "no schema: nothing was checked. Name one under `schema` of the dataset."
        return (Check(name=f"{name}: schema", verdict=Verdict.INCONCLUSIVE, detail=detail),)
    checks = rows.checks(schema, examples=examples)
    if not checks:
        detail = f"{dataset.schema_} declares nothing: nothing was checked"
        return (Check(name=f"{name}: schema", verdict=Verdict.INCONCLUSIVE, detail=detail),)
    return tuple(check.model_copy(update={"name": f"{name}: {check.name}"}) for check in checks)
