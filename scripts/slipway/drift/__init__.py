"""Domain floor: how far the columns of two profiles are apart. No files, no network, no GitHub."""
