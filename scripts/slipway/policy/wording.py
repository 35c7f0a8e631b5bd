"""What a value of a YAML file must be, in plain words in place of pydantic's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MUST = "must be "

OURS = {
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values (`{}` for none)",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping of keys to values (`{}` for none)",
    "string_type": "text",
    "tuple_type": "a list",
}
"""By pydantic's name of the error."""

LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""By pydantic's name of the error: our word, and where pydantic says the limit."""

SHOWN = 40
"""Characters of a value that is quoted."""


def of(error: Any) -> str:
    """One of pydantic's errors in our words; a sentence of our own validators as it is."""
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if kind in LIMITS:
        word, key = LIMITS[kind]
        return f"{MUST}{word} {context[key]:.12g}, and is {value}" if _plain(value) else f"{MUST}{word} {context[key]}"
    if kind in OURS:
        return f"{MUST}{OURS[kind]}"
    if kind == "literal_error":
        return f"{MUST}{context['expected']}"
    if kind in ("too_short", "too_long"):
        few = kind == "too_short"
        count = context["min_length" if few else "max_length"]
        size = f"at {'least' if few else 'most'} {count} {'entry' if count == 1 else 'entries'}"
        return f"must have {size}" if context.get("field_type") == "Dictionary" else f"{MUST}a list of {size}"
    if kind in ("string_too_short", "string_too_long"):
        few = kind == "string_too_short"
        count = context["min_length" if few else "max_length"]
        return f"must have at {'least' if few else 'most'} {count} {'character' if count == 1 else 'characters'}"
    if kind == "string_pattern_mismatch":
        return f"must have the form `{context['pattern']}`"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}"


def either(choices: Iterable[str]) -> str:
    """Several things that a value may be."""
    return ", or ".join(choices)


def _plain(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= SHOWN)
