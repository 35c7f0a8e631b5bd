"""The Hugging Face Hub: revisions of a dataset repository. Branches move, and so do tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from slipway.datasets import address as addresses
from slipway.datasets.address import Address
from slipway.datasets.commits import CommitStore, Place
from slipway.runner.errors import InputError


@dataclass(frozen=True, kw_only=True)
class HuggingFace(CommitStore):
    """`hf://datasets/owner/name@revision/path`, as `huggingface_hub` writes it; a `/` in a revision is %2F."""

    def split(self, address: Address) -> Place:
        """Repository, revision and path. `main` is meant where no revision is written."""
        owner, _, rest = address.raw.partition("/")
        name, _, path = rest.partition("/")
        name, at, revision = name.partition("@")
        if address.host != "datasets" or not (owner and name) or (at and not revision):
            raise InputError(
                f"The dataset {address.text} is not the address of a dataset on the Hub.",
                fix=f"The form is `{addresses.KNOWN[address.scheme]}`; a `/` in a revision is written %2F.",
            )
        return Place(f"{unquote(owner)}/{unquote(name)}", unquote(revision) or "main", unquote(path))

    def pinned(self, place: Place) -> str:
        """The URI of these parts."""
        path = f"/{addresses.quoted(place.path)}" if place.path else ""
        return f"hf://datasets/{place.repository}@{quote(place.ref, safe='')}{path}"


STORE = HuggingFace(kind="huggingface", group="huggingface", commit=re.compile(r"[0-9a-f]{40}"))
