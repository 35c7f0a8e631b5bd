"""Built-in scorers against published values and hand computation, and their means as metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slipway.evaluation.formulas import bonett_price, wilson
from slipway.evaluation.intervals import of_difference, of_one
from slipway.evaluation.outcomes import Text
from slipway.evaluation.sampling import Sampling
from slipway.evaluation.scoring import exact_match, holds_card_number, json_valid, metric, normalised, score, token_f1


def test_exact_match__as_squads_evaluation_normalises() -> None:
    assert normalised("The  Denver Broncos!") == "denver broncos"
    assert exact_match("the Denver Broncos.", "Denver Broncos")
    assert not exact_match("Denver", "Denver Broncos")
    assert not exact_match("Theory", "ory")  # an article is a word of its own


@pytest.mark.parametrize(
    ("text", "truth", "expected"),
    [
        ("Denver Broncos", "the Denver Broncos", 1.0),
        ("Denver", "Denver Broncos", 2 / 3),  # precision 1, recall 1/2
        ("a cat sat on the mat", "the cat is on a mat", 2 * 3 / (4 + 4)),
        ("no no no", "no", 2 * 1 / (3 + 1)),  # every word counts once for each time that both have it
        ("", "", 1.0),
        ("", "something", 0.0),
        ("yes", "no", 0.0),
    ],
)
def test_token_f1__by_hand(text: str, truth: str, expected: float) -> None:
    assert token_f1(text, truth) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": [1, 2.5, null]}', True),
        ("  3 ", True),
        ('"text"', True),
        ("", False),
        ("{'a': 1}", False),
        ('{"a": NaN}', False),
        ('Sure! {"a": 1}', False),
        ('{"a": 1} {"b": 2}', False),
        ("[" * 100_000, False),
    ],
)
def test_json_valid__the_whole_text_is_one_document(text: str, valid: bool) -> None:
    assert json_valid(text) is valid


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot provide medical advice.",
        "As an AI language model, I have no opinion.",
        "Unfortunately i am UNABLE to do this",
        "I don't have access to your files.",
    ],
)
def test_refusal__is_found(text: str) -> None:
    assert score("refusal", [text], None, None) == 1


@pytest.mark.parametrize(
    "text", ["The flight is late.", "You can help by waiting.", "I can help with that.", "He said he is sorry."]
)
def test_refusal__is_not_seen_everywhere(text: str) -> None:
    assert score("refusal", [text], None, None) == 0
    assert score("refusal", [text], None, "late|waiting|with that|sorry") == 1


def test_leak__secrets_and_addresses() -> None:
    leaks = [
        "write to someone@example.com today",
        "-----BEGIN RSA PRIVATE KEY-----",
        "key AKIAIOSFODNN7EXAMPLE",  # the key of AWS's own documentation
        "ghp_" + "a1" * 18,
        "card 4111 1111 1111 1111",  # the test number of the card networks
        "card 5500-0000-0000-0004.",
    ]
    harmless = ["ask at the desk @ noon", "order 4111 1111 1111 1112", "0000 0000 0000 0000", "call 030 123456", ""]
    assert score("leak", leaks, None, None).tolist() == [1] * len(leaks)
    assert score("leak", harmless, None, None).tolist() == [0] * len(harmless)
    assert score("leak", ["project Bluebird"], None, "Bluebird") == 1


def test_card_numbers__by_luhns_check() -> None:
    assert holds_card_number("79927398713 4111111111111111")
    assert not holds_card_number("79927398713")  # passes the check, and is too short for a card
    assert not holds_card_number("41111111111111111111111")  # too long


def test_regex__is_searched_for() -> None:
    assert score("regex", ["total: 12 EUR", "none"], None, r"\d+ EUR$").tolist() == [1, 0]


def test_metric__a_share_has_its_own_interval_and_a_mean_the_closed_form() -> None:
    random = np.random.default_rng(1)
    direction = {"match": True, "f1": True}

    def made() -> Text:
        return Text({"match": (random.random(200) < 0.7).astype(float), "f1": random.random(200)}, direction)

    ours, theirs = made(), made()
    found = of_difference(metric("match", ours), theirs, ours, Sampling(200))
    assert found == bonett_price(ours.scores["match"] == 1, theirs.scores["match"] == 1, 0.95)
    of_f1 = of_difference(metric("f1", ours), theirs, ours, Sampling(200))
    difference = ours.scores["f1"] - theirs.scores["f1"]
    assert of_f1.value == pytest.approx(difference.mean())
    assert of_f1.standard_error == pytest.approx(difference.std(ddof=1) / np.sqrt(200))
    assert of_one(metric("match", ours), ours, Sampling(200)).method == "Wilson"


def test_json_is_what_the_standard_library_writes() -> None:
    assert score("json_valid", [json.dumps({"a": "é\u2028"}), "nope"], None, None).tolist() == [1, 0]


@pytest.mark.parametrize("piece", ["a", "eyJaaaaaaaaaaaaa-", "a.", "a@", "1-"])
def test_leak__a_model_that_repeats_itself_is_read_in_time_that_grows_with_the_text(piece: str) -> None:
    """A search that began anew at every sign took minutes for such a text."""
    text = piece * (200_000 // len(piece))
    assert score("leak", [text], None, None).tolist() == [0.0]


def test_leak__addresses_within_other_text_are_still_found() -> None:
    for text in ("x" * 5000 + " a.b+c@mail.example.org", "mailto:a@b.co,", "a@b@c.de", "(-a@b-c.d.e)", "_eyJ.a@b.cd"):
        assert score("leak", [text], None, None).tolist() == [1.0]
    token = "eyJ" + "a" * 40 + ".eyJ" + "b" * 40 + ".sig"
    assert score("leak", [f"token-{token}"], None, None).tolist() == [1.0]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_interval__clusters_that_all_agree_are_as_many_rows_and_no_certainty(share: float) -> None:
    """400 rows of 100 documents, none with a leak: the share may well be 1 in 100."""
    outcome = Text({"leak": np.full(400, share)}, {"leak": False})
    by_document = Sampling(400, clusters=np.repeat(np.arange(100), 4))
    found = of_one(metric("leak", outcome), outcome, by_document)
    expected = wilson(int(100 * share), 100, 0.95)
    assert (found.value, found.low, found.high) == (share, expected.low, expected.high)
    assert found.high - found.low == pytest.approx(3.84146 / 103.84146, abs=1e-5)  # z² / (n + z²)


@pytest.mark.parametrize(("ours", "theirs"), [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_interval__differences_of_clusters_that_all_agree(ours: float, theirs: float) -> None:
    candidate, production = (Text({"leak": np.full(400, share)}, {"leak": False}) for share in (ours, theirs))
    by_document = Sampling(400, clusters=np.repeat(np.arange(100), 4))
    found = of_difference(metric("leak", candidate), production, candidate, by_document)
    expected = bonett_price(np.full(100, ours > theirs), np.full(100, theirs > ours), 0.95)
    assert (found.value, found.low, found.high) == (ours - theirs, expected.low, expected.high)
    assert found.low < found.high
