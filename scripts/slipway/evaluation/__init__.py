"""Pure numbers: metrics with their row influences, paired intervals, gates. No files, no network, no registry."""
