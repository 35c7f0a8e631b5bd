"""GitHub's OpenAPI description as a judge: makes a typed call of a request, and lists what is wrong with both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema_path import SchemaPath
from openapi_core import V30ResponseValidator
from openapi_core.templating.paths.exceptions import PathError
from openapi_core.templating.paths.finders import APICallPathFinder
from openapi_core.testing.requests import MockRequest
from openapi_core.testing.responses import MockResponse
from openapi_core.unmarshalling.request.unmarshallers import V30RequestParametersUnmarshaller
from openapi_core.validation.request.validators import V30RequestBodyValidator

from github_double.routes import Answer, Call

SERVER = "https://api.github.com"
JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """A request as it came in; `target` is path and query below the base URL."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def json(self) -> Any:
        """The body as JSON; None where there is none."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Reading:
    """What the description says of a request: the operation, its call, and every problem."""

    call: Call | None
    problems: list[str]


class Description:
    """The operations of an OpenAPI document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._paths = SchemaPath.from_dict(dict(document))
        self._parameters = V30RequestParametersUnmarshaller(self._paths)
        # GitHub ignores properties that it does not know, and a misspelt one stays unnoticed; so none are allowed.
        self._bodies = V30RequestBodyValidator(self._paths, forbid_unspecified_additional_properties=True)
        self._answers = V30ResponseValidator(self._paths, forbid_unspecified_additional_properties=True)
        self._finder = APICallPathFinder(self._paths)

    def read(self, request: Request, base_url: str) -> Reading:
        """`request` as a call of the operation that it is for; without a call when there is no such operation."""
        try:
            operation = self._finder.find(request.method.lower(), SERVER + request.path).operation
        except PathError:
            return Reading(None, [f"{request.method} {request.path} is not in openapi.json"])
        asked = _asked(request)
        parameters = self._parameters.unmarshal(asked)
        problems = [_explained(error) for error in (*parameters.errors, *self._bodies.iter_errors(asked))]
        problems += self._unknown_parameters(operation, request)
        call = Call(
            operation=operation["operationId"],
            documentation=operation["externalDocs"]["url"],
            url=base_url + request.target,
        )
        if problems:
            return Reading(call, problems)
        typed = parameters.parameters
        # The validator leaves names in a path as they were sent: `prod%2Feu`.
        path = {name: unquote(value) if isinstance(value, str) else value for name, value in typed.path.items()}
        return Reading(replace(call, path=path, query=dict(typed.query), body=request.json()), [])

    def problems_of_answer(self, request: Request, answer: Answer) -> list[str]:
        """What `answer` has that GitHub's own answer to `request` would not have, or lacks."""
        told = MockResponse(as_bytes(answer.body), answer.status, dict(answer.headers), JSON)
        return [_explained(error) for error in self._answers.iter_errors(_asked(request), told)]

    @staticmethod
    def _unknown_parameters(operation: SchemaPath, request: Request) -> list[str]:
        known = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
        return [f"{name} is not a query parameter" for name in sorted(request.query.keys() - known)]


@cache
def committed_description() -> Description:
    """The description beside this file. It is read once in a test run."""
    return Description(json.loads(Path(__file__).with_name("openapi.json").read_text(encoding="utf-8")))


def as_bytes(body: Any) -> bytes:
    """`body` as it is sent."""
    return b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _asked(request: Request) -> MockRequest:
    return MockRequest(
        SERVER,
        request.method,
        request.path,
        args=request.query,
        headers=dict(request.headers),
        data=request.body,
        # PyGithub and others leave charsets out or add them; GitHub reads every body as JSON.
        content_type=JSON,
    )


def _explained(error: Exception) -> str:
    """What is wrong and where, without the values themselves, which are whole pull requests."""
    found = list(getattr(error.__cause__, "schema_errors", []))
    if not found:
        return f"{error}: {error.__cause__}" if error.__cause__ else str(error)
    places = [".".join(map(str, each.absolute_path)) for each in found]
    details = [f"{place}: {each.message}" if place else each.message for place, each in zip(places, found, strict=True)]
    return f"{type(error).__name__}: {'; '.join(details)}"
