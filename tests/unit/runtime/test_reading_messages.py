import msgspec
import pytest

from aif_runtime.decoding import LONGEST_REASON, decode, parts_of
from aif_runtime.failures import MalformedMessage


class Known(msgspec.Struct, tag="known"):
    pass


def test_a_wrong_value_is_not_repeated_at_length_in_the_words_about_it() -> None:
    message = msgspec.json.encode({"type": "x" * 100_000})

    with pytest.raises(MalformedMessage, match=r"Invalid value 'xxx.* … .*at `\$\.type`") as refused:
        decode(msgspec.json.Decoder(Known), message)

    assert len(str(refused.value)) <= LONGEST_REASON + 3


def test_an_array_of_more_than_so_many_parts_is_not_taken_apart() -> None:
    assert parts_of(b"[1, 2]", at_most=2) == [b"1", b"2"]
    with pytest.raises(MalformedMessage, match="the message holds 3 parts: 2 may travel together"):
        parts_of(b"[1, 2, 3]", at_most=2)
