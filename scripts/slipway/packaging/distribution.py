"""An OCI registry over HTTP: what is pushed is exactly what was built, and each answer is by digest.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md. Beside images there are artifacts that refer to
one (its bill of materials, its signature). A registry without the referrers API keeps their list under a tag.

Our own few requests, since bytes and digests must stay as they are: builders compress anew at a push, and the Python
client of ORAS knows neither Basic authentication nor that tag.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from slipway.containers.layout import Json, Layout
from slipway.runner.errors import ConflictError, InputError, RemoteError
from slipway.runner.inputs import NO_SECRET, Secret

if TYPE_CHECKING:
    from requests import Response

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"

LARGEST_MANIFEST = 4 * 2**20
LARGEST_BLOB = 64 * 2**20
"""Bytes of an artifact that is read back."""

MOST_PAGES = 1_000

SECONDS = (10, 300)
"""How long to wait for a connection, and for each answer."""


@dataclass(frozen=True)
class Descriptor:
    """Something in a registry, by its digest."""

    digest: str
    size: int
    media_type: str

    @property
    def json(self) -> Json:
        """As manifests write it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass
class Repository:
    """One repository of a registry. Every method raises RemoteError where the registry refuses or does not answer."""

    name: str
    """Host and path: `ghcr.io/octo/flights`."""

    username: str = ""
    password: Secret = NO_SECRET
    _session: Any = field(default=None, repr=False)
    _authorization: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """The registry."""
        return self.name.partition("/")[0]

    @property
    def path(self) -> str:
        """The repository in it."""
        return self.name.partition("/")[2]

    @property
    def base(self) -> str:
        """Address of the repository. Only on this machine is the registry spoken to without TLS."""
        plain = self.host.rpartition(":")[0] in ("localhost", "127.0.0.1") or self.host in ("localhost", "127.0.0.1")
        host = "registry-1.docker.io" if self.host == "docker.io" else self.host
        return f"{'http' if plain else 'https'}://{host}/v2/{self.path}"

    def digest_of(self, reference: str) -> str:
        """Digest of a tag or digest; empty where the repository does not have it."""
        answer = self._ask("HEAD", f"{self.base}/manifests/{reference}", headers={"Accept": ACCEPTED}, known=(200, 404))
        if answer.status_code == 404:
            return ""
        found = answer.headers.get("Docker-Content-Digest", "")
        return found or self.manifest(reference)[0].digest

    def manifest(self, reference: str) -> tuple[Descriptor, bytes]:
        """A manifest and its bytes. InputError where there is none."""
        answer = self._ask("GET", f"{self.base}/manifests/{reference}", headers={"Accept": ACCEPTED}, known=(200, 404))
        if answer.status_code == 404:
            raise InputError(
                f"The registry has no {self.name}{'@' if ':' in reference else ':'}{reference}.",
                fix="Package the version again, and look for a rule of the registry that deletes images.",
            )
        raw = answer.content
        digest = sha256(raw)
        if len(raw) > LARGEST_MANIFEST or (":" in reference and digest != reference):
            raise RemoteError(
                f"{self.name} gave another manifest than {reference}.", why=f"It has the digest {digest}."
            )
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        return Descriptor(digest, len(raw), kind), raw

    def blob(self, digest: str) -> bytes:
        """A small blob, held to its digest."""
        answer = self._ask("GET", f"{self.base}/blobs/{digest}", known=(200,))
        raw = answer.content
        if len(raw) > LARGEST_BLOB or sha256(raw) != digest:
            raise RemoteError(f"{self.name} gave another blob than {digest}.", why=f"It has the digest {sha256(raw)}.")
        return raw

    def require_push(self) -> None:
        """RemoteError where nothing may be pushed here: asked before the work, not after it."""
        answer = self._ask("POST", f"{self.base}/blobs/uploads/", known=(202,))
        if place := answer.headers.get("Location"):
            self._ask("DELETE", urljoin(answer.url, place), known=(202, 204, 404, 405))

    def push(self, image: Layout, tag: str) -> Descriptor:
        """Push an image under a tag, blobs first and the manifest last: an interrupted push leaves no image.

        ConflictError where the tag names another image already.
        """
        found = self.digest_of(tag)
        if found and found != image.digest:
            raise ConflictError(
                f"{self.name}:{tag} exists and is another image.",
                why=f"It is {found}, and this is {image.digest}: another version of the builder, or of somebody else.",
                fix="A tag that was given is never moved. Find out who pushed it, delete it, and run the job again.",
            )
        for digest, file in image.blobs:
            self._put_blob(digest, file)
        return self._put_manifest(image.raw, image.media_type, tag)

    def attach(self, subject: Descriptor, artifact_type: str, name: str, content: bytes) -> Descriptor:
        """Push one file as an artifact that refers to an image, unless the image has just that one."""
        self._put_bytes(EMPTY)
        layer = {"mediaType": artifact_type, "digest": sha256(content), "size": len(content)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": sha256(EMPTY), "size": len(EMPTY)},
            "layers": [{**layer, "annotations": {"org.opencontainers.image.title": name}}],
            "subject": subject.json,
        }
        raw = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        self._put_bytes(content)
        pushed = self._put_manifest(raw, MANIFEST, sha256(raw))
        if self._ask_referrers(subject.digest) is None:
            self._list_under_tag(subject.digest, {**pushed.json, "artifactType": artifact_type})
        return pushed

    def attached(self, digest: str, artifact_type: str) -> Iterator[bytes]:
        """The files that artifacts of one type attach to an image."""
        for each in self.referrers(digest):
            if each.get("artifactType") != artifact_type:
                continue
            _, raw = self.manifest(str(each["digest"]))
            said = json.loads(raw)
            # A list can name anything: what the artifact itself says counts.
            if said.get("subject", {}).get("digest") == digest and said.get("artifactType") == artifact_type:
                yield self.blob(str(said["layers"][0]["digest"]))

    def referrers(self, digest: str) -> list[Json]:
        """Descriptors of the artifacts that refer to an image, by the API or else by the tag."""
        answer = self._ask_referrers(digest)
        if answer is not None:
            return list(self._pages(answer))
        if not self.digest_of(tag_of(digest)):
            return []
        _, raw = self.manifest(tag_of(digest))
        return list(json.loads(raw).get("manifests") or [])

    def _ask_referrers(self, digest: str) -> Response | None:
        """The API's first page; None where the registry does not have the API."""
        answer = self._ask("GET", f"{self.base}/referrers/{digest}", known=(200, 404, 405))
        known = answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith(INDEX)
        return answer if known else None

    def _pages(self, answer: Response) -> Iterator[Json]:
        """What all pages of a list hold."""
        for _ in range(MOST_PAGES):
            yield from answer.json().get("manifests") or []  # null is how some write an empty list
            following = answer.links.get("next", {}).get("url")
            if not following:
                return
            address = urljoin(answer.url, following)
            if urlsplit(address).netloc != urlsplit(self.base).netloc:
                raise RemoteError(f"{self.name} sends elsewhere for its list of artifacts.", why=address[:200])
            answer = self._ask("GET", address, known=(200,))
        raise RemoteError(
            f"{self.name} gives its list of artifacts without end.", why=f"{MOST_PAGES:,} pages were read."
        )

    def _list_under_tag(self, digest: str, entry: Json) -> None:
        listed = [each for each in self.referrers(digest) if each.get("digest") != entry["digest"]]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, entry]}
        self._put_manifest(json.dumps(index, sort_keys=True, separators=(",", ":")).encode(), INDEX, tag_of(digest))

    def _put_bytes(self, content: bytes) -> None:
        self._put(sha256(content), lambda: content)

    def _put_blob(self, digest: str, file: Path) -> None:
        self._put(digest, lambda: file.open("rb"))

    def _put(self, digest: str, content: Any) -> None:
        if self._ask("HEAD", f"{self.base}/blobs/{digest}", known=(200, 404)).status_code == 200:
            return
        started = self._ask("POST", f"{self.base}/blobs/uploads/", known=(202,))
        place = urljoin(started.url, started.headers["Location"])
        joined = f"{place}{'&' if urlsplit(place).query else '?'}digest={digest}"
        body = content()
        try:
            headers = {"Content-Type": "application/octet-stream"}
            self._ask("PUT", joined, data=body, headers=headers, known=(201,))
        finally:
            if hasattr(body, "close"):
                body.close()

    def _put_manifest(self, raw: bytes, media_type: str, reference: str) -> Descriptor:
        answer = self._ask(
            "PUT", f"{self.base}/manifests/{reference}", data=raw, headers={"Content-Type": media_type}, known=(201,)
        )
        said = answer.headers.get("Docker-Content-Digest", sha256(raw))
        if said != sha256(raw):
            raise RemoteError(f"{self.name} took the manifest for another one.", why=f"It says {said}.")
        return Descriptor(sha256(raw), len(raw), media_type)

    def _ask(
        self,
        method: str,
        url: str,
        *,
        known: tuple[int, ...],
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        with _talking(self.name):
            import requests

            if self._session is None:
                self._session = requests.Session()
                self._session.auth = lambda request: request  # else a .netrc would take the place of our own
            own = urlsplit(url).netloc == urlsplit(self.base).netloc

            def send() -> Response:
                # Another host, where an upload may lead, is not given what is for this one.
                sent = {**(headers or {}), **(self._authorization if own else {})}
                answer: Response = self._session.request(method, url, data=data, headers=sent, timeout=SECONDS)
                return answer

            answer = send()
            if answer.status_code == 401 and own and self._authorize(answer):
                if hasattr(data, "seek"):
                    data.seek(0)
                answer = send()
            if answer.status_code not in known:
                raise self._refused(method, answer)
            return answer

    def _authorize(self, refused: Response) -> bool:
        """Whether there is something else to show. https://distribution.github.io/distribution/spec/auth/token/"""
        username, password = self._credentials()
        basic = {}
        if password:
            pair = base64.b64encode(f"{username}:{password.reveal()}".encode()).decode()
            basic = {"Authorization": f"Basic {pair}"}
        kind, _, rest = refused.headers.get("WWW-Authenticate", "").partition(" ")
        if kind.lower() == "basic":
            changed = basic != self._authorization
            self._authorization = basic
            return bool(basic) and changed
        said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = said.pop("realm", "")
        if kind.lower() != "bearer" or urlsplit(realm).scheme not in ("https", "http"):
            return False
        if urlsplit(realm).scheme == "http" and not self.base.startswith("http:"):
            return False  # credentials are not sent in the clear because a registry asks for it
        wanted = {key: said[key] for key in ("service", "scope") if key in said}
        if basic and "scope" in wanted:
            # Some registries answer 403, and not 401, where a token that was given for reading is used to push.
            wanted["scope"] = re.sub(r":pull$", ":pull,push", wanted["scope"])
        answer = self._session.get(realm, params=wanted, headers=basic, timeout=SECONDS)
        if answer.status_code != 200:
            return False
        given = answer.json()
        before, token = self._authorization, given.get("token") or given.get("access_token")
        self._authorization = {"Authorization": f"Bearer {token}"}
        return bool(token) and self._authorization != before

    def _credentials(self) -> tuple[str, Secret]:
        """Those that were given, or else those with which the job has logged in."""
        return (self.username, self.password) if self.password else logged_in(self.host)

    def _refused(self, method: str, answer: Response) -> RemoteError:
        try:
            told = "; ".join(f"{each.get('code')}: {each.get('message')}" for each in answer.json()["errors"])
        except (ValueError, LookupError, TypeError, AttributeError):
            told = " ".join(answer.text.split())[:300]
        doing = "read from" if method in ("GET", "HEAD") else "push to"
        why = f"It answered {answer.status_code}{f' ({told})' if told else ''}."
        if answer.status_code in (401, 403):
            return RemoteError(
                f"The registry does not let the job {doing} {self.name}.",
                why=why,
                fix="Give `registry-token` (for ghcr.io the job's own token, with `packages: write`), or log in before "
                "this step. A package that another repository made must grant this one access.",
            )
        return RemoteError(f"The registry could not {doing} {self.name}.", why=why, fix="Run the job again.")


ACCEPTED = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


def sha256(content: bytes) -> str:
    """Digest as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tag_of(digest: str) -> str:
    """The tag under which a registry without the referrers API keeps the list of an image's artifacts.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
    """
    return digest.replace(":", "-")


def logged_in(host: str) -> tuple[str, Secret]:
    """User and password with which this job has logged in to a registry (docker login, podman login); empty if not."""
    home = Path.home()
    places = [
        os.environ.get("REGISTRY_AUTH_FILE", ""),
        f"{os.environ['XDG_RUNTIME_DIR']}/containers/auth.json" if os.environ.get("XDG_RUNTIME_DIR") else "",
        f"{os.environ.get('DOCKER_CONFIG') or home / '.docker'}/config.json",
    ]
    for place in filter(None, places):
        try:
            said = json.loads(Path(place).read_text(encoding="utf-8"))["auths"]
            known = (
                said.get(host)
                or said.get(f"https://{host}")
                or said.get("https://index.docker.io/v1/" * (host == "docker.io"))
            )
            user, _, password = base64.b64decode(known["auth"]).decode().partition(":")
        except (OSError, ValueError, LookupError, TypeError):
            continue
        return user, Secret(password)
    return "", NO_SECRET


@contextmanager
def _talking(name: str) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise RemoteError(
            f"The registry of {name} did not answer.",
            why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            fix="Check `packaging.repository`, and that the runner reaches the registry.",
        ) from error
