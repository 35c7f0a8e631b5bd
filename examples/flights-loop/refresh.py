"""Move the windows on: learn from the two months before the newest one, and be judged on that one.

FLIGHTS_ARCHIVE is where the months arrive, one parquet file each: a bucket in real life, a folder here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

MONTHS_TO_LEARN_FROM = 2


def main() -> None:
    arrived = sorted(Path(os.environ["FLIGHTS_ARCHIVE"]).glob("*.parquet"))
    if len(arrived) <= MONTHS_TO_LEARN_FROM:
        sys.exit(f"{len(arrived)} months have arrived; {MONTHS_TO_LEARN_FROM + 1} are needed.")
    *_, newest = arrived
    windows = {"train": arrived[-1 - MONTHS_TO_LEARN_FROM : -1], "holdout": [newest]}
    for name, months in windows.items():
        folder = Path("data") / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for month in months:
            shutil.copy(month, folder)
        print(f"{folder}: {', '.join(month.stem for month in months)}")
    subprocess.run(["dvc", "add", "--quiet", "data/train", "data/holdout"], check=True)
    subprocess.run(["dvc", "push", "--quiet"], check=True)


if __name__ == "__main__":
    main()
