"""Addresses of remote data: `s3://bucket/key?versionId=…` and their like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from slipway.runner.errors import InputError
from slipway.runner.redaction import without_secrets

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
KNOWN = {
    "s3": "s3://bucket/key?versionId=…",
    "gs": "gs://bucket/object?generation=…",
    "az": "az://account/container/blob?versionId=…",
    "lakefs": "lakefs://repository/commit/path",
    "hf": "hf://datasets/owner/name@commit/path",
}
"""How a version is written in every system."""


@dataclass(frozen=True)
class Address:
    """A URI in its parts. host: bucket, account, repository. path: percent-signs decoded, without the first `/`.

    raw: the path as it was written.
    """

    text: str
    scheme: str
    host: str
    path: str
    raw: str
    query: dict[str, str]

    @property
    def name(self) -> str:
        """The last part of the path; empty for a folder."""
        return self.path.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether it names all objects below it: it ends with `/`, or is a whole bucket."""
        return not self.name


def is_remote(path: str) -> bool:
    """Whether `path` is a URI and not a place on this machine."""
    return SCHEME.match(path) is not None


def parse(text: str) -> Address:
    """The address in its parts.

    Raises InputError for an unknown system, and for a sign that would mean something else than it says.
    """
    found = SCHEME.match(text)
    scheme = found.group(1).lower() if found else ""
    if scheme not in KNOWN:
        raise InputError(
            f"The dataset {text} lies in a system that Slipway does not know.",
            why=f"`{scheme}://` is none of {', '.join(f'`{each}://`' for each in KNOWN)}.",
            fix="Let DVC (`dvc import-url`) or a step before this one bring the data, and name the local path.",
        )
    form = f"The form is `{KNOWN[scheme]}`; in a name, `#` is written %23, `?` %3F and `%` %25."
    shown = without_secrets(text)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InputError(f"The dataset {shown} names no place.", why=str(error), fix=form) from error
    if parts.fragment or "#" in text:
        raise InputError(f"The dataset {shown} has a `#`, which starts a fragment.", fix=form)
    if "@" in parts.netloc:
        raise InputError(
            f"The dataset {scheme}://***@{parts.netloc.rpartition('@')[2]}{parts.path} carries credentials.",
            fix="Take them out: credentials belong into the job's `env:`, from secrets.",
        )
    if not parts.netloc:
        raise InputError(f"The dataset {shown} names no place.", fix=form)
    query: dict[str, str] = {}
    for each in filter(None, parts.query.split("&")):
        key, sign, value = each.partition("=")
        if not (sign and value) or key in query:
            said = without_secrets(each)
            raise InputError(
                f"The dataset {shown} has `{said}` after the `?`, which is not one `name=value`.", fix=form
            )
        query[key] = unquote(value)
    raw = parts.path.removeprefix("/")
    return Address(text, scheme, parts.netloc, unquote(raw), raw, query)


def join(scheme: str, host: str, path: str, **query: str) -> str:
    """The URI of these parts; `parse` gives them back."""
    said = "&".join(f"{key}={quote(value, safe=':._-~')}" for key, value in query.items())
    return f"{scheme}://{host}/{quoted(path)}" + (f"?{said}" if said else "")


def quoted(path: str) -> str:
    """The path with percent-signs where it needs them; `day=2026-01-31` needs none."""
    return quote(path, safe="/=,:@!$*+;()")


def only(address: Address, *known: str) -> None:
    """Raise InputError where the address asks for something that its system does not have."""
    unknown = [key for key in address.query if key not in known]
    if unknown:
        raise InputError(
            f"The dataset {without_secrets(address.text)} has `{unknown[0]}` after the `?`.",
            why=f"Known there: {', '.join(f'`{each}`' for each in known) or 'nothing'}.",
            fix=f"The form is `{KNOWN[address.scheme]}`; a `?` in a name is written %3F.",
        )
