"""What the terminal shows of a message that nobody could process."""

from aif_console.dead_letters import payload_lines


def test_json_is_shown_line_by_line() -> None:
    assert payload_lines(b'{"a":1}') == ["{", '  "a": 1', "}"]


def test_json_that_is_nested_too_deeply_to_be_read_is_shown_as_it_is() -> None:
    bomb = "[" * 50_000

    assert payload_lines(bomb.encode()) == [bomb]


def test_bytes_that_are_no_text_are_shown_in_base64() -> None:
    assert payload_lines(b"\xff\xfe") == ["//4="]
