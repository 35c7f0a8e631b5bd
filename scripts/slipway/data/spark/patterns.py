"""Regular expressions of polars (Rust's) in the words of Spark (Java's): only what means the same to both."""

from __future__ import annotations

import re

SAME_ESCAPES = frozenset("dDwWsSbBAznrtf")
ESCAPED_SIGNS = frozenset("\\.+*?()|[]{}^$#&-~/")
FLAGS = re.compile(r"\(\?(?:[is]+:?|:)|\((?!\?)")
REPEATED = re.compile(r"\{\d+(?:,\d*)?\}")
CODE = re.compile(r"\\x(?:[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})")
CATEGORY = re.compile(r"\\[pP](?:[LMNPSZC]|\{[LMNPSZC][a-z]?\})")
SET_OPERATIONS = ("&&", "--", "~~", "[")

LEAD = "(?dU)"
"""Java's flags for Rust's defaults: only a line feed ends a line, and `\\d`, `\\w`, `\\s`, `\\b` are Unicode's."""


def to_java(pattern: str) -> str:
    """The pattern for Java's engine, which finds a match in a text where Rust's finds one in it.

    Raises ValueError where the pattern holds something that the two understand differently, or only one of them.
    """
    made, place, repeats = [LEAD], 0, False
    while place < len(pattern):
        sign = pattern[place]
        if sign in "*+?{":
            piece = _repetition(pattern, place, repeats)
            repeats = not (repeats and piece == "?") or repeats
        else:
            piece, repeats = _piece(pattern, place), False
        place += len(piece)
        # Java's `$` also matches before a last line feed.
        made.append(r"\z" if piece == "$" else piece)
    return "".join(made)


def _piece(pattern: str, place: int) -> str:
    """What stands at `place`, up to the next that can be judged by itself."""
    sign = pattern[place]
    if sign == "\\":
        return _escape(pattern, place)
    if sign == "[":
        return _class(pattern, place)
    if sign == "(":
        found = FLAGS.match(pattern, place)
        return found.group() if found else _refuse(pattern[place : place + 4])
    return sign


def _repetition(pattern: str, place: int, repeats: bool) -> str:
    sign = pattern[place]
    if repeats and (sign != "?" or pattern[place - 1 : place] == "?"):
        _refuse(pattern[place - 1 : place + 1])  # possessive for Java, a repeated repetition for Rust
    if sign != "{":
        return sign
    found = REPEATED.match(pattern, place)
    return found.group() if found else _refuse(pattern[place : place + 4])


def _escape(pattern: str, place: int) -> str:
    for known in (CODE, CATEGORY):
        if found := known.match(pattern, place):
            return found.group()
    following = pattern[place + 1 : place + 2]
    if following not in SAME_ESCAPES | ESCAPED_SIGNS or (pattern[place + 2 : place + 3] == "{" and following in "bB"):
        _refuse(pattern[place : place + 2])
    return pattern[place : place + 2]


def _class(pattern: str, place: int) -> str:
    """A class such as `[^a-z_]`, without sets inside of it."""
    end = place + (2 if pattern[place + 1 : place + 2] == "^" else 1)
    start = end
    while end < len(pattern) and (pattern[end] != "]" or end == start):
        inside = pattern[end]
        if pattern[end : end + 2] in SET_OPERATIONS or inside == "[" or (inside == "]" and end == start):
            _refuse(pattern[place : end + 2])
        end += len(_escape(pattern, end)) if inside == "\\" else 1
    return pattern[place : end + 1]


def _refuse(piece: str) -> str:
    raise ValueError(f"`{piece}` in the pattern does not mean the same to Spark (Java) and to polars (Rust)")
