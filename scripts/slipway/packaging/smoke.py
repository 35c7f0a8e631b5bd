"""Tries an image before anybody else can have it: it must answer the golden batch as the candidate did when judged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from slipway.containers.engines import Builder, Built, started
from slipway.packaging import contents
from slipway.policy.packaging import Packaging, PackagingLimits
from slipway.prediction.golden import Golden
from slipway.report import Check, Column, Table, Verdict
from slipway.runner import commands
from slipway.runner.errors import GateError, RemoteError

PROBE = Path(__file__).with_name("probe.py")
LONGEST_START = 300.0
"""Seconds that an image may take to answer where the policy sets no limit."""

STOP_SECONDS = 30
MEGABYTE = 1_000_000
TERMINATED = (0, 143)


@dataclass(frozen=True)
class Tried:
    """What an image did. Times in seconds, sizes in bytes."""

    checks: tuple[Check, ...]
    startup_seconds: float
    peak_bytes: int
    image_bytes: int


def try_image(builder: Builder, built: Built, golden: Golden, packaging: Packaging, plan: contents.Plan) -> Tried:
    """Start the image, send the golden batch to both of its routes, measure, and stop it.

    Raises GateError where it does not come up, so that there is nothing to check.
    """
    commands.say(f"Trying the image with {golden.rows:,} golden rows")
    seconds = packaging.limits.startup_seconds or LONGEST_START
    model = f"/v2/models/{quote(plan.model)}"
    calls = [
        ("/ping", None),
        (f"{model}/ready", None),
        ("/invocations", golden.request),
        (f"{model}/infer", request_v2(golden.request)),
    ]
    asked = json.dumps({"port": contents.PORT, "seconds": seconds, "calls": calls})
    with started(builder, built.name) as container:
        try:
            # Twice the time: what is late by a little is to be told as late, not as silent.
            said = json.loads(builder.inside(container, PROBE.read_text(encoding="utf-8"), asked, 2 * seconds + 120))
            silent = "" if said["ready"] else f"It did not answer within {seconds:g} s."
        except (RemoteError, ValueError) as failure:
            silent = str(failure.why if isinstance(failure, RemoteError) else failure)[:500]
        if silent:
            raise GateError(
                "The image does not serve the model.",
                why=f"{silent} The end of its log:\n{builder.log(container)[-1_500:]}",
                fix="A package that the training's lock lacks is the usual cause, or a library of the system that the "
                "base image lacks. Nothing was pushed.",
            )
        code = builder.stop(container, STOP_SECONDS)
    size = builder.size(built.name)
    checks = (
        _healthy(said["answers"][:2]),
        same("/invocations", predictions_of(said["answers"][2]), golden.predictions, packaging.tolerance),
        same("/v2/…/infer", outputs_of(said["answers"][3]), tensors(golden.predictions), packaging.tolerance),
        _confined(said),
        _graceful(code),
        *_limits(packaging.limits, said["startup_seconds"], said["peak_bytes"], size),
    )
    return Tried(checks, said["startup_seconds"], said["peak_bytes"], size)


def request_v2(request: dict[str, Any]) -> dict[str, Any]:
    """The golden batch as a request of the Open Inference Protocol: a tensor for each column, or the one array."""
    if "dataframe_split" in request:
        split = request["dataframe_split"]
        columns = {name: [row[place] for row in split["data"]] for place, name in enumerate(split["columns"])}
    else:
        columns = request["inputs"] if isinstance(request["inputs"], dict) else {"input-0": request["inputs"]}
    return {"inputs": [_tensor(name, values) for name, values in columns.items()]}


def _tensor(name: str, values: list[Any]) -> dict[str, Any]:
    shape, inner = [len(values)], values
    while inner and isinstance(inner[0], list):
        shape.append(len(inner[0]))
        inner = inner[0]
    flat = values
    for _ in shape[1:]:
        flat = [each for part in flat for each in part]
    known = {type(each) for each in flat if each is not None}
    kinds = {frozenset({bool}): "BOOL", frozenset({int}): "INT64", frozenset({float}): "FP64"}
    kind = kinds.get(frozenset(known), "FP64" if known == {int, float} else "BYTES")
    return {"name": name, "shape": shape, "datatype": kind, "data": flat}


def tensors(predictions: Any) -> dict[str, list[Any]]:
    """Recorded predictions as the protocol's outputs: by name, without nesting."""
    if isinstance(predictions, list) and predictions and isinstance(predictions[0], dict):
        return {name: [row[name] for row in predictions] for name in predictions[0]}
    named = predictions if isinstance(predictions, dict) else {"output-0": predictions}
    return {name: list(_flat(values)) for name, values in named.items()}


def _flat(values: Any) -> Iterator[Any]:
    for each in values if isinstance(values, list) else [values]:
        if isinstance(each, list):
            yield from _flat(each)
        else:
            yield each


def predictions_of(answer: Any) -> Any:
    """What `/invocations` answered; text where it refused."""
    code, text = answer
    try:
        return json.loads(text)["predictions"] if code == 200 else f"{code}: {text[:300]}"
    except (ValueError, LookupError, TypeError):
        return f"no predictions: {text[:300]}"


def outputs_of(answer: Any) -> Any:
    """What `/infer` answered, by output; text where it refused."""
    code, text = answer
    try:
        said = json.loads(text)
        return {each["name"]: each["data"] for each in said["outputs"]} if code == 200 else f"{code}: {text[:300]}"
    except (ValueError, LookupError, TypeError):
        return f"no outputs: {text[:300]}"


def differences(found: Any, expected: Any, tolerance: float, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two answers differ: the place, what came, what was recorded. Numbers may be `tolerance` apart."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for name in expected:
            yield from differences(found[name], expected[name], tolerance, f"{place}[{name}]")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, tolerance, f"{place}[{number}]")
    elif not _alike(found, expected, tolerance):
        yield place, found, expected


def _alike(found: Any, expected: Any, tolerance: float) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (found, expected))
    if numbers:
        return math.isfinite(found) and abs(found - expected) <= tolerance
    return type(found) is type(expected) and found == expected


def same(route: str, found: Any, expected: Any, tolerance: float) -> Check:
    """Whether an answer is what was recorded. route: by what way it came."""
    wrong = list(differences(found, expected, tolerance))
    allowed = f"within {tolerance:g} of" if tolerance else "exactly"
    if not wrong:
        return Check(
            name=f"golden {route}", verdict=Verdict.PASS, detail=f"All answers are {allowed} what was recorded."
        )
    shown = tuple(
        f"{place or 'the answer'}: {str(one)[:200]}, recorded {str(other)[:200]}" for place, one, other in wrong[:5]
    )
    detail = f"{len(wrong)} answers of {route} are not {allowed} what was recorded: {shown[0]}."
    return Check(name=f"golden {route}", verdict=Verdict.FAIL, detail=detail, count=len(wrong), examples=shown)


def _healthy(answers: list[Any]) -> Check:
    codes = [code for code, _ in answers]
    verdict = Verdict.PASS if codes == [200, 200] else Verdict.FAIL
    return Check(name="ready", verdict=verdict, detail=f"`/ping` and `/v2/models/…/ready` answered {codes}.")


def _confined(said: dict[str, Any]) -> Check:
    alone = said["user"] != 0 and not said["root_writable"] and said["devices"] == ["lo"]
    detail = (
        f"It ran as user {said['user']}, with a root that {'can' if said['root_writable'] else 'cannot'} be written "
    )
    detail += f"to, and saw the network devices {', '.join(said['devices'])}."
    return Check(name="confined", verdict=Verdict.PASS if alone else Verdict.FAIL, detail=detail)


def _graceful(code: int) -> Check:
    verdict = Verdict.PASS if code in TERMINATED else Verdict.FAIL
    return Check(name="shutdown", verdict=verdict, detail=f"It ended on SIGTERM with exit code {code}.")


def _limits(limits: PackagingLimits, startup: float, peak: int, size: int) -> Iterator[Check]:
    measured = (
        ("startup_seconds", startup, limits.startup_seconds, "s"),
        ("memory_mb", peak / MEGABYTE, limits.memory_mb, "MB"),
        ("image_mb", size / MEGABYTE, limits.image_mb, "MB"),
    )
    for name, value, limit, unit in measured:
        if limit is not None:
            verdict = Verdict.PASS if value <= limit else Verdict.FAIL
            detail = f"{value:,.1f} {unit}, at most {limit:,g} {unit}."
            yield Check(name=name, verdict=verdict, detail=detail, values={"value": value, "limit": limit})


def table(tried: Tried, pushed_bytes: int) -> Table:
    """What was measured."""
    rows = (
        ("from its start to its first answer", f"{tried.startup_seconds:,.1f} s"),
        ("peak memory", f"{tried.peak_bytes / MEGABYTE:,.0f} MB"),
        ("image, unpacked", f"{tried.image_bytes / MEGABYTE:,.0f} MB"),
        ("image, as pushed", f"{pushed_bytes / MEGABYTE:,.0f} MB"),
    )
    return Table(title="Measured", columns=(Column(name="what"), Column(name="value")), rows=rows)
