"""The tests of the double use the same fixtures as everybody else, also when they run alone."""

from __future__ import annotations

from github_double.fixtures import emulated_github, hub

__all__ = ["emulated_github", "hub"]
