"""Workflow commands: annotations, groups, masks. Text is escaped, so no message can forge another command.

Escapes: https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
Outside of GitHub Actions the same calls print plain lines, so that a person can run every stage locally.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from slipway.runner.errors import SlipwayError


def on_runner() -> bool:
    """Whether the output is read by GitHub Actions (or by act)."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def escape_data(text: str) -> str:
    """`text` as the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """`text` as a property (title, file) of a workflow command."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def say(text: str = "") -> None:
    """Print one or more lines of our own that must not be read as workflow commands.

    The runner looks for `::command` at the start of a line after white space, and for `##[command]` anywhere in it
    (https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs). A zero-width space is set into
    both: they stay readable and mean nothing.
    """
    for line in text.splitlines() or [""]:
        guard = "\u200b" if line.lstrip().startswith("::") else ""
        print(guard + line.replace("##[", "##\u200b["), flush=True)


def notice(message: str, *, title: str = "") -> None:
    """A remark beside the run."""
    _annotate("notice", message, title=title)


def warning(message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
    """Something that a person should look at, which fails nothing."""
    _annotate("warning", message, title=title, file=file, line=line)


def error(message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
    """What made the step fail."""
    _annotate("error", message, title=title, file=file, line=line)


def report_error(failure: SlipwayError) -> None:
    """Show an expected failure as one annotation, on its file and line where it has one."""
    error(str(failure), title=failure.title, file=failure.file, line=failure.line)


def mask(secret: str) -> None:
    """Have the runner replace `secret` in every later line of the log. Each line of it is masked alone."""
    if on_runner():
        for line in secret.splitlines():
            if line.strip():
                print(f"::add-mask::{escape_data(line)}", flush=True)


@contextmanager
def group(title: str) -> Iterator[None]:
    """Fold the lines printed inside under `title`."""
    if not on_runner():
        say(f"── {title}")
        yield
        return
    print(f"::group::{escape_data(title)}", flush=True)
    try:
        yield
    finally:
        print("::endgroup::", flush=True)


@contextmanager
def commands_stopped() -> Iterator[None]:
    """Let the lines printed inside (a user's command, a traceback) be text only: no command in them is obeyed.

    The token is random for each use, so that the text cannot switch commands on again.
    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#stopping-and-starting-workflow-commands
    """
    if not on_runner():
        yield
        return
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        # A text without a newline at its end would swallow the command that follows it.
        print(f"\n::{token}::", flush=True)


def _annotate(command: str, message: str, *, title: str, file: str = "", line: int = 0) -> None:
    if not on_runner():
        place = f" {file}:{line}:" if file and line else f" {file}:" if file else ""
        sys.stdout.flush()
        print(f"{command}:{place} {message}", file=sys.stderr, flush=True)
        return
    properties = {"title": title, "file": file, "line": str(line) if line else ""}
    shown = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items() if value)
    print(f"::{command}{' ' if shown else ''}{shown}::{escape_data(message)}", flush=True)
