"""The ground floor: everything that knows the GitHub runner. Standard library only, so it starts at once."""
