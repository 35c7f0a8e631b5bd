"""What a release does next, from what is on record and what is really served: pure, and the same for every target."""
