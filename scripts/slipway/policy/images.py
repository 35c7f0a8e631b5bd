"""Images that a policy names: by digest, since a tag moves."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

DIGEST = re.compile(r"[a-z0-9][^\s@]*@sha256:[0-9a-f]{64}")


def _is_by_digest(given: str) -> str:
    if not DIGEST.fullmatch(given):
        name = given.partition("@")[0]
        raise ValueError(
            f"names an image by what can move: write its digest, `{name}@sha256:…`. "
            f"`skopeo inspect --format '{{{{.Digest}}}}' docker://{name}` (or `docker buildx imagetools inspect "
            f"{name}`) prints it"
        )
    return given


ImageByDigest = Annotated[str, Field(max_length=500), AfterValidator(_is_by_digest)]
