"""Reports out of an archive that somebody untrusted has written, such as the artifact of a fork's run.

Nothing is unpacked into a folder: the few names that are wanted are read in memory, each up to a limit, and whatever
is not a plain small report of the expected stage and model is refused with InputError.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from slipway.report.model import Report
from slipway.runner.errors import InputError

LARGEST_REPORT = 2 * 1024 * 1024
"""Bytes of one report, unpacked."""

LARGEST_RATIO = 200
"""Bytes out of one byte in. Reports shrink to about a tenth; a bomb of deflate grows up to a thousandfold."""

LONGEST_TEXT = 4_000
"""Characters of one text."""

MOST_ITEMS = 1_000
"""Entries of one list or mapping: rows, checks, columns, numbers behind a check."""

MOST_VALUES = 50_000
"""Values of a whole report."""

LARGEST_WHOLE_NUMBER = 2**63
"""Python would take whole numbers of thousands of digits, and fail when it shows them."""

ENCRYPTED = 0x1
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OSError)
"""What zipfile raises on an archive that is none, or that lies about itself."""


def read_archive(content: bytes, wanted: Mapping[str, str], *, model: str) -> list[Report]:
    """The reports of a zip archive, in the order of `wanted`, which has the stage by the name of each entry.

    An entry that is not there is left out. Raises InputError where an entry is not wanted, is there twice, is no plain
    file, is encrypted, too large or packed too tightly, and where a report is not one of its stage and of `model`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _checked(archive.infolist(), wanted)
            texts = {name: archive.open(entries[name]).read(LARGEST_REPORT + 1) for name in wanted if name in entries}
    except BROKEN as error:
        raise _refused(f"it cannot be read as a zip archive ({type(error).__name__})") from error
    return [read_report(text, name, stage=wanted[name], model=model) for name, text in texts.items()]


def read_report(content: bytes, name: str, *, stage: str, model: str) -> Report:
    """The report `content`. Raises InputError where it is none, or not one of `stage` and `model`."""
    if len(content) > LARGEST_REPORT:
        raise _refused(f"{name} is larger than {LARGEST_REPORT:,} bytes")
    try:
        report = Report.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        what = f"{name} is not a report of Slipway"
        raise _refused(": ".join(filter(None, (what, place and _short(place), first["msg"])))) from error
    if report.stage != stage:
        raise _refused(f"{name} is a report of the stage {_short(report.stage)}, not of {stage}")
    if report.model != model:
        raise _refused(f"{name} is about the model {_short(report.model)}, and {model} was expected")
    for number, value in enumerate(_values(report.model_dump(mode="python"), name)):
        if number >= MOST_VALUES:
            raise _refused(f"{name} has more than {MOST_VALUES:,} values")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise _refused(f"{name} has a text of more than {LONGEST_TEXT:,} characters")
        if isinstance(value, int) and abs(value) >= LARGEST_WHOLE_NUMBER:
            raise _refused(f"{name} has a whole number of more than 64 bits")
    return report


def _checked(entries: list[zipfile.ZipInfo], wanted: Mapping[str, str]) -> dict[str, zipfile.ZipInfo]:
    """The files among the entries of an archive, by name, after all that their headers can betray."""
    folders = {f"{name.rpartition('/')[0]}/" for name in wanted if "/" in name}
    if len(entries) > len(wanted) + len(folders):
        raise _refused(f"it has {len(entries):,} entries, and at most {len(wanted)} files are expected")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        # What was written: `filename` ends at a NUL, and may come from another field.
        name = entry.orig_filename
        if name in found:
            raise _refused(f"{_short(name)} is there twice")
        if name not in {*wanted, *folders}:
            raise _refused(f"it has the entry {_short(name)}, which is none of {', '.join(wanted)}")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFDIR if name in folders else stat.S_IFREG):
            raise _refused(f"{name} is no plain file")
        if entry.flag_bits & ENCRYPTED:
            raise _refused(f"{name} is encrypted")
        if entry.compress_type not in PACKINGS:
            raise _refused(f"{name} is packed in another way than deflate")
        if entry.file_size > (0 if name in folders else LARGEST_REPORT):
            raise _refused(f"{name} has {entry.file_size:,} bytes, more than the {LARGEST_REPORT:,} of a report")
        if entry.file_size > LARGEST_RATIO * max(entry.compress_size, 1):
            raise _refused(f"{name} grows more than {LARGEST_RATIO} times when it is unpacked")
        found[name] = entry
    return found


def _values(part: Any, name: str) -> Iterator[Any]:
    """Every value below `part`, keys included; no list or mapping among them is longer than allowed."""
    if isinstance(part, dict | list | tuple):
        if len(part) > MOST_ITEMS:
            raise _refused(f"{name} has a list of {len(part):,} entries, more than {MOST_ITEMS:,}")
        if isinstance(part, dict):
            yield from part
        for each in part.values() if isinstance(part, dict) else part:
            yield from _values(each, name)
    else:
        yield part


def _short(text: str) -> str:
    """Somebody's text inside an error: quoted, on one line, not too long."""
    return ascii(text[:80])


def _refused(why: str) -> InputError:
    return InputError(
        "The artifact is not used.",
        why=f"{why}.",
        fix="The fork may have changed what its run uploads. Look at the change before you run anything of it.",
    )
