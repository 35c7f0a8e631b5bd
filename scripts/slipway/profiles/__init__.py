"""Domain floor: what the columns of a dataset hold, as a small value that adds up. No files, no network, no GitHub."""

from slipway.profiles.counting import of_batches, of_frame
from slipway.profiles.document import read, text
from slipway.profiles.profile import Column, Profile, merge

__all__ = ["Column", "Profile", "merge", "of_batches", "of_frame", "read", "text"]
