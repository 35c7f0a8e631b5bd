"""A registered version as an OCI image: what goes in, how it is built, tried, pushed, described and verified."""
