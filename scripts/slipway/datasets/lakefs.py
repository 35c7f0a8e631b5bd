"""lakeFS: commits of a repository. What lies uncommitted on a branch is no version, and is never read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slipway.datasets import address as addresses
from slipway.datasets.address import Address
from slipway.datasets.commits import CommitStore, Place
from slipway.runner.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LakeFs(CommitStore):
    """`lakefs://repository/ref/path`, as lakectl writes it."""

    def split(self, address: Address) -> Place:
        """Repository, reference and path."""
        ref, _, path = address.path.partition("/")
        if not ref:
            raise InputError(
                f"The dataset {address.text} names no branch, tag or commit.",
                fix=f"The form is `{addresses.KNOWN[address.scheme]}`.",
            )
        return Place(address.host, ref, path)

    def pinned(self, place: Place) -> str:
        """The URI of these parts."""
        return addresses.join("lakefs", place.repository, f"{place.ref}/{place.path}")


STORE = LakeFs(kind="lakefs", group="lakefs", commit=re.compile(r"[0-9a-f]{64}"))
