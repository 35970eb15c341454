"""What the kernel tells of processes and their children: CPU time used, memory held."""

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int) -> float:
    """User and system time of a process and all its descendants, the ended ones included."""
    return sum(_own_cpu_ms(each) for each in [pid, *_descendants(pid)])


def own_cpu_ms() -> float:
    """Of the process that asks, without its children."""
    times = os.times()
    return (times.user + times.system) * 1000


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and its descendants: shared pages count once among those that share them."""
    return sum(_own_pss_kb(each) for each in [pid, *_descendants(pid)]) / 1024


def _own_cpu_ms(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # utime, stime, and both of the children that have been waited for
    return sum(int(ticks) for ticks in fields[11:15]) * 1000 / TICKS_PER_SECOND


def _own_pss_kb(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def _descendants(pid: int) -> list[int]:
    try:
        # A thread may have children of its own.
        listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    children = [int(each) for text in listed for each in text.split()]
    return children + [each for child in children for each in _descendants(child)]
