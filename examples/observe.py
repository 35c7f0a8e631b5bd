"""Temporary: what the gateway has counted, as an observation."""

import http.client
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

place = Path(sys.argv[1])
os.chdir(place / "gateway")
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("admin.sock")
connection.request("GET", "/counters")
told = json.loads(connection.getresponse().read())
shares = json.loads((place / "state.json").read_text())["shares"]
canary, baseline = os.environ["SLIPWAY_CANARY"], os.environ["SLIPWAY_BASELINE"]
line = {
    "schema_version": 1,
    "at": datetime.now(UTC).isoformat(),
    "share": shares.get(canary),
    "canary": told[canary]["arm"],
    "baseline": told[baseline]["arm"],
}
Path(os.environ["SLIPWAY_OBSERVATIONS"]).write_text(json.dumps(line) + "\n")
