"""Strict reading of YAML into typed values: unknown and repeated keys are errors, with line and nearest known key."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from slipway.policy import wording
from slipway.runner.errors import PolicyError

T = TypeVar("T", bound=BaseModel)


def read_text(text: str, model: type[T], *, file: str, page: str = "docs/policy.md") -> T:
    """`text` (YAML) as `model`. page: the documentation that explains its keys.

    Raises PolicyError that names file, line and every problem; a misspelt key comes with the key that was meant.
    """
    content = _parse(text, file)
    try:
        return model.model_validate(content)
    except ValidationError as invalid:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        # A key that is missing was often misspelt: the line that mends it comes first.
        errors = sorted(invalid.errors(), key=lambda error: error["type"] == "missing")
        problems = _merged(_problem(error, node, model) for error in errors)
    lines = [f"line {each.line}: {each.in_words}" if each.line else each.in_words for each in problems]
    raise PolicyError(
        f"{file} is not valid: {lines[0]}" if len(lines) == 1 else f"{file} has {len(lines)} problems.",
        why="" if len(lines) == 1 else "\n" + "\n".join(f"- {line}" for line in lines),
        fix=f"Correct {file}; {page} explains every key.",
        file=file,
        line=problems[0].line,
    )


@dataclass(frozen=True)
class Problem:
    """What is wrong. line: 0 if unknown. path: the key that `message` is about; empty where the message names it."""

    line: int
    path: str
    message: str

    @property
    def in_words(self) -> str:
        """The whole sentence."""
        return f"`{self.path}`: {self.message}" if self.path else self.message


def _merged(problems: Iterable[Problem]) -> list[Problem]:
    """As a value of several types has one error for each that it could have: one sentence that names them all."""
    found: dict[tuple[int, str, str], list[str]] = {}
    for each in problems:
        start, must, rest = each.message.rpartition(wording.MUST)
        mergeable = bool(each.path and must and not start)
        place = (each.line, each.path, "" if mergeable else each.message)
        found.setdefault(place, []).append(rest if mergeable else "")
    return [
        Problem(line, path, message or wording.MUST + wording.either(dict.fromkeys(rests)))
        for (line, path, message), rests in found.items()
    ]


def line_of(text: str, location: tuple[str | int, ...]) -> int:
    """The line (from 1) of the deepest part of `location`, keys and positions, that `text` (YAML) has."""
    return _locate(yaml.compose(text, Loader=yaml.SafeLoader), location)[0]


def _parse(text: str, file: str) -> Any:
    try:
        loader = yaml.SafeLoader(text)  # not libyaml's: it crashes where brackets are nested 100,000 deep
        node = loader.get_single_node()
        _refuse_repeated_keys(node, file, set())
        content = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise PolicyError(
            f"{file} is not YAML.",
            why=" ".join(str(getattr(error, "problem", error)).split()),
            fix="Check indentation, colons and quotes around that line.",
            file=file,
            line=mark.line + 1 if mark else 0,
        ) from error
    except (ValueError, RecursionError) as error:  # 2001-99-99, `!!int foo`, brackets by the thousand
        raise PolicyError(f"{file} holds a value that cannot be read.", why=str(error), file=file) from error
    if node is None:
        raise PolicyError(f"{file} is empty.", file=file)
    return content


def _refuse_repeated_keys(node: yaml.Node | None, file: str, visited: set[int]) -> None:
    """YAML loaders keep the last of two equal keys without a word, which can drop a gate."""
    if id(node) in visited:  # an alias: it can stand for itself, or for more than could ever be walked through
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise PolicyError(
                    f"{file} has the key `{key.value}` twice in one place.",
                    fix="Keep one of the two.",
                    file=file,
                    line=key.start_mark.line + 1,
                )
            seen.add(key.value)
            _refuse_repeated_keys(value, file, visited)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, file, visited)


def _problem(error: Any, root: yaml.Node | None, model: type[BaseModel]) -> Problem:
    """One of pydantic's errors, in our words."""
    line, found = _locate(root, error["loc"])
    path = ".".join(str(part) for part in found)
    if error["type"] == "extra_forbidden":
        if found[-1:] != [error["loc"][-1]]:  # it came through a merge key (`<<`), so it stands elsewhere in the file
            found.append(error["loc"][-1])
            path = ".".join(map(str, found))
        known = sorted(_keys_at(model, found[:-1]))
        close = difflib.get_close_matches(str(found[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(known)}"
        return Problem(line, "", f"`{path}` is not a known key; {hint}")
    if error["type"] == "missing":
        return Problem(line, "", f"`{'.'.join(map(str, [*found, error['loc'][-1]]))}` is required")
    message = wording.of(error)
    if not path and error["type"] in ("model_type", "dict_type"):
        return Problem(line, "", f"the file {message}")
    return Problem(line, path, message)


def _locate(node: yaml.Node | None, location: tuple[Any, ...]) -> tuple[int, list[Any]]:
    """Line of the deepest node on the way to `location`, and the keys of that way.

    A part that is no key of the file (pydantic names the branch of a union, too) is stepped over.
    """
    line = node.start_mark.line + 1 if node else 0
    found: list[Any] = []
    for part in location:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                continue
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            continue
        found.append(part)
    return line, found


def _keys_at(model: type[BaseModel], place: list[Any]) -> set[str]:
    """The keys that `model` knows at `place`."""
    kinds: list[Any] = [model]
    for part in place:
        kinds = [inner for kind in kinds for inner in _step(kind, part)]
    return {
        field.alias or name
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
    }


def _step(kind: Any, part: Any) -> list[Any]:
    """The types that stand under key or index `part` of a value of type `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return _alternatives(fields.get(str(part)))
    if get_origin(kind) in (dict, list, tuple):
        return _alternatives(get_args(kind)[-1])
    return []


def _alternatives(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        return [inner for option in get_args(kind) for inner in _alternatives(option)]
    return [kind]
