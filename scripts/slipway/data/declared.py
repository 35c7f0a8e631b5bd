"""The types that a schema file declares: what the reader of files without types needs of it, and every stage has.

Whether the rest of the file can be meant is for validate-data to say, which alone installs pandera.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, StrictBool, StrictStr, model_validator

from slipway.data import dtypes, reading
from slipway.data.types import Types, is_pattern, why_no_pattern
from slipway.policy.reading import read_text
from slipway.policy.strict import misplaced
from slipway.report.model import Subject
from slipway.runner.errors import InputError

if TYPE_CHECKING:
    from slipway.policy.source import SourcedPolicy

PAGE = "docs/validate-data.md"


class Column(BaseModel):
    """What is read of a column."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    dtype: dtypes.Name | None = None
    regex: StrictBool = False


class Columns(BaseModel):
    """What is read of the file."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    columns: dict[StrictStr, Column] | None = None

    @model_validator(mode="after")
    def _patterns_can_match(self) -> Self:
        patterns = [name for name, column in (self.columns or {}).items() if is_pattern(name, regex=column.regex)]
        if problems := [(("columns", name), reason) for name in patterns if (reason := why_no_pattern(name))]:
            raise misplaced(problems)
        return self


def types(text: str, *, file: str) -> Types:
    """The declared types, from a schema's YAML. Raises PolicyError with file and line where it is none."""
    declared = (read_text(text, Columns, file=file, page=PAGE).columns or {}).items()
    return Types.declared(
        (name, column.regex, dtypes.parse(column.dtype) if column.dtype is not None else None)
        for name, column in declared
    )


def subject(path: str, text: str) -> Subject:
    """What a report says of the schema at `path`, by which data were read or judged."""
    return Subject(role="schema", name=path, id=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def types_in(file: Path) -> Types:
    """The declared types, from a schema's file. Raises InputError where there is none, else as `types`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The schema {file} cannot be read.", why=str(error)) from error
    return types(text, file=str(file))


def types_of(sourced: SourcedPolicy, name: str, place: str) -> Types:
    """The types that the schema of the policy's dataset declares; none where its files at `place` carry their own.

    The schema is the one by which validate-data judges: in a pull request the base branch's. Raises PolicyError where
    it cannot be read, InputError where there are no files.
    """
    path = sourced.policy.data[name].schema_
    if not path or reading.carries_types(place):
        return Types()
    return types(sourced.gate_file(path), file=path)
