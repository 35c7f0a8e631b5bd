"""Workflow commands: what the runner makes of what we print, and that no text can add a command to it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_double import COMMANDS, Annotation, Printed, parse_command
from slipway.runner import commands
from slipway.runner.errors import (
    ConflictError,
    GateError,
    InputError,
    PolicyError,
    RemoteError,
    SlipwayError,
)

# Pieces that mean something to the runner come up often; any other character may stand between them.
PIECES = ["::", "##[", "]", "error", "::error::x", "##[error]x", "add-mask", "%0A", "%", "\n", "\r", ",", ":", " ", "="]
HOSTILE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5))).map("".join)


def printed(act: Callable[[], None]) -> Printed:
    """What a runner reads when `act` prints."""
    out = io.StringIO()
    with mock.patch.dict(os.environ, GITHUB_ACTIONS="true"), contextlib.redirect_stdout(out):
        act()
    return Printed().read(out.getvalue())


def local(act: Callable[[], None]) -> tuple[str, str]:
    """What a person sees on stdout and stderr when `act` prints."""
    out, err = io.StringIO(), io.StringIO()
    kept = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    with (
        mock.patch.dict(os.environ, kept, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        act()
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("text", "data", "prop"),
    [
        ("100%", "100%25", "100%25"),
        ("a\r\nb", "a%0D%0Ab", "a%0D%0Ab"),
        ("a:b,c", "a:b,c", "a%3Ab%2Cc"),
        ("%0A", "%250A", "%250A"),
        ("prix élevé 🚢", "prix élevé 🚢", "prix élevé 🚢"),
        ("", "", ""),
    ],
)
def test_escape__is_the_toolkits(text: str, data: str, prop: str) -> None:
    assert (commands.escape_data(text), commands.escape_property(text)) == (data, prop)


def test_error__has_title_file_and_line() -> None:
    read = printed(lambda: commands.error("50% of\nthe rows", title="Gate", file="a,b:c.yml", line=3))
    assert read.annotations == [Annotation("error", "50% of\nthe rows", title="Gate", file="a,b:c.yml", line=3)]


def test_annotation__without_properties_has_no_space() -> None:
    out = io.StringIO()
    with mock.patch.dict(os.environ, GITHUB_ACTIONS="true"), contextlib.redirect_stdout(out):
        commands.notice("hello")
    assert out.getvalue() == "::notice::hello\n"


@given(message=HOSTILE, title=HOSTILE, file=HOSTILE)
def test_annotation__carries_any_text_and_nothing_else(message: str, title: str, file: str) -> None:
    read = printed(lambda: commands.warning(message, title=title, file=file, line=1))
    (only,) = read.annotations
    assert (only.level, only.message, only.line) == ("warning", message, 1)
    # .NET drops empty properties and trims blanks around the list; a title is never made of these alone.
    assert only.title.strip() == title.strip()
    assert not (read.masked or read.groups or read.stop_token)


@given(HOSTILE)
def test_say__is_never_a_command(text: str) -> None:
    read = printed(lambda: commands.say(text))
    assert not (read.annotations or read.masked or read.groups or read.stop_token)
    assert all(parse_command(line, COMMANDS | {"set-output", "set-env"}) is None for line in read.lines)


@given(HOSTILE)
def test_say__shows_the_text(text: str) -> None:
    shown = "".join(printed(lambda: commands.say(text)).lines).replace("\u200b", "")
    assert shown == "".join(text.splitlines()).replace("\u200b", "")


@pytest.mark.parametrize("text", ["##[error]forged", "loss 0.1 ##[error]forged", "x ##[group]y", " \t::error::forged"])
def test_say__breaks_commands_of_both_notations(text: str) -> None:
    assert parse_command(text, COMMANDS) is not None
    assert printed(lambda: commands.say(text)).annotations == []


@given(HOSTILE)
def test_group__title_cannot_forge_a_command(title: str) -> None:
    def act() -> None:
        with commands.group(title):
            commands.say("inside")

    read = printed(act)
    assert read.groups == [title]
    assert not (read.annotations or read.masked or read.stop_token)
    assert read.lines[-3:] == ["inside", "::endgroup::", ""]


def test_group__is_closed_after_a_failure() -> None:
    def act() -> None:
        with pytest.raises(ValueError, match="inside"), commands.group("t"):
            raise ValueError("inside")

    assert printed(act).lines[-2] == "::endgroup::"


def test_mask__covers_each_line_of_a_secret() -> None:
    read = printed(lambda: commands.mask("first\n\nsec%0Aond\r\nthird"))
    assert set(read.masked) == {"first", "sec%0Aond", "third"}


def test_mask__of_nothing_says_nothing() -> None:
    # An empty mask is an error of the runner.
    assert printed(lambda: commands.mask(" \n")).lines == [""]


def test_mask__is_silent_outside_of_a_runner() -> None:
    assert local(lambda: commands.mask("token")) == ("", "")


@given(HOSTILE)
def test_commands_stopped__nothing_inside_is_obeyed(text: str) -> None:
    def act() -> None:
        with commands.commands_stopped():
            print(text, end="")
        commands.error("after")

    read = printed(act)
    assert [each.message for each in read.annotations] == ["after"]
    assert not (read.masked or read.groups or read.stop_token)


def test_commands_stopped__uses_another_token_each_time() -> None:
    tokens: list[str] = []
    for _ in range(2):
        read = Printed()
        out = io.StringIO()
        with mock.patch.dict(os.environ, GITHUB_ACTIONS="true"), contextlib.redirect_stdout(out):
            with commands.commands_stopped():
                read.read(out.getvalue())
            tokens.append(read.stop_token)
    assert len(set(tokens)) == 2
    assert all(len(token) == 32 for token in tokens)


def test_commands_stopped__resumes_after_a_failure() -> None:
    def act() -> None:
        with pytest.raises(ValueError, match="inside"), commands.commands_stopped():
            raise ValueError("inside")

    assert printed(act).stop_token == ""


def test_local__annotations_go_to_stderr_with_their_place() -> None:
    assert local(lambda: commands.error("bad", title="Policy", file="slipway.yml", line=3)) == (
        "",
        "error: slipway.yml:3: bad\n",
    )
    assert local(lambda: commands.warning("odd", file="slipway.yml")) == ("", "warning: slipway.yml: odd\n")
    assert local(lambda: commands.notice("fine")) == ("", "notice: fine\n")


def test_local__groups_and_stopped_commands_are_plain() -> None:
    def act() -> None:
        with commands.group("Build"), commands.commands_stopped():
            print("inside")

    assert local(act) == ("── Build\ninside\n", "")


@pytest.mark.parametrize("kind", [InputError, PolicyError, GateError, RemoteError, ConflictError])
def test_errors__say_what_why_and_what_to_do(kind: type[SlipwayError]) -> None:
    failure = kind("It broke.", why="Because.", fix="Mend it.", file="slipway.yml", line=4)
    (shown,) = printed(lambda: commands.report_error(failure)).annotations
    expected = "It broke.\nWhy: Because.\nWhat to do: Mend it."
    assert shown == Annotation("error", expected, title=kind.title, file="slipway.yml", line=4)


def test_errors__leave_out_what_is_not_known() -> None:
    assert str(GateError("It broke.")) == "It broke."
