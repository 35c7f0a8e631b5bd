"""A canary judged by evidence that holds at every look. Pure: no files, no network, no clock of its own."""
