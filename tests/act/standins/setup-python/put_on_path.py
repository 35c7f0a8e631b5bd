"""Put this Python first on the PATH of the job's later steps, as actions/setup-python does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as path:
    path.write(f"{Path(sys.executable).parent}\n")
