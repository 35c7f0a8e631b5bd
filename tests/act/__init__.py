"""Runs workflows under act on this machine, with stand-ins for the actions that GitHub would download."""
