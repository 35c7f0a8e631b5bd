"""Domain floor: what the columns of a dataset hold, as a small value that adds up. No files, no network, no GitHub."""

from slipway.profiles.counting import MOST_VALUES, by_value, of_batches, of_frame
from slipway.profiles.document import lines, read, read_lines, text
from slipway.profiles.profile import Column, Profile, merge

__all__ = [
    "MOST_VALUES",
    "Column",
    "Profile",
    "by_value",
    "lines",
    "merge",
    "of_batches",
    "of_frame",
    "read",
    "read_lines",
    "text",
]
