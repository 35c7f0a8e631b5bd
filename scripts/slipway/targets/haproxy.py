"""HAProxy as the gateway: set up once, and from then on told over its runtime API what to do.

It is not configured anew while it runs, which would lose its counters: versions take turns in a few slots whose servers
are moved, and a map says which version is in which slot and how the requests are split. A map is exchanged as a whole.

https://docs.haproxy.org/2.6/management.html#9.3
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.runner.errors import InputError, RemoteError
from slipway.targets.asking import connected
from slipway.targets.gateways import GRACE_SECONDS, START_SECONDS, taken
from slipway.targets.kept import Kept
from slipway.targets.processes import Daemon, environ_of

SLOTS = 8
WHOLE = 1_000_000
"""Requests are split to a millionth."""

HARD_STOP_SECONDS = GRACE_SECONDS - 5
"""What HAProxy gives requests that have begun when it ends."""

SYSTEM = ("/usr/sbin", "/usr/local/sbin")
"""Where it lies on systems whose users do not have these folders on their path."""

CONFIGURATION = """\
global
  stats socket unix@admin.sock mode 600 level admin
  hard-stop-after {grace:.0f}s
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-request 60s
  timeout http-keep-alive 60s
  http-error status 502 content-type application/json string '{{"error": "The version broke off its answer."}}'
  http-error status 503 content-type application/json string '{{"error": "The version does not answer."}}'
  http-error status 504 content-type application/json string '{{"error": "The version did not answer in time."}}'
frontend public
  bind 127.0.0.1:{port}
  acl asked req.hdr(X-Slipway-Version) -m found
  http-request use-service prometheus-exporter if {{ path /metrics }}
  http-request set-var(txn.traffic) str(traffic),map(table.map)
  http-request return status 503 content-type application/json string \
'{{"error": "No version has any traffic here."}}' if !asked !{{ var(txn.traffic) -m found }}
  http-request set-var(txn.key) req.fhdr(X-Slipway-Key) if {{ req.fhdr(X-Slipway-Key) -m len gt 0 }}
  http-request set-var(txn.key) req.cook(slipway-key) \
if !{{ var(txn.key) -m found }} {{ req.cook(slipway-key) -m len gt 0 }}
  http-request set-var(txn.fresh) uuid() if !asked !{{ var(txn.key) -m found }}
  http-request set-var(txn.key) var(txn.fresh) if {{ var(txn.fresh) -m found }}
  http-request set-var(txn.version) req.fhdr(X-Slipway-Version)
  http-request set-var(txn.first) var(txn.traffic),field(1,:)
  http-request set-var(txn.upto) var(txn.traffic),field(2,:)
  http-request set-var(txn.second) var(txn.traffic),field(3,:)
  http-request set-var(txn.past) var(txn.key),concat(:,txn.first),concat(:,txn.second),xxh32(0),mod({whole}),\
sub(txn.upto)
  http-request set-var(txn.version) var(txn.first) if !asked {{ var(txn.past) -m int lt 0 }}
  http-request set-var(txn.version) var(txn.second) if !asked {{ var(txn.past) -m int ge 0 }}
  http-request set-var(txn.slot) str(version:),concat(,txn.version),map(table.map)
  http-request return status 404 content-type application/json string \
'{{"error": "There is no such version here."}}' if !{{ var(txn.slot) -m found }}
  http-after-response set-header X-Slipway-Version %[var(txn.version)] if {{ var(txn.slot) -m found }}
  http-after-response add-header Set-Cookie \
"slipway-key=%[var(txn.fresh)]; HttpOnly; Max-Age=7776000; Path=/; SameSite=Lax" if {{ var(txn.fresh) -m found }}
  use_backend asked%[var(txn.slot)] if asked or !METH_POST
  use_backend slot%[var(txn.slot)]
"""
"""A key is drawn a number by its hash with both versions; below `upto` it is the first one's, else the second's. So a
key changes only to the version whose share has grown, and another canary has other keys. What is asked for by name, or
is no POST, goes through backends of its own, and is not counted."""

BACKENDS = "".join(
    f"backend {kind}{{slot}}\n  server only 127.0.0.1:{{at}}\n"  # of an empty slot: where nobody listens
    for kind in ("slot", "asked")
)
NOBODY = 1


class SilentError(RemoteError):
    """It does not answer at its socket."""


@dataclass(frozen=True)
class HAProxy:
    """HAProxy in a folder of its own. program: its path."""

    folder: Path
    port: int
    program: str
    name: str = "haproxy"

    @property
    def _daemon(self) -> Daemon:
        return Daemon(self.folder)

    @property
    def _book(self) -> Path:
        return self.folder / "slots.json"

    def check(self, kept: Kept) -> None:
        """InputError for more versions than there are slots, or more than two with traffic."""
        if len(kept.versions) > SLOTS or len(traffic_of(kept)) > 2:
            raise InputError(
                f"HAProxy is set up for {SLOTS} versions here, and splits the requests between two.",
                fix="Take versions away that nothing needs, or say `gateway: builtin` once the target is empty.",
            )

    def serve(self, kept: Kept) -> None:
        """Move the slots' servers, then exchange the map."""
        if self._daemon.alive():
            try:
                self._bring(kept, self._tell)
                return
            except SilentError:  # it hangs, or has just ended
                self.end()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._book.unlink(missing_ok=True)
        self._bring(kept, self._start)

    def _bring(self, kept: Kept, tell: Callable[[Mapping[int, int], Mapping[str, str]], None]) -> None:
        ports = {name: version.port for name, version in kept.versions.items() if not version.leaving}
        shares = traffic_of(kept)
        slots = self._assigned(ports)
        entries = {f"version:{version}": str(slots[version]["slot"]) for version in ports}
        if shares:
            (first, share), *others = shares.items()
            entries["traffic"] = f"{first}:{round(share * WHOLE)}:{others[0][0] if others else ''}"
        tell({slots[version]["slot"]: port for version, port in ports.items()}, entries)

    def counters(self) -> Mapping[str, Mapping[str, Any]]:
        """Requests and errors; HAProxy keeps no histograms, and does not look into answers."""
        rows = self._rows()
        return {
            version: {
                "version": version,
                "since": slot["since"],
                "requests": _answered(rows, slot["slot"]) - slot["requests"],
                "errors": _failed(rows, slot["slot"]) - slot["errors"],
            }
            for version, slot in self._read().items()
        }

    def in_flight(self, version: str) -> int:
        """Of both of its backends."""
        slot, rows = self._read().get(version), self._rows()
        return 0 if slot is None else sum(int(rows[f"{kind}{slot['slot']}"]["scur"]) for kind in ("slot", "asked"))

    def end(self) -> None:
        """Its soft stop: SIGTERM would cut off what has begun."""
        self._daemon.end(GRACE_SECONDS, signal.SIGUSR1)

    def _assigned(self, ports: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """The slot of each version, with what its counters said when the version came; written down.

        A version that has left keeps its slot until another needs it: it may still be answering.
        """
        slots = self._read()
        for version in ports:
            if version not in slots:
                if len(slots) == SLOTS:
                    del slots[next(each for each in slots if each not in ports)]
                slot = next(each for each in range(1, SLOTS + 1) if each not in {s["slot"] for s in slots.values()})
                rows = self._rows() if self._daemon.alive() else {}
                slots[version] = {
                    "slot": slot,
                    "since": datetime.now(UTC).isoformat(),
                    "requests": _answered(rows, slot),
                    "errors": _failed(rows, slot),
                }
        beside = self._book.with_suffix(".new")
        beside.write_text(json.dumps(slots), encoding="utf-8")
        beside.replace(self._book)
        return slots

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads(self._book.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self._book} cannot be read.",
                why=str(error),
                fix="Remove the file: the versions are given slots anew, and what HAProxy has counted begins anew.",
            ) from error

    def _start(self, ports: Mapping[int, int], entries: Mapping[str, str]) -> None:
        table = "".join(f"{name} {value}\n" for name, value in entries.items())
        (self.folder / "table.map").write_text(table, encoding="utf-8")
        backends = [BACKENDS.format(slot=slot, at=ports.get(slot, NOBODY)) for slot in range(1, SLOTS + 1)]
        text = CONFIGURATION.format(port=self.port, whole=WHOLE, grace=HARD_STOP_SECONDS) + "".join(backends)
        (self.folder / "haproxy.cfg").write_text(text, encoding="utf-8")
        (self.folder / "admin.sock").unlink(missing_ok=True)
        self._daemon.launch([self.program, "-db", "-f", "haproxy.cfg"], environ_of())
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                self._asked("show version")
                return
            except OSError as error:
                words = self._daemon.last_words()
                if not self._daemon.alive() and "cannot bind" in words:
                    raise taken(self.port, words) from error
                if not self._daemon.alive() or time.monotonic() > give_up:
                    raise RemoteError("HAProxy does not start.", why=words[-1_000:] or str(error)) from error
            time.sleep(0.02)

    def _tell(self, ports: Mapping[int, int], entries: Mapping[str, str]) -> None:
        for slot, port in ports.items():
            for kind in ("slot", "asked"):
                said = self._ask(f"set server {kind}{slot}/only addr 127.0.0.1 port {port}")
                if "change" not in said:
                    raise _refused(said)
        prepared = re.search(r"New version created: (\d+)", said := self._ask("prepare map table.map"))
        if prepared is None:
            raise _refused(said)
        added = [f"add map @{prepared[1]} table.map {name} {value}" for name, value in entries.items()]
        said = self._ask("; ".join([*added, f"commit map @{prepared[1]} table.map"]))
        if said.strip():
            raise _refused(said)

    def _rows(self) -> dict[str, dict[str, str]]:
        """Its statistics by backend."""
        table = csv.DictReader(self._ask("show stat -1 2 -1").removeprefix("# ").splitlines())
        return {row["pxname"]: row for row in table}

    def _ask(self, command: str) -> str:
        try:
            return self._asked(command)
        except OSError as error:
            raise SilentError(
                "HAProxy does not answer.",
                why=self._daemon.last_words()[-1_000:] or str(error),
                fix="Run the job again; it is started anew where it has ended or hangs.",
            ) from error

    def _asked(self, command: str) -> str:
        with connected(self.folder / "admin.sock", START_SECONDS) as line:
            line.sendall(f"{command}\n".encode())
            return b"".join(_parts(line)).decode(errors="replace")


def program() -> str | None:
    """Where HAProxy lies; None where it is not installed."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM))
    return shutil.which("haproxy", path=path)


def traffic_of(kept: Kept) -> dict[str, float]:
    """The shares in an order that stays: with another one, keys would change their version for no reason."""
    return {version: kept.shares[version] for version in kept.versions if kept.shares.get(version)}


def _answered(rows: Mapping[str, Mapping[str, str]], slot: int) -> int:
    row = rows.get(f"slot{slot}", {})
    return sum(int(row.get(f"hrsp_{kind}") or 0) for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))


def _failed(rows: Mapping[str, Mapping[str, str]], slot: int) -> int:
    """Whatever is no prediction: MLflow's server answers 400 where the model itself fails."""
    return _answered(rows, slot) - int(rows.get(f"slot{slot}", {}).get("hrsp_2xx") or 0)


def _parts(line: socket.socket) -> Iterator[bytes]:
    while part := line.recv(65_536):
        yield part


def _refused(said: str) -> RemoteError:
    return RemoteError("HAProxy does not take the traffic.", why=said.strip()[:500])
