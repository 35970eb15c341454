"""Memory of a process with all its descendants, from what the kernel writes."""

from pathlib import Path

from aif_console.memory import memory_of_tree


def process(proc: Path, pid: int, parent: int, kilobytes: int, name: str = "python") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 0 0")
    (folder / "smaps_rollup").write_text(f"Rss: 999 kB\nPss:            {kilobytes} kB\nPss_Anon: 5 kB\n")


def test_children_and_their_children_count_and_strangers_do_not(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 100)
    process(tmp_path, 11, 10, 20)
    process(tmp_path, 12, 11, 3, name="a (b) c")
    process(tmp_path, 99, 1, 4000)
    (tmp_path / "self").mkdir()

    assert memory_of_tree(10, proc=tmp_path) == 123 * 1024


def test_where_the_kernel_does_not_tell_nothing_is_invented(tmp_path: Path) -> None:
    assert memory_of_tree(10, proc=tmp_path) is None
