"""What an entry is, and that its bytes are the only ones that it can have."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger_kit import WHEN, draft
from slipway.ledger.entries import LARGEST, Draft, canonical, chained, digest, identity, is_canonical, read, writable
from slipway.runner.errors import InputError

# Of RFC 8785: 3.2.3 (order of keys by UTF-16), and 3.2.2 (strings). Numbers are whole in an entry.
VECTORS: list[tuple[Any, str]] = [
    (
        {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One"}
        | {"\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"},
        '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",'
        '"\u20ac":"Euro Sign","\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    ),
    ({"string": '€$\u000f\nA\'B"\\\\"/'}, '{"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'),
    ({"literals": [None, True, False]}, '{"literals":[null,true,false]}'),
    ({"b": [], "a": {}}, '{"a":{},"b":[]}'),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("content", "expected"), VECTORS)
def test_canonical__vectors_of_the_rfc(content: Any, expected: str) -> None:
    assert canonical(content) == expected.encode()
    assert is_canonical(expected.encode())


@given(JSON)
def test_is_canonical__agrees_with_the_library(content: Any) -> None:
    raw = rfc8785.dumps(content)
    assert is_canonical(raw)
    for other in (json.dumps(content, ensure_ascii=True).encode(), json.dumps(content, indent=1).encode(), raw + b" "):
        assert is_canonical(other) == (other == raw)


@pytest.mark.parametrize("raw", [b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a": 1}', b'{"a":"\\u0041"}', b'{"a":-0}'])
def test_is_canonical__other_bytes_for_the_same_content(raw: bytes) -> None:
    assert not is_canonical(raw)


@pytest.mark.parametrize("raw", [b'{"a":1.5}', b'{"a":1e3}', b'{"a":NaN}', b"{", b"\xff", b"", b"[01]"])
def test_is_canonical__no_json_of_whole_numbers(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"number|Expecting|decode|Extra data"):
        is_canonical(raw)


def test_chained__first_and_next() -> None:
    first = chained(draft(1)[0], None, WHEN)
    second = chained(draft(2)[0], first, WHEN + timedelta(seconds=1))
    assert (first.sequence, first.previous) == (0, None)
    assert (second.sequence, second.previous) == (1, digest(first.canonical))
    assert second.head == f"1:{digest(second.canonical)}"
    assert read(second.canonical) == second


def test_chained__a_clock_that_runs_backwards() -> None:
    first = chained(draft(1)[0], None, WHEN)
    second = chained(draft(2)[0], first, WHEN - timedelta(hours=3))
    third = chained(draft(3)[0], second, WHEN + timedelta(hours=1))
    assert (second.recorded_at, second.clock) == (WHEN, WHEN - timedelta(hours=3))
    assert (third.recorded_at, third.clock) == (WHEN + timedelta(hours=1), None)


def test_chained__times_are_utc_and_whole_milliseconds() -> None:
    local = datetime(2026, 11, 25, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    entry = chained(draft(1, occurred_at=local)[0], None, local)
    said = json.loads(entry.canonical)
    assert said["occurred_at"] == said["recorded_at"] == "2026-11-25T12:00:00.123Z"
    assert read(entry.canonical) == entry


def test_chained__a_megabyte_fits_and_seventeen_do_not() -> None:
    assert len(chained(draft(1, reasons=("x" * 2**20,))[0], None, WHEN).canonical) > 2**20
    with pytest.raises(InputError, match="larger than the ledger takes") as failure:
        chained(draft(1, reasons=("x" * (LARGEST + 1),))[0], None, WHEN)
    assert "evidence" in failure.value.fix


NAMES = ["モデル", "модель", "نموذج", "a\u202eb", "\U0001f600", "a\n\rb", "--upload-pack=x", "$(x)"]


@pytest.mark.parametrize("name", NAMES)
def test_read__names_in_any_script(name: str) -> None:
    entry = chained(draft(1, model=name, summary=name, details={name: name})[0], None, WHEN)
    assert read(entry.canonical) == entry


def test_writable__half_of_a_surrogate_pair() -> None:
    said = writable({"\ud800": ["a\udfff", 1, None, ("b",)]})
    assert said == {"?": ["a?", 1, None, ["b"]]}
    entry = chained(draft(1, summary=said["?"][0])[0], None, WHEN)
    assert read(entry.canonical).summary == "a?"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("sequence", -1, "sequence"),
        ("previous", "sha256:0", "previous"),
        ("event", "party", "event"),
        ("unknown", 1, "unknown"),
        ("verdict", "maybe", "verdict"),
        ("evidence", [{"name": "../report.json", "digest": f"sha256:{'0' * 64}", "bytes": 1}], "evidence"),
        ("evidence", [{"name": "entry.json", "digest": f"sha256:{'0' * 64}", "bytes": 1}], "evidence"),
    ],
)
def test_read__what_no_entry_says(key: str, value: Any, problem: str) -> None:
    said = json.loads(chained(draft(1)[0], None, WHEN).canonical) | {key: value}
    with pytest.raises(ValueError, match=f"is no entry: {problem}"):
        read(rfc8785.dumps(said))


def test_draft__numbers_that_not_every_reader_holds() -> None:
    with pytest.raises(ValidationError, match="less than 9007199254740992"):
        draft(1, details={"rows": 2**53})


def test_draft__needs_a_time_zone() -> None:
    with pytest.raises(ValidationError, match="time zone"):
        Draft(id=identity(1), event="training", occurred_at=datetime(2026, 1, 1), summary="")


def test_identity__parts_are_not_run_together() -> None:
    assert identity("a", "bc") != identity("ab", "c")
    assert identity("a", 1) == identity("a", "1")
    assert len({identity(number) for number in range(1000)}) == 1000
