import pytest

from aif_runtime.nats_wire import Arrived, written


def arrived(*, data: bytes = b"", block: bytes | None = None) -> Arrived:
    return Arrived(b"aif.work.maker.normal", b"_INBOX.1", data, block)


def test_a_message_without_headers_is_a_plain_publication() -> None:
    assert written("aif.usage.exec_1", b"{}") == b"PUB aif.usage.exec_1  2\r\n{}\r\n"
    assert written("aif.usage.exec_1", "größer".encode(), reply="_INBOX.1") == (
        b"PUB aif.usage.exec_1 _INBOX.1 8\r\ngr\xc3\xb6\xc3\x9fer\r\n"
    )


def test_headers_stand_before_the_content_and_both_sizes_are_told() -> None:
    command = written("aif.dead.work", b"{}", reply="_INBOX.1", headers={"Nats-Msg-Id": "1", "x-word": "größer"})

    assert command == (
        b"HPUB aif.dead.work _INBOX.1 46 48\r\nNATS/1.0\r\nNats-Msg-Id: 1\r\nx-word: gr\xc3\xb6\xc3\x9fer\r\n\r\n{}\r\n"
    )


def test_a_line_break_in_a_headers_value_adds_no_header() -> None:
    command = written("a.b", b"", headers={"x-note": "one\r\nNats-Rollup: all\nthree"})

    assert b"\r\nx-note: one  Nats-Rollup: all three\r\n\r\n" in command


@pytest.mark.parametrize("name", ["", "two words", "colon:", "line\r\nbreak", "größe"])
def test_a_header_that_could_not_be_read_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        written("a.b", b"", headers={name: "value"})


def test_what_is_written_is_read_again() -> None:
    headers = {"Nats-Msg-Id": "one: two", "x-word": "größer", "x-empty": ""}
    block = written("a.b", b"", headers=headers).split(b"\r\n", 1)[1].removesuffix(b"\r\n")

    assert arrived(data=b"{}", block=block).headers == headers


def test_a_message_without_headers_has_none_and_no_status() -> None:
    message = arrived()

    assert (message.subject, message.reply, message.headers, message.status) == ("aif.work.maker.normal", "_INBOX.1", {}, None)


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (
            b"NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages:1\r\n\r\n",
            {"Status": "409", "Description": "Message Size Exceeds MaxBytes", "Nats-Pending-Messages": "1"},
        ),
    ],
)
def test_the_servers_own_messages_have_a_status(block: bytes, headers: dict[str, str]) -> None:
    message = arrived(block=block)

    assert message.headers == headers
    assert message.status == headers["Status"]


def test_a_message_with_content_has_no_status_whatever_its_headers_say() -> None:
    assert arrived(data=b"{}", block=b"NATS/1.0\r\nStatus: 404\r\n\r\n").status is None


def test_a_header_that_is_not_utf_8_is_read_as_far_as_it_can_be() -> None:
    assert arrived(block=b"NATS/1.0\r\nx-note: a\xffb\r\nno colon\r\n\r\n").headers == {"x-note": "a�b"}
