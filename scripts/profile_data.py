"""Profile a dataset or the answer to an SQL query: what its columns hold, as a small JSON file that adds up."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slipway import profiles
from slipway.data import reading
from slipway.profiles.counting import ROWS_AT_ONCE
from slipway.profiles.profile import Profile
from slipway.runner import commands, outputs, redaction, stage
from slipway.runner.errors import InputError, RemoteError

if TYPE_CHECKING:
    import polars as pl

    from slipway.data.types import Types

DATABASE = "SLIPWAY_DATABASE"
"""Variable with the database's address: it holds a password, which belongs on no command line."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Profile one dataset: `data` (a file, a folder or a glob), or the answer to `query`.

    columns: one name a line; those that the dataset lacks are left out. All of them by default.
    cluster: a column of `data`; the file then holds a profile for each of its values, one a line.
    schema: the pandera schema (YAML) of `data`; files without types are read as it declares them.
    engine: what reads `data`, `polars` or `spark`, which needs the packages of the group validate-data-spark.
    spark_server: a Spark Connect server, `sc://host:port`; without it Spark runs on this machine.
    """

    data: str = ""
    query: str = ""
    schema: Path | None = None
    columns: str = ""
    cluster: str = ""
    engine: Literal["polars", "spark"] = "polars"
    spark_server: str = ""
    profile: Path = Path("profile.json")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where it is."""

    profile: Path


def main(given: Inputs) -> None:
    """Read everything once, then write the profile: half of one is never left."""
    if bool(given.data) == bool(given.query):
        raise InputError("Exactly one of `data` and `query` must be given.", fix="Name a dataset, or an SQL query.")
    if given.query and given.cluster:
        raise InputError("`cluster` was given with a query.", fix="Group in the query, or give `data`.")
    if given.query and given.schema:
        raise InputError("`schema` was given with a query.", why="The database knows the types of its columns.")
    chosen = [line for line in given.columns.splitlines() if line] or None
    found: tuple[Profile, ...]
    if given.query:
        found = (of_query(given.query, chosen),)
    elif given.engine == "spark":
        found = of_table(given.data, given.spark_server, chosen, given.cluster)
    else:
        found = of_file(given.data, given.schema, chosen, given.cluster)
    given.profile.parent.mkdir(parents=True, exist_ok=True)
    given.profile.write_text(profiles.lines(found) if given.cluster else profiles.text(found[0]), encoding="utf-8")
    rows = sum(each.rows for each in found)
    commands.say(f"Profiled {rows:,} rows of {len(found[0].columns):,} columns: {given.profile}")
    outputs.publish(Outputs(profile=given.profile))


def of_file(data: str, schema: Path | None, columns: list[str] | None, cluster: str) -> tuple[profiles.Profile, ...]:
    """The profile of files, or those of their clusters."""
    frame = reading.scan(data, types=types_by(schema) if schema else reading.NO_TYPES)
    with reading.unreadable(data):
        if not cluster:
            return (profiles.of_frame(frame, columns, in_strips=reading.carries_types(data)),)
        chosen = chosen_with(cluster, columns, frame.collect_schema().names(), data)
        return tuple(profiles.by_value(frame.select(chosen).collect_batches(engine="streaming"), cluster).values())


def types_by(schema: Path) -> Types:
    """What the schema declares."""
    from slipway.data import declared  # a profile without one has no use for a reader of YAML

    return declared.types_in(schema)


def chosen_with(cluster: str, columns: list[str] | None, known: list[str], data: str) -> list[str]:
    """The columns to read. Raises InputError where the data lack that of the clusters."""
    if cluster not in known:
        raise InputError(f"The data at {data} have no column `{cluster}`.", fix="Name one that they have as `cluster`.")
    return [name for name in known if columns is None or name in (*columns, cluster)]


def of_table(data: str, server: str, columns: list[str] | None, cluster: str) -> tuple[profiles.Profile, ...]:
    """The profile of files that Spark reads, in a store or beside this machine, or those of their clusters."""
    from slipway.data import engines
    from slipway.profiles import spark

    table = engines.in_spark(data, data, server=server).table
    types = {name: dtype for name, dtype in table.types.items() if columns is None or name in columns}
    if cluster:
        types = {name: table.types[name] for name in chosen_with(cluster, columns, list(table.types), data)}
    for name in types:
        if why := table.uncarried.get(name):
            raise InputError(f"Spark cannot profile {data}.", why=f"{why}.".capitalize())
    if cluster:
        return spark.by_value(table.frame, types, cluster)
    return (spark.of_table(table.frame, types),)


def of_query(query: str, columns: list[str] | None) -> profiles.Profile:
    """The profile of a query's answer, which is fetched in pieces."""
    with answered(query) as batches:
        chosen = (
            batch.select([each for each in batch.columns if columns is None or each in columns]) for batch in batches
        )
        found = profiles.of_batches(chosen)
    if not found.rows:
        raise InputError("The query has no answer: no row.", fix="Check its conditions.")
    return found


@contextmanager
def answered(query: str) -> Iterator[Iterator[pl.DataFrame]]:
    """The answer in pieces. What the database refuses is a RemoteError in its own words, without its password."""
    import polars as pl
    import sqlalchemy

    address = os.environ.get(DATABASE, "")
    if not address:
        raise InputError(
            f"A query was given, and {DATABASE} names no database.",
            fix=f"Set {DATABASE} in the step's `env:`, such as `postgresql://user:password@host/name`.",
        )
    try:
        engine = sqlalchemy.create_engine(address)
        with engine.connect() as connection:
            # Without the option a driver may hold the whole answer.
            yield pl.read_database(
                sqlalchemy.text(query),
                connection.execution_options(stream_results=True),
                iter_batches=True,
                batch_size=ROWS_AT_ONCE,
                infer_schema_length=None,
            )
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        words = redaction.without_secrets(str(getattr(error, "orig", None) or error).replace(address, "***"))
        raise RemoteError(
            "The database did not answer the query.",
            why=words[:500],
            fix=f"Check the query, and the address and driver in {DATABASE}.",
        ) from error


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
