"""Stores that keep whole states, as git does: lakeFS and the Hugging Face Hub. A commit names all files at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from slipway.datasets import address as addresses
from slipway.datasets import objects
from slipway.datasets.address import Address
from slipway.datasets.version import DatasetVersion
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Place:
    """A path of a repository at a reference: a commit, branch or tag."""

    repository: str
    ref: str
    path: str


@dataclass(frozen=True, kw_only=True)
class CommitStore:
    """How one kind of store names its commits. commit: what only a whole commit id looks like."""

    kind: str
    group: str
    commit: re.Pattern[str]

    def split(self, address: Address) -> Place:
        """The address in its parts. Raises InputError where one is missing."""
        raise NotImplementedError

    def pinned(self, place: Place) -> str:
        """The URI of these parts."""
        raise NotImplementedError

    def identify(self, address: Address, call: objects.Call) -> tuple[DatasetVersion, dict[str, Any]]:
        """The commit that the address names, or the one that its branch or tag is at now."""
        addresses.only(address)
        place = self.split(address)
        given = {"repository": place.repository, "ref": place.ref, "path": place.path}
        said = call("resolve", given)
        commit = str(said["commit"])
        pinned = self.pinned(Place(place.repository, commit, place.path))
        is_pinned = self.commit.fullmatch(place.ref) is not None and place.ref == commit
        remark = (
            "" if is_pinned else f"names the moving `{place.ref}`, now at {commit}. Write `{pinned}` in the policy."
        )
        version = DatasetVersion(
            path=address.text, kind=self.kind, id=commit, immutable=is_pinned, remark=remark, pinned=pinned
        )
        if not said["objects"]:
            raise InputError(
                f"There are no data at {address.text}.",
                why=f"The commit {commit} has nothing at `{place.path}`.",
                fix="Check the path (upper and lower case differ), and whether the data were committed.",
            )
        above = place.path.rstrip("/")
        prefix = (f"{above}/" if above else "") if said["folder"] else place.path.rpartition("/")[0]
        prefix = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
        wanted = [
            {**each, "file": objects.inside(each["name"].removeprefix(prefix), each["name"])}
            for each in said["objects"]
        ]
        return version, {"repository": place.repository, "ref": commit, "folder": said["folder"], "objects": wanted}
