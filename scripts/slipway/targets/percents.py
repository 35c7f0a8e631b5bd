"""Shares as the whole percents that most serving systems know."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.runner.errors import InputError


def of_shares(shares: Mapping[str, float], system: str) -> dict[str, int]:
    """Version to percent; versions without any are left out, and all where nothing is to be served.

    InputError where the shares do not sum to 1, or one is no whole percent: rounded, a canary would get nothing or
    all, and its traffic would be another than the one that it is judged by.
    """
    percents = {version: share * 100 for version, share in shares.items()}
    broken = {version: shares[version] for version, each in percents.items() if abs(each - round(each)) > 1e-6}
    if broken:
        version, share = next(iter(broken.items()))
        raise InputError(
            f"{system} cannot give version {version} the share {share:g} of the requests.",
            why="It splits traffic in whole percents, and a rounded share would not be the one that was asked for.",
            fix="Write multiples of 0.01 as `canary.stages` in the policy; the smallest is 0.01.",
        )
    if not any(shares.values()):
        return {}
    whole = {version: round(each) for version, each in percents.items() if round(each)}
    if sum(whole.values()) != 100 or min(whole.values()) < 0:
        raise InputError(
            f"The shares {dict(shares)} are no split of the requests.", why="They must be 0 to 1 and sum to 1."
        )
    return whole
