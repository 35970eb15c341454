"""As whom a server runs. Postgres refuses root, and root's folders are often closed to everybody else."""

import asyncio
import os
import pwd
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from aif_console.embedded import leash

NOBODY = 65534  # the number of `nobody` where the user database does not name it


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """How to become the user of a server, and who must own its files for that."""

    prefix: tuple[str, ...] = ()
    """Program and options that go before the command."""

    uid: int | None = None
    """User to change to; None stays who we are."""

    gid: int | None = None
    owner_uid: int
    """Owner of the server's files, as seen from outside."""

    owner_gid: int


def leashed(command: Sequence[str], *, identity: Identity, death_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """Write the command line that runs `command` under `identity`, bound to the life of this process."""
    user = [leash.KEEP_USER if number is None else str(number) for number in (identity.uid, identity.gid)]
    # Isolated and without site-packages: nothing from outside is imported, and it costs 15 ms.
    interpreter = [sys.executable, "-I", "-S", leash.__file__]
    return [*identity.prefix, *interpreter, str(int(death_signal)), str(os.getpid()), *user, *command]


def ourselves() -> Identity:
    """The user of this process."""
    return Identity(owner_uid=os.geteuid(), owner_gid=os.getegid())


def is_root() -> bool:
    """Tell whether Postgres would refuse to run as this process's user."""
    return os.geteuid() == 0


async def unprivileged(*, enterable: Sequence[Path], runnable: Sequence[Path]) -> Identity | None:
    """Find a way for root to run a program as somebody else that reaches the given folders and programs.

    `nobody` is tried first. In a user namespace the process is `nobody` to itself and still root to the file system,
    so closed folders of root stay reachable; many containers forbid such namespaces. None if neither works.
    """
    for identity in (_nobody(), _nobody_in_a_namespace()):
        if identity is not None and await _reaches(identity, [*enterable, *runnable]):
            return identity
    return None


def _nobody() -> Identity:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Identity(uid=NOBODY, gid=NOBODY, owner_uid=NOBODY, owner_gid=NOBODY)
    return Identity(uid=entry.pw_uid, gid=entry.pw_gid, owner_uid=entry.pw_uid, owner_gid=entry.pw_gid)


def _nobody_in_a_namespace() -> Identity | None:
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    prefix = (unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    return Identity(prefix=prefix, owner_uid=os.geteuid(), owner_gid=os.getegid())


async def _reaches(identity: Identity, paths: Sequence[Path]) -> bool:
    """Ask the kernel by trying: mode bits alone say nothing of access lists, mounts and namespaces."""
    wanted = [word for path in paths for word in ("-a", "-x", str(path))][1:]
    test = shutil.which("test")
    if test is None:
        return False
    probe = await asyncio.create_subprocess_exec(
        *leashed([test, *wanted], identity=identity),
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await probe.wait() == 0
