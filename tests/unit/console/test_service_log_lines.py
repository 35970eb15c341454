"""Lines of log files on the operator's terminal."""

from pathlib import Path

import pytest
from rich.text import Text

from aif_console.service_logs import LogFollower, log_line, rendered

WARNING = '{"time":"t","level":"warning","event":"nats_disconnected","service":"kam","connection":"kam_1"}\n'
INFO = '{"time":"t","level":"info","event":"ready","service":"kam","port":8420}\n'


def followed(path: Path, *, everything: bool = False) -> tuple[LogFollower, list[str]]:
    shown: list[str] = []

    def show(text: Text) -> None:
        shown.append(text.plain)

    return LogFollower({"kam": path}, show=show, everything=everything), shown


def test_an_event_is_shown_with_its_fields_and_without_what_is_known_anyway() -> None:
    assert rendered(log_line("kam", WARNING)).plain == "kam          warning  nats_disconnected  connection=kam_1"


def test_what_others_have_written_neither_steers_the_terminal_nor_breaks_its_lines() -> None:
    reasons = '"path":"/a\\u001b[2J","reason":"no room\\nHINT:  Check\\n\\n disk"'
    raw = f'{{"level":"warning","event":"late",{reasons},"traceback":"a\\u001b\\n b"}}'

    line = log_line("kam", raw)

    assert (
        rendered(line, whole=True).plain == "kam          warning  late  path=/a [2J  reason=no room HINT: Check disk\na \n b"
    )
    assert rendered(log_line("nats", "[ERR] \x1b]0;title")).plain == "nats         error    [ERR]  ]0;title"


def test_a_traceback_follows_its_event() -> None:
    line = log_line("kam", '{"level":"error","event":"part_broke","traceback":"Traceback\\n  boom"}')

    assert rendered(line).plain == "kam          error    part_broke\nTraceback\n  boom"


def test_a_warnings_traceback_stays_in_the_log_file_unless_all_is_wanted() -> None:
    line = log_line("kam", '{"level":"warning","event":"pool","traceback":"Traceback\\n  refused"}')

    assert rendered(line).plain == "kam          warning  pool"
    assert rendered(line, whole=True).plain == "kam          warning  pool\nTraceback\n  refused"


def test_what_is_no_event_is_shown_as_it_is() -> None:
    line = log_line("kam", "Fatal Python error: Segmentation fault")

    assert (line.level, line.words) == ("error", "Fatal Python error: Segmentation fault")


@pytest.mark.parametrize(
    ("member", "raw", "level"),
    [
        ("nats", "[7] 2026/11/21 [INF] Server is ready", "info"),
        ("nats", "[7] 2026/11/21 [ERR] disk is full", "error"),
        ("postgres", "12:00 UTC [9] kam@ai_factory ERROR:  duplicate key", "info"),
        ("postgres", "12:00 UTC [9] @ PANIC:  could not write", "error"),
    ],
)
def test_servers_mark_their_trouble_in_their_own_way(member: str, raw: str, level: str) -> None:
    assert log_line(member, raw).level == level


def test_only_what_is_new_and_at_least_a_warning_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "kam.log"
    path.write_text(WARNING)
    follower, shown = followed(path)

    with path.open("a") as log:
        log.write(INFO + WARNING + WARNING[:20])
    follower.look()
    with path.open("a") as log:
        log.write(WARNING[20:])
    follower.look()

    assert len(shown) == 2


def test_everything_is_shown_on_request(tmp_path: Path) -> None:
    path = tmp_path / "kam.log"
    follower, shown = followed(path, everything=True)

    path.write_text(INFO)
    follower.look()

    assert shown == ["kam          info     ready  port=8420"]


def test_a_log_that_cannot_be_reached_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    follower, shown = followed(tmp_path / "file" / "kam.log")

    follower.look()

    assert shown == []


def test_a_log_that_was_set_aside_is_followed_from_its_new_beginning(tmp_path: Path) -> None:
    path = tmp_path / "kam.log"
    path.write_text(INFO * 10)
    follower, shown = followed(path)

    path.write_text(WARNING)
    follower.look()

    assert len(shown) == 1
