"""A foreign report as JSON: read up to a size, and asked for its parts with errors that say what was looked for where.

All of it is somebody else's text. Nothing here trusts a key to be there or a value to have its type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.runner.errors import InputError

LARGEST = 32 * 1024 * 1024
"""Bytes of a report. Evidently writes about 1 kB for a column."""

LONGEST_TEXT = 200
"""Signs of a name or a sentence that are kept."""


@dataclass(frozen=True)
class Part:
    """A value of a report. source: tool and version, for errors. at: where in the document, empty for its root."""

    source: str
    value: Any
    at: str = ""

    def __getitem__(self, key: str) -> Part:
        """What must be below `key`, in an object; null counts as absent."""
        found = self.find(key)
        if found is None:
            raise self.refused(f"`{key}` is looked for, and is absent or null")
        return found

    def find(self, *keys: str) -> Part | None:
        """What is below the first of the keys that is there and not null."""
        found = self._object()
        for key in keys:
            if found.get(key) is not None:
                return self._below(key)
        return None

    def get(self, key: str) -> Part:
        """What is below `key`, which must be there and may be null."""
        if key not in self._object():
            raise self.refused(f"`{key}` is looked for, and is absent")
        return self._below(key)

    def names(self) -> tuple[str, ...]:
        """The names in an object."""
        return tuple(self._object())

    def items(self) -> Iterator[Part]:
        """The entries of a list."""
        if not isinstance(self.value, list | tuple):
            raise self.refused("a list is looked for", self.value)
        for number, each in enumerate(self.value):
            yield replace(self, value=each, at=f"{self.at}[{number}]")

    def text(self) -> str:
        """A text, whole: what is compared with."""
        if not isinstance(self.value, str):
            raise self.refused("a text is looked for", self.value)
        return self.value

    def name(self) -> str:
        """A text that is shown: not empty, and cut where it is too long."""
        if not (found := short(self.text())):
            raise self.refused("a name is looked for", self.value)
        return found

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.refused("true or false is looked for", self.value)
        return self.value

    def number(self) -> float:
        """A number, which may be NaN or infinite; InputError where it is none or has no place in 64 bits."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.refused("a number is looked for", self.value)
        try:
            return float(self.value)
        except OverflowError:
            raise self.refused("a number of 64 bits is looked for") from None

    def whole(self) -> int:
        """A count."""
        found = self.number()
        if not found.is_integer() or not 0 <= found < 2**53:
            raise self.refused("a count is looked for", self.value)
        return int(found)

    def refused(self, what: str, found: Any = None) -> InputError:
        """The error that this part is not what is relied on."""
        given = f", and a {type(found).__name__} is there" if found is not None else ""
        where = f" in `{short(self.at)}`" if self.at else ""
        return InputError(
            f"The report of {self.source} cannot be read.",
            why=f"{what}{where}{given}.",
            fix="Give the file as the tool writes it (docs/drift-reports.md). What another version of it writes is not "
            "known: give its findings in the neutral form.",
        )

    def _object(self) -> Mapping[str, Any]:
        if not isinstance(self.value, Mapping):
            raise self.refused("an object is looked for", self.value)
        return self.value

    def _below(self, key: str) -> Part:
        return replace(self, value=self.value[key], at=f"{self.at}.{key}" if self.at else key)


def load(path: Path) -> Any:
    """The JSON document in `path`. NaN and infinities are read as such, as Python writes them.

    Raises InputError where it cannot be read, is larger than `LARGEST`, or is no JSON in which each key is there once.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"The drift report {path} cannot be read.", why=str(error)) from error
    if len(content) > LARGEST:
        raise InputError(
            f"The drift report {path} is larger than {LARGEST:,} bytes.",
            fix="Let the tool write its findings alone, without raw data and plots.",
        )
    return parse(content, str(path))


def parse(content: bytes | str, name: str) -> Any:
    """The JSON document `content`, as `load` reads it; `name` stands in errors."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        why = "It is nested too deeply." if isinstance(error, RecursionError) else short(str(error))
        raise InputError(f"The drift report {name} is not JSON.", why=why) from error


def short(text: str) -> str:
    """Somebody's text on one line, without signs that control a terminal or turn its direction, and not too long."""
    line = "".join(sign for sign in " ".join(text[: 4 * LONGEST_TEXT].split()) if sign.isprintable())
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 1]}…"


def measure(part: Part | None) -> float | None:
    """A number that may be absent, null or NaN, which are all None. It may be infinite."""
    if part is None or part.value is None:
        return None
    found = part.number()
    return None if math.isnan(found) else found


def finite(value: float | None) -> float | None:
    """The number, where it has one to show."""
    return value if value is not None and math.isfinite(value) else None


def moment(part: Part | None) -> datetime | None:
    """A time in UTC, from ISO 8601 or from milliseconds since 1970; None where it is neither. It decides nothing."""
    given = part.value if part else None
    try:
        if isinstance(given, str):
            found = datetime.fromisoformat(given)
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        if isinstance(given, int | float) and not isinstance(given, bool):
            return datetime.fromtimestamp(given / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("A key is there twice, so that it is not clear what it says.")
    return found
