"""Git's plumbing, as far as the ledger needs it: objects, refs, fetch and push. No work tree and no index."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

KEPT = frozenset(
    {"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY"}
    | {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
)
"""Git's own variables that say how to reach a remote. The others (GIT_DIR, GIT_INDEX_FILE…) lead elsewhere."""

Setting = tuple[str, str]
COMMIT = re.compile("[0-9a-f]{40}")


class GitError(Exception):
    """A git command failed; `said` is what it printed."""

    def __init__(self, command: str, said: str) -> None:
        super().__init__(f"`git {command}` failed: {said}")
        self.said = said


@dataclass(frozen=True)
class Git:
    """A git directory.

    settings: configuration for its commands. It reaches git through the environment and not the command line, which
    other processes can read: a token may be among it.
    """

    folder: Path
    settings: tuple[Setting, ...] = field(default=(), repr=False)

    def run(self, *arguments: str, given: bytes | None = None) -> bytes:
        """What a command prints. GitError where it fails."""
        done = subprocess.run(["git", *arguments], env=self._environ(), input=given, capture_output=True, check=False)
        if done.returncode:
            said = b"\n".join((done.stderr, done.stdout)).decode(errors="replace").strip()
            raise GitError(arguments[0], said or f"exit code {done.returncode}")
        return done.stdout

    def line(self, *arguments: str, given: bytes | None = None) -> str:
        """The one line that a command prints."""
        return self.run(*arguments, given=given).decode(errors="replace").strip()

    def commit_of(self, ref: str) -> str:
        """The commit that a ref points at; empty where there is no such ref.

        A look at the ledger asks a dozen times: where git keeps the ref in a file of its own, that is read, and git is
        asked where it does not (packed, in another format, not there). https://git-scm.com/docs/gitrepository-layout
        """
        with suppress(OSError, UnicodeDecodeError):
            if COMMIT.fullmatch(said := (self.folder / ref).read_text(encoding="ascii").rstrip("\n")):
                return said
        try:
            return self.line("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        except GitError:
            return ""

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether one commit is reached by going back from another."""
        try:
            self.run("merge-base", "--is-ancestor", older, newer)
        except GitError:
            return False
        return True

    def is_shallow(self) -> bool:
        """Whether the history breaks off at some commit."""
        # https://git-scm.com/docs/gitrepository-layout#Documentation/gitrepository-layout.txt-shallow
        file = self.folder / "shallow"
        return file.is_file() and bool(file.read_bytes().strip())

    def store(self, content: bytes, kind: str = "blob") -> str:
        """Keep an object and return its name."""
        return self.line("hash-object", "-t", kind, "-w", "--stdin", given=content)

    def objects(self, names: Iterable[str]) -> Generator[bytes | None]:
        """The contents of many objects, in their order; None for one that is not there. One process reads them all."""
        process = subprocess.Popen(
            ["git", "cat-file", "--batch", "--buffer"],
            env=self._environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=1 << 20,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # Asking and answering must not wait for each other: a pipe holds 64 KiB.
        asking = threading.Thread(target=_ask, args=(process.stdin, names), daemon=True)
        asking.start()
        try:
            while header := process.stdout.readline():
                size = header.rstrip(b"\n").rpartition(b" ")[2]
                if not size.isdigit():  # "<name> missing"
                    yield None
                    continue
                yield process.stdout.read(int(size) + 1)[:-1]
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
            asking.join()

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in KEPT}
        settings = (("gc.autoDetach", "false"), *self.settings)
        numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {**kept, **numbered, "GIT_DIR": str(self.folder), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _ask(pipe: IO[bytes], names: Iterable[str]) -> None:
    try:
        with pipe:
            for name in names:
                pipe.write(f"{name}\n".encode())
    except BrokenPipeError:
        pass  # whoever wanted the objects stopped reading
