"""What the double knows: users, tokens, repositories, pull requests, comments, runs and artifacts, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True)
class User:
    """An account. Apps act as an account whose login ends in `[bot]`."""

    login: str
    id: int
    kind: str = "User"


@dataclass(frozen=True)
class Token:
    """Who a token speaks for, and what it may do (`{"issues": "write"}`)."""

    user: User
    permissions: Mapping[str, str]
    installation: bool


@dataclass(frozen=True)
class Repository:
    """A repository; a private one is hidden from anonymous callers."""

    id: int
    owner: User
    name: str
    private: bool = False
    fork: bool = False
    default_branch: str = "main"

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"


@dataclass
class Side:
    """The head or the base of a pull request. The repository of a head is None once its fork was deleted."""

    owner: User
    repository: Repository | None
    ref: str
    sha: str


@dataclass
class PullRequest:
    """A pull request; a test may change it between two requests (push, close, merge, delete the fork)."""

    id: int
    repository: Repository
    number: int
    author: User
    head: Side
    base: Side
    created: datetime
    updated: datetime
    title: str = "A better candidate"
    state: str = "open"
    body: str = ""
    labels: tuple[str, ...] = ()
    merged_as: str = ""
    """The commit on the base branch that merged it."""


@dataclass
class Issue:
    """An issue. A pull request is one, too, and shares its numbers."""

    id: int
    repository: Repository
    number: int
    author: User
    created: datetime
    updated: datetime
    title: str = "Something is wrong"
    body: str = ""
    state: str = "open"
    reason: str | None = None
    labels: tuple[str, ...] = ()


@dataclass
class Comment:
    """A comment on an issue or a pull request."""

    id: int
    repository: Repository
    number: int
    author: User
    body: str
    created: datetime
    updated: datetime


@dataclass
class WorkflowRun:
    """A finished run; a test may start it again (`attempt`, `started`, `status`)."""

    id: int
    repository: Repository
    head: Side
    event: str
    path: str
    conclusion: str | None
    started: datetime
    attempt: int = 1
    status: str = "completed"
    title: str = "A better candidate"


@dataclass(frozen=True)
class Workflow:
    """A workflow file on the default branch.

    inputs: of `workflow_dispatch`; None where it lacks that trigger. event_type: of `repository_dispatch`. run_name:
    its `run-name`, where `{key}` stands for the input or the payload's field of that name; `Retrain` for none.
    """

    repository: Repository
    path: str
    inputs: tuple[str, ...] | None = ()
    event_type: str = ""
    run_name: str = "Retrain"


@dataclass
class Environment:
    """A GitHub Environment. reviewers: users, or slugs of teams (text). branches: None where any branch may deploy."""

    id: int
    repository: Repository
    name: str
    reviewers: tuple[User | str, ...] = ()
    prevents_self_review: bool = False
    admins_bypass: bool = True
    wait_minutes: int = 0
    branches: dict[int, str] | None = None


@dataclass
class Review:
    """What somebody said of a run's environment (`approved`, `rejected`), or of a pull request (`APPROVED`, …)."""

    id: int
    user: User
    state: str
    comment: str
    submitted: datetime
    environment: Environment | None = None
    commit: str = ""


class Status(NamedTuple):
    """One state of a deployment. log_url: nothing for the page of the job that made the deployment."""

    state: str
    moment: datetime
    description: str = ""
    log_url: str = ""
    environment_url: str = ""


@dataclass
class Deployment:
    """What a job with an environment makes, or somebody through the API. statuses: oldest first."""

    id: int
    repository: Repository
    run: int
    sha: str
    environment: str
    statuses: list[Status]
    task: str = "deploy"
    payload: Mapping[str, Any] | str = field(default_factory=dict)
    description: str | None = None
    transient: bool = False
    production: bool = False
    creator: User | None = None
    created: datetime | None = None


@dataclass
class Artifact:
    """What a run uploaded. size, digest: as GitHub tells them, which a test may falsify."""

    id: int
    run: WorkflowRun
    name: str
    content: bytes
    size: int
    digest: str | None
    created: datetime
    expired: bool = False


# GITHUB_TOKEN comments as this account on github.com, with this id.
ACTIONS_BOT = User("github-actions[bot]", 41898282, "Bot")


@dataclass
class World:
    """The state of the double. The methods set a scene without HTTP; the requests of the code under test change it."""

    api_url: str
    html_url: str
    users: dict[str, User] = field(default_factory=lambda: {ACTIONS_BOT.login: ACTIONS_BOT})
    tokens: dict[str, Token] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    pull_requests: dict[tuple[str, int], PullRequest] = field(default_factory=dict)
    workflows_may_open_pull_requests: bool = True
    """The repository's setting "Allow GitHub Actions to create and approve pull requests"."""

    issues: dict[tuple[str, int], Issue] = field(default_factory=dict)
    has_issues: bool = True
    takes_labels: Literal["yes", "silently not", "no"] = "yes"
    """What becomes of a label that the repository has not: it is made, left out without a word, or refused."""

    comments: dict[int, Comment] = field(default_factory=dict)
    environments: dict[tuple[str, str], Environment] = field(default_factory=dict)
    approvals: dict[int, list[Review]] = field(default_factory=dict)
    """By the run's id."""

    reviews: dict[tuple[str, int], list[Review]] = field(default_factory=dict)
    """By the pull request's repository and number, oldest first."""

    deployments: list[Deployment] = field(default_factory=list)
    authors: dict[str, tuple[User, User]] = field(default_factory=dict)
    """Author and committer of commits."""

    takes_admin_bypass: bool = True
    """Whether the server takes `can_admins_bypass`, which GitHub's description does not name."""

    teams: dict[str, int] = field(default_factory=dict)
    """Ids of the organisation's teams by slug."""

    runs: dict[int, WorkflowRun] = field(default_factory=dict)
    artifacts: dict[int, Artifact] = field(default_factory=dict)
    workflows: dict[tuple[str, str], Workflow] = field(default_factory=dict)
    # Whether the server knows `return_run_details`, which Enterprise Server learned later than github.com.
    gives_run_details: bool = True
    # Where downloads of artifacts are redirected to: another host than GitHub's.
    storage_url: str = ""
    # Ids are larger than 32 bits, as they are on github.com by now.
    _ids: count[int] = field(default_factory=lambda: count(5_000_000_001))
    _now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def user(self, login: str, *, kind: str = "User") -> User:
        """The account `login`, which is created when it does not exist."""
        return self.users.setdefault(login, User(login, self.new_id(), kind))

    def user_token(self, login: str, **permissions: str) -> str:
        """A new fine-grained personal token of `login`; without `permissions` it may comment."""
        return self._token(self.user(login), permissions, installation=False)

    def installation_token(self, app: str = "github-actions", **permissions: str) -> str:
        """A new token such as GITHUB_TOKEN; `issues="read", pull_requests="read"` is what a fork's run receives."""
        return self._token(self.user(f"{app}[bot]", kind="Bot"), permissions, installation=True)

    def repository(self, full_name: str, *, private: bool = False, fork: bool = False) -> Repository:
        """A new repository."""
        owner, name = full_name.split("/")
        repository = Repository(self.new_id(), self.user(owner), name, private, fork)
        self.repositories[full_name.lower()] = repository
        return repository

    def environment(self, repository: Repository, name: str) -> Environment:
        """A new environment, as GitHub makes it for a job that names one which does not exist: without protection."""
        made = Environment(self.new_id(), repository, name)
        self.environments[repository.full_name, name.lower()] = made
        return made

    def pull_request(
        self,
        repository: Repository,
        *,
        branch: str = "candidate",
        sha: str = "",
        fork: Repository | None = None,
        author: str = "mona",
        state: str = "open",
    ) -> PullRequest:
        """A new pull request from `branch` of `fork`, or of the repository itself."""
        head = fork or repository
        number, now = self._next_number(repository), self.tick()
        pull_request = PullRequest(
            id=self.new_id(),
            repository=repository,
            number=number,
            author=self.user(author),
            head=Side(head.owner, head, branch, sha or sha_of(f"{head.full_name} {branch} {number}")),
            base=Side(repository.owner, repository, repository.default_branch, sha_of(repository.full_name)),
            created=now,
            updated=now,
            state=state,
        )
        self.pull_requests[repository.full_name, number] = pull_request
        return pull_request

    def issue(self, repository: Repository, *, author: str = "mona", **said: Any) -> Issue:
        """A new issue."""
        number, now = self._next_number(repository), self.tick()
        issue = Issue(self.new_id(), repository, number, self.user(author), now, now, **said)
        self.issues[repository.full_name, number] = issue
        return issue

    def comment(self, on: PullRequest | Issue, body: str, *, author: str = "mona") -> Comment:
        """A new comment on a pull request or an issue."""
        now = self.tick()
        comment = Comment(
            id=self.new_id(),
            repository=on.repository,
            number=on.number,
            author=self.user(author),
            body=body,
            created=now,
            updated=now,
        )
        self.comments[comment.id] = comment
        return comment

    def comments_of(self, on: PullRequest | Issue) -> list[Comment]:
        """The comments on a pull request or an issue, oldest first."""
        place = on.repository, on.number
        return [comment for comment in self.comments.values() if (comment.repository, comment.number) == place]

    def run(
        self,
        pull_request: PullRequest,
        *,
        event: str = "pull_request",
        path: str = ".github/workflows/model.yml",
        conclusion: str = "success",
    ) -> WorkflowRun:
        """A new finished run on the head that `pull_request` has now."""
        head = replace(pull_request.head)
        made = WorkflowRun(self.new_id(), pull_request.repository, head, event, path, conclusion, self.tick())
        self.runs[made.id] = made
        return made

    def artifact(self, run: WorkflowRun, name: str, content: bytes) -> Artifact:
        """A new artifact of `run`: a zip archive."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        made = Artifact(self.new_id(), run, name, content, len(content), digest, self.tick())
        self.artifacts[made.id] = made
        return made

    def workflow(self, repository: Repository, name: str, **said: Any) -> Workflow:
        """A new workflow file."""
        made = Workflow(repository, f".github/workflows/{name}", **said)
        self.workflows[repository.full_name, name] = made
        return made

    def start(self, workflow: Workflow, event: str, told: Mapping[str, Any], *, actor: str = "") -> WorkflowRun:
        """A new run of `workflow`, which waits for a runner."""
        where = workflow.repository
        head = Side(self.user(actor) if actor else where.owner, where, where.default_branch, sha_of(where.full_name))
        title = workflow.run_name.format_map({"key": told.get("key", "")})
        made = WorkflowRun(self.new_id(), where, head, event, workflow.path, None, self.tick(), 1, "queued", title)
        self.runs[made.id] = made
        return made

    def set_clock(self, moment: datetime) -> None:
        """Let the times of the next changes follow this one."""
        self._now = moment

    def tick(self) -> datetime:
        """The time of the next change. It is not the real one, so that tests see the same times in every run."""
        self._now += timedelta(seconds=1)
        return self._now

    def new_id(self) -> int:
        """An id that was not given out before."""
        return next(self._ids)

    def _next_number(self, repository: Repository) -> int:
        taken = (number for name, number in (*self.pull_requests, *self.issues) if name == repository.full_name)
        return 1 + max(taken, default=0)

    def _token(self, user: User, permissions: Mapping[str, str], *, installation: bool) -> str:
        # The prefixes are GitHub's, so that code which masks or recognises tokens meets real shapes.
        secret = ("ghs_" if installation else "github_pat_") + f"{self.new_id():036d}"
        granted = permissions or {"issues": "write", "pull_requests": "write"}
        self.tokens[secret] = Token(user, {"metadata": "read", **granted}, installation)
        return secret


def sha_of(text: str) -> str:
    """A commit id that stays the same for the same `text`."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
