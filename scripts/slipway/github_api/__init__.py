"""GitHub through PyGithub. One kind of thing a module."""
