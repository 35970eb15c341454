"""How much memory a process and all its descendants use, shared pages counted once."""

import re
from pathlib import Path

PROC = Path("/proc")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


def memory_of_tree(pid: int, *, proc: Path = PROC) -> int | None:
    """Bytes, by proportional set size; None where the kernel does not tell."""
    if not (proc / str(pid) / "smaps_rollup").exists():
        return None
    parents = {child: parent for child in _process_ids(proc) if (parent := _parent(proc, child)) is not None}
    tree = {pid}
    while True:
        grown = tree | {child for child, parent in parents.items() if parent in tree}
        if grown == tree:
            return sum(_memory(proc, member) for member in tree)
        tree = grown


def _process_ids(proc: Path) -> list[int]:
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]


def _parent(proc: Path, pid: int) -> int | None:
    try:
        # The name of the program, in parentheses, may hold blanks and parentheses itself.
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _memory(proc: Path, pid: int) -> int:
    """0 for a process that has just ended, or that belongs to somebody else."""
    try:
        found = _PSS.search((proc / str(pid) / "smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0
