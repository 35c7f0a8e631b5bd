"""A process that appends to the ledger of a clone and prints the new head: `ledger_writer.py FOLDER NUMBER…`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))

from ledger_kit import draft, ledger

if __name__ == "__main__":
    receipt = ledger(Path(sys.argv[1])).append([draft(int(number)) for number in sys.argv[2:]])
    assert not receipt.why_not, receipt.why_not
    print(receipt.head)
