"""Typed inputs: every type, what counts as absent, errors in the user's words, and secrets that stay secret."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slipway.runner import inputs
from slipway.runner.errors import InputError
from slipway.runner.inputs import NO_SECRET, Secret

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "ghs_" + "s3cr3t" * 5


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Every type that an input may have."""

    text: str
    number: int = 1
    share: float = 0.5
    flag: bool = False
    file: Path = Path("slipway.yml")
    maybe: Path | None = None
    count: int | None = None
    lines: tuple[str, ...] = ()
    mode: Literal["warn", "fail"] = "warn"
    github_token: Secret = NO_SECRET


def read(argv: tuple[str, ...] = (), **environ: str) -> Everything:
    return inputs.read(Everything, {f"INPUT_{name.upper()}": value for name, value in environ.items()}, argv)


def problem(argv: tuple[str, ...] = (), **environ: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read(argv, **environ)
    return caught.value


def test_read__every_type() -> None:
    found = read(
        text="  naïve 🚢 ",
        number=" 12 ",
        share="1e-3",
        flag="TRUE",
        file="a folder/x.yml",
        maybe="y.json",
        count="3",
        lines=" a \n\n b c\r\n",
        mode="fail",
        github_token=TOKEN,
    )
    assert found.github_token.reveal() == TOKEN
    assert dataclasses.replace(found, github_token=NO_SECRET) == Everything(
        text="naïve 🚢",
        number=12,
        share=0.001,
        flag=True,
        file=Path("a folder/x.yml"),
        maybe=Path("y.json"),
        count=3,
        lines=("a", "b c"),
        mode="fail",
    )


@pytest.mark.parametrize("empty", ["", " ", "\n\t"])
def test_read__empty_is_absent(empty: str) -> None:
    names = [each.name for each in dataclasses.fields(Everything) if each.name != "text"]
    given = {"text": "x", **dict.fromkeys(names, empty)}
    assert read(**given) == Everything(text="x")  # type: ignore[arg-type]
    assert problem(text=empty).what == "`text` is required and was not given."


@pytest.mark.parametrize("text", ["true", "True", "YES", "on", "1"])
def test_read__what_is_true(text: str) -> None:
    assert read(text="x", flag=text).flag is True


@pytest.mark.parametrize("text", ["false", "False", "NO", "off", "0"])
def test_read__what_is_false(text: str) -> None:
    assert read(text="x", flag=text).flag is False


def test_read__names_every_wrong_input_at_once_in_the_users_words() -> None:
    failure = problem(number="1.5", share="much", flag="maybe", count="x", mode="Warn")
    assert failure.what == (
        "`text` is required and was not given; "
        "`number` must be a whole number, not `1.5`; "
        "`share` must be a number, not `much`; "
        "`flag` must be `true` or `false`, not `maybe`; "
        "`count` must be a whole number, not `x`; "
        "`mode` must be one of `warn`, `fail`, not `Warn`."
    )
    assert "`with:` block" in failure.fix


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
def test_read__a_number_is_finite(text: str) -> None:
    assert problem(text="x", share=text).what == f"`share` must be a finite number, not `{text}`."


def test_read__a_type_that_nobody_thought_of_is_our_defect() -> None:
    @dataclass
    class Odd:
        when: complex = 0j

    with pytest.raises(TypeError, match="an input cannot be declared"):
        inputs.read(Odd, {"INPUT_WHEN": "1"})


def test_options__come_before_the_environment() -> None:
    found = read(("--text", "option", "--github-token-file=x")[:2], text="environment", number="4")
    assert (found.text, found.number) == ("option", 4)


def test_options__are_kebab_case() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Two:
        model_version: str = ""

    assert inputs.read(Two, {}, ["--model-version=7"]).model_version == "7"


def test_options__an_unknown_one_is_the_callers_mistake() -> None:
    failure = problem(("--Text-File", "A"), text="x")
    assert failure.what == "Unrecognized arguments: --Text-File A."
    assert failure.fix.startswith("usage:")


def test_options__cannot_be_abbreviated() -> None:
    assert "Unrecognized arguments: --numb=3" in problem(("--numb=3",), text="x").what


@pytest.mark.parametrize("argv", [("--github-token", TOKEN), (f"--github-token={TOKEN}",)])
def test_options__there_is_none_for_a_secret(argv: tuple[str, ...]) -> None:
    failure = problem(argv, text="x")
    assert failure.what == "`github-token` is a secret and has no option."
    assert "INPUT_GITHUB_TOKEN" in failure.fix
    assert TOKEN not in str(failure)


def test_options__several_values_of_a_list() -> None:
    assert read(("--text", "x", "--lines", "a b", "c", "--lines", "d\ne")).lines == ("a b", "c", "d", "e")


def test_options__help_says_what_is_required_and_what_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(("--help",))
    shown = " ".join(capsys.readouterr().out.split())
    assert "--text TEXT (required)" in shown
    assert "--mode MODE (one of: warn, fail; default: warn)" in shown
    assert "(several may be given)" in shown
    assert "--maybe MAYBE --count COUNT" in shown


@pytest.mark.parametrize("action", [ROOT / "action.yml", *sorted(ROOT.glob("actions/*/action.yml"))], ids=str)
def test_sentences__are_those_of_the_action(action: Path) -> None:
    name = "run_pipeline" if action.parent == ROOT else action.parent.name.replace("-", "_")
    said = yaml.safe_load(action.read_text(encoding="utf-8"))["inputs"]
    assert inputs.sentences(ROOT / "scripts" / f"{name}.py") == {key: each["description"] for key, each in said.items()}


def test_options__help_lists_inputs_but_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(("--help",))
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--lines" in shown
    assert "default: slipway.yml" in shown
    assert "--github-token" not in shown


def test_secret__is_masked_when_it_is_read(on_runner: None, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(text="x", github_token=f" {TOKEN}\n")
    assert capsys.readouterr().out == f"::add-mask::{TOKEN}\n"
    assert found.github_token.reveal() == TOKEN


def test_secret__is_masked_even_where_another_input_is_wrong(
    on_runner: None, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = problem(number="x", github_token=TOKEN)
    assert f"::add-mask::{TOKEN}" in capsys.readouterr().out
    assert TOKEN not in str(failure)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        ascii,
        lambda given: f"{given} {given!r} {given:>40}",
        lambda given: "{} {:s}".format(given, "x"),
        lambda given: "%s %r" % (given, given),  # noqa: UP031 - one more way to print
        lambda given: repr(Everything(text="x", github_token=given)),
        lambda given: repr([given, {given: given}]),
    ],
)
def test_secret__never_shows(show: Any) -> None:
    assert TOKEN not in show(Secret(TOKEN))
    assert "***" in show(Secret(TOKEN))


@pytest.mark.parametrize(
    "write",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        lambda it: dataclasses.asdict(Everything(text="", github_token=it)),
    ],
)
def test_secret__is_never_serialised(write: Any) -> None:
    with pytest.raises(TypeError) as caught:
        write(Secret(TOKEN))
    assert TOKEN not in str(caught.value)


def test_secret__is_not_in_a_traceback() -> None:
    given = Secret(TOKEN)
    try:
        raise ValueError(f"cannot use {given}", given)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "***" in shown
    assert TOKEN not in shown


def test_secret__is_true_where_there_is_one() -> None:
    assert Secret(TOKEN)
    assert not NO_SECRET


def test_names__of_a_field() -> None:
    assert inputs.user_name("model_version") == "model-version"
    assert inputs.variable("model_version") == "INPUT_MODEL_VERSION"


def test_default_text__is_what_action_yml_says() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Defaults:
        required: str
        text: str = "a"
        flag: bool = True
        off: bool = False
        number: int = 3
        nothing: Path | None = None
        lines: tuple[str, ...] = ("a", "b")
        made: tuple[str, ...] = field(default_factory=lambda: ("c",))
        token: Secret = NO_SECRET

    shown = {each.name: inputs.default_text(each) for each in dataclasses.fields(Defaults)}
    assert shown == {
        "required": "",
        "text": "a",
        "flag": "true",
        "off": "false",
        "number": "3",
        "nothing": "",
        "lines": "a\nb",
        "made": "c",
        "token": "",
    }
    assert [each.name for each in dataclasses.fields(Defaults) if inputs.is_required(each)] == ["required"]


@given(st.text())
def test_read__any_text_is_a_value_or_an_input_error(text: str) -> None:
    environ = {inputs.variable(each.name): text for each in dataclasses.fields(Everything)}
    try:
        found = inputs.read(Everything, environ)
    except InputError as failure:
        assert failure.what.endswith(".")  # noqa: PT017 - both outcomes are right
    else:
        assert found.text == text.strip()
