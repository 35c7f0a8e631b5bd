"""Object stores that keep versions: S3, Google Cloud Storage, Azure. What a listing of versions says.

An object is pinned by the version that its store gives it. A folder has no version of its own: it is pinned by the
digest of its objects' names and versions, `?versions=sha256:…`. That set is found again in the listing of all
versions, also long after the folder has moved on, as long as no version was deleted for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.datasets import address as addresses
from slipway.datasets.address import Address
from slipway.datasets.version import DatasetVersion
from slipway.runner.errors import InputError

FOLDER_PIN = "versions"
LOOKED_BACK = 10_000
"""States of a folder's past that are compared with its pin."""

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Asks a client of the system for something: what to do, and with what."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One version of one object. version: empty where the store keeps none. order: when it came, early before late."""

    name: str
    version: str = ""
    etag: str = ""
    size: int = 0
    order: str = ""
    deleted: bool = False
    latest: bool = True
    sha256: str = ""
    md5: str = ""


@dataclass(frozen=True, kw_only=True)
class Store:
    """How one kind of store names its versions, and how its owner has it keep them."""

    kind: str
    group: str
    pin: str
    enable: str

    def identify(self, address: Address, call: Call) -> tuple[DatasetVersion, dict[str, Any]]:
        """The version that the address names, or the one that it has now, and what `fetch` needs to bring it."""
        addresses.only(address, FOLDER_PIN if address.is_folder else self.pin)
        place = self.place(address)
        if address.is_folder:
            version, entries = self._folder(address, [Entry(**each) for each in call("list", place)["objects"]])
        else:
            entry = Entry(**call("stat", {**place, "version": address.query.get(self.pin, "")}))
            version, entries = self._object(address, entry), [entry]
        key = str(place["key"])
        prefix = key[: len(key) - len(address.name)]
        wanted = [_wanted(entry, prefix) for entry in entries]
        return version, {**place, "folder": address.is_folder, "objects": wanted}

    def place(self, address: Address) -> dict[str, Any]:
        """The address as its client takes it."""
        return {"bucket": address.host, "key": address.path}

    def pinned(self, address: Address, **pin: str) -> str:
        """The address with a version."""
        return addresses.join(address.scheme, address.host, address.path, **pin)

    def _object(self, address: Address, entry: Entry) -> DatasetVersion:
        if not entry.version:
            return DatasetVersion(
                path=address.text,
                kind=self.kind,
                id=f"etag:{entry.etag}",
                immutable=False,
                remark=self._unversioned(address),
            )
        pinned = self.pinned(address, **{self.pin: entry.version})
        is_pinned = address.query.get(self.pin) == entry.version
        remark = (
            "" if is_pinned else f"names no version, so it can change under its name. Write `{pinned}` in the policy."
        )
        return DatasetVersion(
            path=address.text, kind=self.kind, id=entry.version, immutable=is_pinned, remark=remark, pinned=pinned
        )

    def _folder(self, address: Address, listed: Sequence[Entry]) -> tuple[DatasetVersion, list[Entry]]:
        entries = [entry for entry in listed if entry.latest and not entry.deleted and not entry.name.endswith("/")]
        wanted = address.query.get(FOLDER_PIN, "")
        found = set_digest(entries)
        if wanted and found != wanted:
            entries = next((state for state in past(listed) if set_digest(state) == wanted), [])
            found = wanted
            if not entries:
                raise InputError(
                    f"The versions that {address.text} names are not there any more.",
                    why="No state of the folder, now or earlier, has this set of object versions: some were deleted "
                    "for good (by a lifecycle rule, perhaps), or the digest belongs to another folder.",
                    fix="Restore the versions, or write the folder's present version in the policy: run validate-data "
                    f"with `{self.pinned(address)}`, and it names it.",
                )
        if not entries:
            raise InputError(f"There are no data at {address.text}.", why="The folder is empty.", fix="Check its name.")
        unversioned = [entry.name for entry in entries if not entry.version]
        if unversioned:
            remark = self._unversioned(address)
            return DatasetVersion(path=address.text, kind=self.kind, id=found, immutable=False, remark=remark), entries
        pinned = self.pinned(address, **{FOLDER_PIN: found})
        remark = "" if wanted else f"names no version, so it can change under its name. Write `{pinned}` in the policy."
        version = DatasetVersion(
            path=address.text, kind=self.kind, id=found, immutable=bool(wanted), remark=remark, pinned=pinned
        )
        return version, entries

    def _unversioned(self, address: Address) -> str:
        return (
            "is kept without versions, so it can change under its name. Switch versioning on "
            f"({self.enable.format(bucket=address.host)}), write the data once more, and pin the version that they get."
        )


def set_digest(entries: Iterable[Entry]) -> str:
    """Digest of the names and versions of a folder's objects."""
    lines = sorted(f"{entry.name}\0{entry.version or entry.etag}\n" for entry in entries)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def past(listed: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The folder's earlier states, newest first, each after one object came, changed or went."""
    objects = (entry for entry in listed if not entry.name.endswith("/"))
    # Stores tell time in whole seconds; of two versions of one second the present one came last.
    events = sorted(objects, key=lambda entry: (entry.order, entry.latest))
    history: dict[str, list[Entry]] = {}
    for entry in events:
        history.setdefault(entry.name, []).append(entry)
    state = {name: versions[-1] for name, versions in history.items()}
    for entry in list(reversed(events))[:LOOKED_BACK]:
        history[entry.name].remove(entry)
        if history[entry.name]:
            state[entry.name] = history[entry.name][-1]
        else:
            del state[entry.name]
        yield [each for each in state.values() if not each.deleted]


def _wanted(entry: Entry, prefix: str) -> dict[str, Any]:
    """What the client is asked to bring, and to which file below the copy's folder."""
    return {
        "name": entry.name,
        "version": entry.version,
        "etag": entry.etag,
        "size": entry.size,
        "sha256": entry.sha256,
        "md5": entry.md5,
        "file": inside(entry.name.removeprefix(prefix), entry.name),
    }


def inside(relative: str, name: str) -> str:
    """`relative` as the path of a file inside of a folder of ours.

    Raises InputError for a name that would lead out of it, or that no file can have.
    """
    parts = relative.split("/")
    if (
        not all(parts)
        or {".", ".."} & set(parts)
        or "\0" in relative
        or any(len(part.encode()) > 255 for part in parts)
    ):
        raise InputError(
            f"The object `{name}` cannot be a file.",
            why="Its name has an empty part, `.` or `..` between its slashes, or one of more than 255 bytes.",
            fix="Rename it, or name a folder that does not hold it.",
        )
    return relative


def no_conflicts(wanted: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError where one object would have to be a file and a folder at once."""
    files = {str(each["file"]) for each in wanted}
    for file in files:
        parents = file.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if "/".join(parents[:depth]) in files:
                raise InputError(
                    f"`{'/'.join(parents[:depth])}` is both an object and a folder of others.",
                    fix="Name one of the two, or rename the object.",
                )
