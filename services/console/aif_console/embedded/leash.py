"""Become another program that dies with its supervisor. Run as a script, it replaces itself.

Order matters here: the kernel clears the parent-death signal when a process changes its user, so the user is changed
first. And the signal tells only of a death that comes after asking for it, so the parent is looked at once more then.
Everything is imported at the top: the other user may not be able to read the Python library any more.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
KEEP_USER = "-"


def main(arguments: list[str]) -> None:
    """Take `death_signal parent_pid uid gid command…`; uid and gid are `-` to stay who we are."""
    death_signal, parent_pid, uid, gid, *command = arguments
    if uid != KEEP_USER:
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        _ask_for_death_signal(int(death_signal))
    if os.getppid() != int(parent_pid):
        sys.exit(f"{command[0]}: the supervisor {parent_pid} is gone")
    # Python ignores SIGPIPE, and ignored signals would be inherited.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)


def _ask_for_death_signal(number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(sys.argv[1:])
