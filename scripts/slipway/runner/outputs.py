"""Step outputs and the step summary."""

from __future__ import annotations

import dataclasses
import os
import secrets
from pathlib import Path
from typing import Any

from slipway.runner import commands
from slipway.runner.inputs import user_name

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of a step's summary; a larger one is dropped whole by GitHub, with an annotation.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits"""

SUMMARY_CUT = "\n\n*Cut here: a step summary holds 1 MiB. The report's JSON file has everything.*\n"


def publish(outputs: Any) -> None:
    """Write a dataclass of outputs (`None` becomes empty) for later steps to read as `steps.<id>.outputs.<name>`."""
    pairs = {user_name(field.name): getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    target = os.environ.get("GITHUB_OUTPUT")
    if not target:
        for name, value in pairs.items():
            commands.say(f"{name} = {_text(value)}")
        return
    with Path(target).open("a", encoding="utf-8", newline="\n") as file:
        for name, value in pairs.items():
            file.write(_heredoc(name, _text(value)))


def read(path: Path) -> dict[str, str]:
    """The outputs that `publish` wrote into a step's output file. One that breaks off in the middle is left out."""
    found: dict[str, str] = {}
    # Not in text mode, which would turn a carriage return of a value into a line end.
    lines = path.read_bytes().decode().split("\n")
    while lines:
        name, mark, delimiter = lines.pop(0).partition("<<")
        if mark and delimiter in lines:
            end = lines.index(delimiter)
            found[name] = "\n".join(lines[:end])
            del lines[: end + 1]
    return found


def summarise(markdown: str) -> None:
    """Append Markdown to the step's summary; cut on a line boundary where the limit is reached."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    path = Path(target)
    room = _left(path)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(_cut(markdown + "\n", room))


def summary_room() -> int:
    """Bytes of Markdown that the step's summary takes whole; 0 where it is full, or where there is none."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    return max(0, _left(Path(target)) - 1) if target else 0


def _left(path: Path) -> int:
    return SUMMARY_LIMIT - (path.stat().st_size if path.exists() else 0)


def _cut(markdown: str, room: int) -> str:
    encoded = markdown.encode()
    if len(encoded) <= room:
        return markdown
    kept = encoded[: max(0, room - len(SUMMARY_CUT.encode()))]
    whole_lines = kept[: kept.rfind(b"\n") + 1].decode()
    return whole_lines + SUMMARY_CUT if room >= len(SUMMARY_CUT.encode()) else ""


def _heredoc(name: str, value: str) -> str:
    """A delimiter that the value cannot contain keeps a value from writing outputs of its own."""
    delimiter = f"slipway_{secrets.token_hex(16)}"
    if delimiter in value:
        raise ValueError("a random delimiter occurred in an output")
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
