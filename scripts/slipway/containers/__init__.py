"""Container images and containers, through the programs that are there: Buildah, Podman, Docker."""
