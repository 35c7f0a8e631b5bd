"""Runs a command with less than its caller may do: no network, no files but the named ones, no way to other processes.

Linux only, standard library only, without privileges; started by path, by Slipway's own Python, before any of the
model's packages is imported. Arguments: a JSON object with the fields of `Limits`, then the command. The command runs
in a child, so that its peak memory is its own; its exit code is ours (128 + n where signal n ended it).

Landlock: https://docs.kernel.org/userspace-api/landlock.html. seccomp: `man 2 seccomp`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

CANNOT_CONFINE = 4
"""Exit code where a limit could not be set; the command was not run then."""


@dataclass(frozen=True)
class Limits:
    """What is taken away.

    namespaces: whether `unshare` has put us into namespaces of our own. network: whether sockets are denied.
    files: whether only `read` and `write` may be opened. file_bytes: how large a file may grow, 0 for any size.
    usage: file to which the peak memory is written, or nothing.
    """

    namespaces: bool = False
    network: bool = False
    files: bool = False
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    file_bytes: int = 0
    usage: str = ""


def main(limits: Limits, command: list[str]) -> int:
    """Run `command` within the limits; its exit code."""
    child = os.fork()
    if child == 0:
        try:
            confine(limits)
            os.execv(command[0], command)  # noqa: S606 - no shell is wanted
        except BaseException as error:  # nothing may run past this point in the child
            os.write(2, f"The process could not be confined: {error}\n".encode())
        os._exit(CANNOT_CONFINE)
    while True:  # as the first process of a namespace we also inherit orphans
        ended, status, used = os.wait4(-1, 0)
        if ended == child:
            break
    if limits.usage:
        unit = 1 if sys.platform == "darwin" else 1024
        Path(limits.usage).write_text(json.dumps({"peak_bytes": used.ru_maxrss * unit}), encoding="utf-8")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def confine(limits: Limits) -> None:
    """Give up for this process and all that it starts. Raises OSError where something cannot be given up."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    if limits.namespaces:
        _raise_loopback()
    if limits.network or limits.files:
        _drop_capabilities()
    if limits.network or limits.files:
        _check(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if limits.files:
        _restrict_files(limits.read, limits.write)
    if limits.network:
        _deny_sockets(loopback=limits.namespaces)


# Capabilities and the loopback device of our own namespaces ----------------------------------------------------------

PR_CAPBSET_DROP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 24, 22, 38
LAST_CAPABILITY = 63  # the kernel refuses the numbers that it does not know
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def _raise_loopback() -> None:
    """A network namespace starts with its loopback down; some libraries talk to themselves through it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        asked = struct.pack("16sh22x", b"lo", 0)
        _, flags = struct.unpack("16sh22x", fcntl.ioctl(device, SIOCGIFFLAGS, asked))
        fcntl.ioctl(device, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def _drop_capabilities() -> None:
    """Root, of the machine or of a namespace, keeps nothing of its power after the next exec without a bounding set.

    It could read another process's environment, for example. The refusal that everybody else gets means nothing.
    """
    for capability in range(LAST_CAPABILITY + 1):
        _libc().prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


# Files: Landlock -----------------------------------------------------------------------------------------------------

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, RULE_PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEVICE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
READING = EXECUTE | READ_FILE | READ_DIR
RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many access rights each version of Landlock knows; later ones know as many as the fifth."""
OTHERS_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def _restrict_files(read: tuple[str, ...], write: tuple[str, ...]) -> None:
    """Only these folders and files may be opened; a process outside of the restriction cannot be looked into."""
    version = _check(_syscall(CREATE_RULESET, None, 0, VERSION_FLAG), "Landlock")
    handled = (1 << RIGHTS_BY_VERSION.get(version, 16)) - 1
    scoped = OTHERS_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0
    attributes = struct.pack("=QQQ", handled, 0, scoped)
    size = 24 if version >= 6 else 8
    rules = _check(_syscall(CREATE_RULESET, attributes, size, 0), "Landlock's rules")
    for paths, allowed in ((read, READING), (write, handled)):
        for path in paths:
            _allow(rules, path, allowed & handled)
    _check(_syscall(RESTRICT_SELF, rules, 0), "Landlock's restriction")
    os.close(rules)


def _allow(rules: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:  # /lib64 and the like are not on every machine
        return
    if not os.path.isdir(path):  # noqa: PTH112 - it may be a link that leads to a folder
        allowed &= OF_FILES
    _check(_syscall(ADD_RULE, rules, RULE_PATH_BENEATH, struct.pack("=Qi", allowed, place), 0), f"access to {path}")
    os.close(place)


# Network: seccomp ----------------------------------------------------------------------------------------------------

MACHINES = {"x86_64": (0xC000003E, 41, (112, 109)), "aarch64": (0xC00000B7, 198, (157, 154))}
"""By machine: its audit number, and the numbers of socket, and of setsid and setpgid."""
IO_URING_SETUP = 425
X32 = 0x40000000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
EPERM, EACCES, ENOSYS = 1, 13, 38
MODE_FILTER = 2


def _deny_sockets(*, loopback: bool) -> None:
    """No new socket but netlink's, which asks the kernel alone, and the loopback's in a namespace of our own.

    A local socket can lead to a daemon that does anything, so it is denied as well; socketpair() stays.
    io_uring makes sockets past this filter and is denied. Without namespaces, nobody may leave the process group
    that is killed in the end.
    """
    if platform.machine() not in MACHINES or sys.maxsize < 2**32:
        raise OSError(ENOSYS, f"no seccomp filter is known for {platform.machine()}")
    machine, new_socket, leave_group = MACHINES[platform.machine()]
    families = [socket.AF_NETLINK, *((socket.AF_INET, socket.AF_INET6) if loopback else ())]
    program = [
        *((LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), (RETURN, 0, 0, REFUSE | ENOSYS)),
        *((LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, X32), (RETURN, 0, 0, REFUSE | ENOSYS)),
        *((EQUAL, 0, 1, IO_URING_SETUP), (RETURN, 0, 0, REFUSE | ENOSYS)),
    ]
    for call in () if loopback else leave_group:
        program += [(EQUAL, 0, 1, call), (RETURN, 0, 0, REFUSE | EPERM)]
    program += [(EQUAL, 1, 0, new_socket), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, FIRST_ARGUMENT)]
    for family in families:
        program += [(EQUAL, 0, 1, int(family)), (RETURN, 0, 0, ALLOW)]
    program.append((RETURN, 0, 0, REFUSE | EACCES))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    described = struct.pack("@HP", len(program), ctypes.addressof(code))
    _check(_libc().prctl(PR_SET_SECCOMP, MODE_FILTER, described, 0, 0), "seccomp")


def _syscall(number: int, *arguments: object) -> int:
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(_libc().syscall(ctypes.c_long(number), *passed))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us
    given = json.loads(sys.argv[1])
    sys.exit(main(Limits(**{**given, "read": tuple(given["read"]), "write": tuple(given["write"])}), sys.argv[2:]))
