"""The policy's section `packaging`: what a model's image is made from, where it goes, and what it may cost."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, StrictBool, field_validator

from slipway.policy.images import ImageByDigest
from slipway.policy.strict import NUMBER, Strict

Severity = Literal["low", "medium", "high", "critical"]
Positive = Annotated[FiniteFloat, Field(gt=0), NUMBER]

REPOSITORY = re.compile(r"[a-zA-Z0-9.-]+(:\d{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+")
"""A registry's host and a repository: https://github.com/opencontainers/distribution-spec/blob/main/spec.md"""


class PackagingLimits(Strict):
    """What the image may cost; what has no limit is measured and shown."""

    startup_seconds: Positive | None = None
    """From the start of the container's process until it answers."""

    memory_mb: Positive | None = None
    """Peak resident memory of that process, with the golden batch predicted."""

    image_mb: Positive | None = None
    """The image unpacked, base included."""


class Vulnerabilities(Strict):
    """What a scanner's findings do to the package. Nothing is scanned by Slipway: a step of yours leaves a file."""

    fail_from: Severity = "high"
    """Findings of this severity or worse fail."""

    ignore: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=100)], ...] = ()
    """Identifiers (`CVE-2026-1234`) that somebody has looked at and accepts."""

    required: StrictBool = False
    """Whether a package without a scanner's file is inconclusive, and so not pushed."""


class Packaging(Strict):
    """How a registered version becomes an image."""

    base: ImageByDigest
    """The image below, with the model's Python in it, by digest: `docker.io/library/python@sha256:…`."""

    repository: Annotated[str, Field(max_length=400)]
    """Where images are pushed to: registry and repository, without a tag (`ghcr.io/octo/flight-delays`)."""

    golden_rows: Annotated[int, Field(ge=1, le=1_000), NUMBER] = 50
    """Rows of the holdout that evaluate-model keeps, with the candidate's answers, for the image's smoke test."""

    tolerance: Annotated[FiniteFloat, Field(ge=0), NUMBER] = 0
    """How far a number that the image answers may be from the recorded one. 0, the default, allows no difference."""

    limits: PackagingLimits = PackagingLimits()
    """What the image may cost; what has no limit is measured and shown."""

    vulnerabilities: Vulnerabilities | None = None
    """What a scanner's findings do to the package."""

    @field_validator("repository")
    @classmethod
    def _is_a_repository(cls, given: str) -> str:
        if not REPOSITORY.fullmatch(given):
            raise ValueError(
                "must be a registry and a repository in small letters, without tag or digest: `ghcr.io/octo/flights`"
            )
        return given
