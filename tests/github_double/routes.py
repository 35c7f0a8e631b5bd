"""The route table: one small handler for each operation of GitHub's description, under its operationId.

To serve another operation, write a handler for it and run `subset.py`; paths, types and defaults are the description's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from github_double.world import Token, World

LARGEST_PAGE = 100


@dataclass(frozen=True)
class Call:
    """A request as a handler sees it: the parameters have the description's types and defaults."""

    operation: str
    documentation: str
    url: str
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    token: Token | None = None


@dataclass(frozen=True)
class Answer:
    """What is sent back. `body` is JSON; a string is sent as an HTML page; None sends nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """GitHub's way to say no; becomes an answer with message, documentation_url and status."""

    def __init__(self, status: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details

    def answer(self, documentation: str, headers: Mapping[str, str] | None = None) -> Answer:
        """The refusal as it is sent."""
        known = {"documentation_url": documentation, "status": str(self.status)}
        return Answer(self.status, {"message": self.message, **self.details, **known}, headers or {})


Handler = Callable[[World, Call], Answer]


@dataclass(frozen=True)
class Operation:
    """A handler and the permissions of which a token needs one (`("issues=write", "pull_requests=write")`)."""

    handle: Handler
    needs: tuple[str, ...]

    def accepted_permissions(self) -> dict[str, str]:
        """The header by which GitHub tells what a token would need."""
        return {"X-Accepted-GitHub-Permissions": "; ".join(self.needs)} if self.needs else {}

    def allows(self, token: Token) -> bool:
        """Whether `token` has one of the permissions."""
        return not self.needs or any(
            token.permissions.get(scope) in (level, "write")
            for scope, level in (need.split("=") for need in self.needs)
        )


OPERATIONS: dict[str, Operation] = {}


def operation(name: str, *needs: str) -> Callable[[Handler], Handler]:
    """Serve the operation with this operationId by the decorated function."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = Operation(handler, needs)
        return handler

    return register


def page(call: Call, rows: Sequence[Any]) -> Answer:
    """The page of `rows` that was asked for, with links to the others."""
    size = max(1, min(call.query["per_page"], LARGEST_PAGE))
    here, last = max(1, call.query["page"]), max(1, math.ceil(len(rows) / size))
    links: dict[str, int] = {}
    if here > 1:
        links |= {"prev": here - 1, "first": 1}
    if here < last:
        links |= {"next": here + 1, "last": last}
    header = ", ".join(f'<{_at_page(call.url, number)}>; rel="{rel}"' for rel, number in links.items())
    return Answer(200, rows[(here - 1) * size : here * size], {"Link": header} if header else {})


def _at_page(url: str, number: int) -> str:
    parts = urlsplit(url)
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), "page": number})).geturl()
