"""The seal: one digest over exactly what is put before the person who approves."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import rfc8785
from pydantic import ConfigDict, TypeAdapter, ValidationError

from slipway.runner.errors import InputError

SEAL_FILE = "seal.json"


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What is approved. Digests are `sha256:…`; image: `repository@sha256:…`, empty where none was packaged.

    data: identity of each dataset that the candidate was trained and judged on. environment: of GitHub, which approves.
    deploys_to: of the policy's `deployment`, to which it may be released; replaces: the version that is live there.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    model: str
    version: str
    model_digest: str
    commit: str
    image: str
    data: dict[str, str] = field(default_factory=dict)
    evaluation: str
    policy: str
    tier: str
    environment: str
    deploys_to: str
    replaces: str
    schema_version: int = 1

    @property
    def canonical(self) -> bytes:
        """RFC 8785: the bytes that the seal is taken over."""
        return rfc8785.dumps(asdict(self))

    @property
    def digest(self) -> str:
        """The seal itself."""
        return "sha256:" + hashlib.sha256(self.canonical).hexdigest()

    def write(self, path: Path) -> Path:
        """Write what is sealed, in the form that the seal is taken over."""
        path.write_bytes(self.canonical)
        return path


def read(path: Path) -> Sealed:
    """A seal.json. InputError where it is none."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"The seal {path} cannot be read.", why=str(error)) from error


def parse(raw: bytes, shown: str) -> Sealed:
    """The content of a seal.json; shown: what people call its place. InputError where it is none."""
    try:
        return TypeAdapter(Sealed).validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{shown} is no seal of Slipway.",
            why=f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}",
            fix="Give the file seal.json that assess-risk wrote, unchanged.",
        ) from error


def differences(sealed: Sealed, now: Sealed) -> tuple[str, ...]:
    """In words, what is not as it was sealed."""
    before, after = asdict(sealed), asdict(now)
    return tuple(
        f"{name} was `{before[name] or 'none'}`, and is `{after[name] or 'none'}`"
        for name in before
        if before[name] != after[name]
    )
