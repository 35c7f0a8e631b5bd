"""Typed inputs: a frozen dataclass read from `INPUT_*` variables, each error in the words of the user's `with:` block.

A composite action exports no `INPUT_*` by itself and GitHub enforces no `required: true`
(https://docs.github.com/actions/reference/workflows-and-actions/metadata-syntax#inputs), so the steps forward each
input in `env:` and everything is checked here. Locally the same inputs are `--kebab-case` options.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from slipway.runner import commands
from slipway.runner.errors import InputError

T = TypeVar("T")

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})


class Secret:
    """A token. It is masked in the log when read, and shows as `***` wherever it would be printed by mistake."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself; call it only where it is handed to the system that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret is never serialised")

    def __bool__(self) -> bool:
        return bool(self._value)


NO_SECRET = Secret("")
"""The default of an input for a token."""


def read(inputs_type: type[T], environ: Mapping[str, str], argv: Sequence[str] = ()) -> T:
    """Build `inputs_type` (a dataclass) from the environment, local options first.

    An empty value counts as absent: that is what an input that was not given looks like in `env:`.
    Raises InputError that names every wrong input at once.
    """
    options = _options(inputs_type, argv)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field, kind in _declared(inputs_type):
        text = options.get(field.name) or environ.get(variable(field.name), "")
        if not text.strip():
            if is_required(field):
                problems.append(f"`{user_name(field.name)}` is required and was not given")
            continue
        try:
            values[field.name] = _convert(text, kind)
        except ValueError as error:
            shown = "" if kind is Secret else f", not `{text.strip()}`"
            problems.append(f"`{user_name(field.name)}` must be {error}{shown}")
    if problems:
        raise InputError(
            "; ".join(problems) + ".",
            fix="Correct the `with:` block of the step (locally: the `--options`; `--help` lists them).",
        )
    return inputs_type(**values)


def user_name(field_name: str) -> str:
    """`model_version` as the user writes it: `model-version`."""
    return field_name.replace("_", "-")


def variable(field_name: str) -> str:
    """`model_version` as the step's environment carries it: `INPUT_MODEL_VERSION`."""
    return f"INPUT_{field_name.upper()}"


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether the field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def default_text(field: dataclasses.Field[Any]) -> str:
    """The field's default as action.yml writes it (`""` for none)."""
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if value is dataclasses.MISSING or value is None or isinstance(value, Secret):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "\n".join(map(str, value))
    return str(value)


def _declared(inputs_type: type[Any]) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(inputs_type)
    return [(field, hints[field.name]) for field in dataclasses.fields(inputs_type)]


def _options(inputs_type: type[Any], argv: Sequence[str]) -> dict[str, str]:
    """The local `--options`. Secrets have none: a command line can be read by every process of the machine."""
    # No abbreviations: what one means would change with the next input that starts alike.
    parser = _Parser(description=(inputs_type.__doc__ or "").split("\n")[0], allow_abbrev=False)
    said = sentences(Path(sys.argv[0]))
    for field, kind in _declared(inputs_type):
        option = f"--{user_name(field.name)}"
        if kind is Secret and any(given.partition("=")[0] == option for given in argv):
            raise InputError(
                f"`{user_name(field.name)}` is a secret and has no option.",
                why="Every process of the machine can read a command line.",
                fix=f"Set the environment variable {variable(field.name)}.",
            )
        if kind is not Secret:
            several: dict[str, Any] = {"nargs": "+", "action": "extend"} if get_origin(kind) is tuple else {}
            text = " ".join(filter(None, (said.get(user_name(field.name), ""), _shape(field, kind))))
            name = user_name(field.name).upper().replace("-", "_")
            parser.add_argument(option, dest=field.name, metavar=name, help=text.replace("%", "%%"), **several)
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    return {name: "\n".join(value) if isinstance(value, list) else value for name, value in given.items()}


def sentences(script: Path) -> dict[str, str]:
    """What the action of a script says of each input, by the user's name for it; nothing for a script without one.

    Read by its layout, which a test holds against the YAML: the runner kit is standard library only.
    """
    root = script.resolve().parents[1]
    stage = script.stem.replace("_", "-")
    action = root / "action.yml" if stage == "run-pipeline" else root / "actions" / stage / "action.yml"
    if not action.is_file():
        return {}
    listed = action.read_text(encoding="utf-8").partition("\ninputs:\n")[2].partition("\noutputs:\n")[0]
    found = re.findall(r"^  ([a-z0-9-]+):\n    description: (.+(?:\n      .+)*)$", listed, flags=re.MULTILINE)
    plain = ((name, " ".join(text.split())) for name, text in found)
    return {name: text[1:-1].replace("''", "'") if text[0] == text[-1] == "'" else text for name, text in plain}


def _shape(field: dataclasses.Field[Any], kind: Any) -> str:
    """Whether an input must be given, what it may be, and what it is by default."""
    choices = [choice for part in (kind, *get_args(kind)) if get_origin(part) is Literal for choice in get_args(part)]
    parts = ["required"] if is_required(field) else []
    parts += [f"one of: {', '.join(map(str, choices))}"] if choices else []
    parts += ["several may be given"] if get_origin(kind) is tuple else []
    default = "" if is_required(field) else default_text(field)
    parts += [f"default: {default}"] if default else []
    return f"({'; '.join(parts)})" if parts else ""


class _Parser(argparse.ArgumentParser):
    """argparse ends a wrong command line with exit code 2, which here means a defect of ours."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[0].upper()}{message[1:]}.", fix=self.format_usage().strip())


def _convert(text: str, kind: Any) -> Any:
    """`text` as `kind`; ValueError says what it must be."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
        origin = get_origin(kind)
    if origin is Literal:
        if text.strip() not in get_args(kind):
            raise ValueError("one of " + ", ".join(f"`{choice}`" for choice in get_args(kind)))
        return text.strip()
    if origin is tuple:
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if kind is Secret:
        commands.mask(text.strip())
        return Secret(text.strip())
    if kind is bool:
        return _boolean(text.strip().lower())
    if kind is Path:
        return Path(text.strip())
    if kind in (int, float):
        try:
            number = kind(text.strip())
        except ValueError:
            raise ValueError("a whole number" if kind is int else "a number") from None
        if not math.isfinite(number):
            raise ValueError("a finite number")
        return number
    if kind is str:
        return text.strip()
    raise TypeError(f"an input cannot be declared as {kind}")


def _boolean(text: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError("`true` or `false`")
