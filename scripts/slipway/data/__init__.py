"""Domain floor: what a dataset must look like (a pandera schema) and whether it does. No network, no GitHub."""
