"""What happens to bytes that are no message, and to subjects: decoding, dead letters, patterns."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_runtime.broker_rules import takes
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.dead_letters import bury
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, MalformedMessage
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.open_blob_store import open_blob_store
from aif_runtime.redaction import Redactor
from conformance.bus_rigs import WORK, BusRig, FragileRig, MemoryRig, fetch_one, work, work_consumer


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    inner: msgspec.Raw = msgspec.Raw(b"{}")


LETTER = msgspec.json.Decoder(Letter)
ANYTHING = msgspec.json.Decoder()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"no json", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `text`"),
        (b'{"text": 1}', r"Expected `str`, got `int` - at `\$\.text`"),
        (b'{"text": "\xff\xfe"}', "utf-8"),
        (b'{"text": "a\\u0000b"}', "NUL character"),
        (b'{"text": "a\\\\\\u0000b"}', "NUL character"),
        (b'{"text": "a\x00b"}', "NUL character"),
        (b'{"te\\u0000xt": "a"}', "NUL character"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_the_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode(LETTER, payload)


def test_a_message_nested_too_deeply_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="nested too deeply"):
        decode(ANYTHING, b"[" * 100_000)


def test_a_text_that_only_spells_the_escape_of_nul_is_a_message() -> None:
    assert decode(LETTER, b'{"text": "write \\\\u0000 for NUL"}').text == "write \\u0000 for NUL"


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_the_result_is_a_message_or_malformed(payload: bytes) -> None:
    try:
        decode(ANYTHING, payload)
    except MalformedMessage:
        pass


JSON_VALUES = st.recursive(
    st.text() | st.integers(-(2**53), 2**53) | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_VALUES)
def test_a_text_with_nul_is_found_wherever_it_stands_and_nothing_else_is_refused(value: object) -> None:
    payload = msgspec.json.encode(value)

    if _holds_nul(value):
        with pytest.raises(MalformedMessage):
            decode(ANYTHING, payload)
    else:
        assert decode(ANYTHING, payload) == value


async def test_a_buried_message_is_kept_with_its_reason_and_never_delivered_again(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=1.0))
    await bus.publish([Outgoing(subject=WORK, payload=b"\xffpoison", headers={"traceparent": "00-abc"})])
    delivery = await fetch_one(deliveries)

    await bury(bus, delivery, "Invalid value 'nope' - at $.type", "orchestrator", "work", redactor=Redactor())

    dead = await bus.open_consumer(ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject="aif.dead.work"))
    letter = msgspec.json.decode((await fetch_one(dead)).payload, type=DeadLetter)
    assert letter.subject == WORK
    assert letter.payload == b"\xffpoison"
    assert letter.reason == "Invalid value 'nope' - at $.type"
    assert letter.found_by == "orchestrator"
    assert letter.deliveries == 1
    assert letter.headers["traceparent"] == "00-abc"
    assert await deliveries.fetch(1, 1.3) == []


async def test_no_secret_of_a_message_lies_among_the_dead_letters(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    secret = "hunter2-canary"
    leaks = {"x-note": f"it is {secret}", "Authorization": "anything"}
    await bus.publish([Outgoing(subject=WORK, payload=b'{"key":"hunter2-canary"}\xff Bearer abcdef123456', headers=leaks)])

    await bury(bus, await fetch_one(deliveries), f"{secret} is no key", "orchestrator", "work", redactor=Redactor([secret]))

    dead = await bus.open_consumer(ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject="aif.dead.work"))
    letter = msgspec.json.decode((await fetch_one(dead)).payload, type=DeadLetter)
    assert letter.payload == b'{"key":"***"}\xff Bearer ***'
    assert letter.reason == "*** is no key (a secret in it was masked)"
    assert (letter.headers["x-note"], letter.headers["Authorization"]) == ("it is ***", "***")
    assert letter.whole_size_bytes == 45


async def test_a_secret_at_the_place_where_a_large_message_is_cut_is_masked_whole(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    await bus.publish(work(b"-" * (524_288 - 7) + b"hunter2-canary" + b"-" * 1_000))

    await bury(bus, await fetch_one(deliveries), "bad", "orchestrator", "work", redactor=Redactor(["hunter2-canary"]))

    dead = await bus.open_consumer(ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject="aif.dead.work"))
    letter = msgspec.json.decode((await fetch_one(dead)).payload, type=DeadLetter)
    assert letter.payload.endswith(b"-----***----")
    assert letter.whole_size_bytes == 525_295


async def test_a_message_is_not_discarded_before_its_dead_letter_is_stored(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=60.0))
    await bus.publish(work(b"poison"))
    delivery = await fetch_one(deliveries)

    await fragile.stop_confirming()
    with pytest.raises(BusUnavailable):
        await bury(bus, delivery, "bad", "orchestrator", "work", redactor=Redactor())
    await fragile.come_back()
    await delivery.retry_later(0.0)

    assert (await fetch_one(deliveries)).num_delivered == 2


async def test_the_largest_poison_can_be_buried(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    await bus.publish(work(b"x" * 1_000_000))

    await bury(bus, await fetch_one(deliveries), "bad", "orchestrator", "work", redactor=Redactor())

    dead = await bus.open_consumer(ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject="aif.dead.work"))
    letter = msgspec.json.decode((await fetch_one(dead)).payload, type=DeadLetter)
    assert letter.payload == b"x" * 524_288
    assert letter.reason == "bad (the first 524288 of 1000000 bytes are kept)"
    assert letter.whole_size_bytes == 1_000_000


async def test_poison_with_very_large_headers_can_be_buried(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    headers = {"traceparent": "00-abc", "x-large": "\x01" * 60_000}
    await bus.publish([Outgoing(subject=WORK, payload=b"x" * 520_000, headers=headers)])

    await bury(bus, await fetch_one(deliveries), "bad", "orchestrator", "work", redactor=Redactor())

    dead = await bus.open_consumer(ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject="aif.dead.work"))
    letter = msgspec.json.decode((await fetch_one(dead)).payload, type=DeadLetter)
    assert len(letter.payload) == 520_000
    assert letter.whole_size_bytes is None
    assert letter.headers["traceparent"] == "00-abc"
    assert "x-large" not in letter.headers


@pytest.mark.parametrize(
    ("pattern", "subject", "is_taken"),
    [
        ("aif.work.a", "aif.work.a", True),
        ("aif.work.*", "aif.work.a", True),
        ("aif.work.*", "aif.work.a.b", False),
        ("aif.work.*", "aif.work", False),
        ("aif.work.>", "aif.work.a.b", True),
        ("aif.work.>", "aif.work", False),
        (">", "aif", True),
        ("aif.*.b", "aif.a.b", True),
        ("aif.*.b", "aif.a.c", False),
        ("*.a.>", "aif.a.b.c", True),
        ("aif.work.a", "aif.work.ab", False),
    ],
)
def test_patterns_take_subjects_as_in_nats(pattern: str, subject: str, is_taken: bool) -> None:
    assert takes(pattern, subject) is is_taken


@pytest.mark.parametrize("url", ["", "nats://somewhere", "http://x", "file://", "file:///", "s3://", "data"])
def test_a_blob_store_url_that_names_no_store_is_refused(memory_rig: MemoryRig, url: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        open_blob_store(url, MemoryBus(memory_rig.broker))


def test_a_memory_bus_has_no_nats_for_blobs(memory_rig: MemoryRig) -> None:
    with pytest.raises(ValueError, match="this bus has none"):
        open_blob_store("nats:", MemoryBus(memory_rig.broker))


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_holds_nul(inner) for inner in value)
