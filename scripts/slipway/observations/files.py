"""Observations from a file of JSON lines, the form that any system can write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from slipway.canary.observations import Observation
from slipway.runner.errors import InputError

LONGEST = 1 << 20
"""Bytes of a line; no observation has so many."""


@dataclass(frozen=True)
class FileSource:
    """A file to which somebody appends an observation a line."""

    path: Path

    def observe(self, since: datetime | None) -> tuple[Observation, ...]:
        """The lines later than `since`, by their time. InputError names the line that is no observation."""
        found = []
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), start=1):
                    if line.strip() or len(line) > LONGEST:
                        read = self._read(number, line)
                        if since is None or read.at > since:
                            found.append(read)
        except OSError as error:
            raise InputError(
                f"The observations in {self.path} cannot be read.",
                why=str(error),
                fix="Check `canary.observations` of the policy, and whether anything was observed.",
            ) from error
        return tuple(sorted(found, key=lambda each: each.at))

    def _read(self, number: int, line: bytes) -> Observation:
        try:
            if len(line) > LONGEST:
                raise ValueError(f"it has more than {LONGEST:,} bytes")
            return Observation.model_validate_json(line)
        except ValueError as error:
            why = str(error)
            if isinstance(error, ValidationError):
                first = error.errors(include_url=False)[0]
                why = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
            raise InputError(
                f"Line {number} of {self.path} is no observation.",
                why=why,
                fix="docs/canary-observation.schema.json says what a line holds.",
                file=str(self.path),
                line=number,
            ) from error
