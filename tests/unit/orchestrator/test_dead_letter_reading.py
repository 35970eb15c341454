"""What becomes of the bytes on the dead letters' stream: a row that can be stored, shown and traced to its owner, always."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.packets import Context, Control, WorkPacket
from aif_orchestrator.dead_letters.reading import Owner, new_letter, owner_of
from aif_orchestrator.store.dead_letters import NewLetter
from aif_runtime.redaction import Redactor

PACKET = WorkPacket(
    packet_id="packet_1.one.1",
    execution_id="exec_1",
    stage_id="one",
    attempt=0,
    worker_name="maker",
    action="make",
    control=Control(),
    data_ref=BlobRef(storage_type=StorageType.INLINE, storage_key="data/1", size_bytes=2, sha256="0" * 64, inline=b"{}"),
    grant=None,
    context=Context(client_id="acme"),
)


class Delivered:
    """A delivery that is only read."""

    def __init__(
        self,
        payload: bytes,
        *,
        subject: str = "aif.dead.reports",
        headers: Mapping[str, str] | None = None,
        num_delivered: int = 1,
        stream_sequence: int = 7,
    ) -> None:
        self.payload = payload
        self.subject = subject
        self.headers = headers or {}
        self.num_delivered = num_delivered
        self.stream_sequence = stream_sequence

    async def ack(self) -> None: ...
    async def retry_later(self, delay_seconds: float) -> None: ...
    async def discard(self) -> None: ...
    async def still_working(self) -> None: ...


def row_of(delivery: Delivered) -> NewLetter:
    return new_letter(delivery, Redactor(["hunter2-canary"]))


def letter(**changes: object) -> bytes:
    fields = {
        "subject": "aif.usage.exec_1",
        "reason": "bad",
        "payload": b"\xffpoison",
        "headers": {"traceparent": "00-abc"},
        "deliveries": 6,
        "found_by": "maker",
    }
    return msgspec.json.encode(DeadLetter(**(fields | changes)))  # type: ignore[arg-type]


def test_a_letter_is_kept_as_it_is() -> None:
    kept = row_of(Delivered(letter()))

    assert kept.origin == "reports"
    assert kept.subject == "aif.usage.exec_1"
    assert kept.reason == "bad"
    assert kept.payload == b"\xffpoison"
    assert kept.headers == {"traceparent": "00-abc"}
    assert kept.deliveries == 6
    assert kept.found_by == "maker"
    assert kept.size_bytes == 7
    assert kept.execution_id == "exec_1"


def test_every_delivery_of_a_letter_is_the_same_row_and_another_letter_is_another() -> None:
    first = row_of(Delivered(letter()))

    assert row_of(Delivered(letter(), num_delivered=2)).dead_letter_id == first.dead_letter_id
    assert row_of(Delivered(letter(), stream_sequence=8)).dead_letter_id != first.dead_letter_id
    assert row_of(Delivered(letter(reason="worse"))).dead_letter_id != first.dead_letter_id
    assert first.dead_letter_id.startswith("dead_")


@pytest.mark.parametrize(
    ("payload", "masked"),
    [
        (b'{"error":"refused: hunter2-canary"}', b'{"error":"refused: ***"}'),
        (b'{"Authorization":"Bearer abcdef123456"}\xff', b'{"Authorization":"Bearer ***"}\xff'),
    ],
)
def test_a_secret_is_not_kept_and_the_letter_is_not_the_whole_message_then(payload: bytes, masked: bytes) -> None:
    kept = row_of(Delivered(letter(payload=payload, reason="hunter2-canary is wrong", headers={"x": "hunter2-canary"})))

    assert kept.payload == masked
    assert kept.size_bytes > len(kept.payload)
    assert kept.headers == {"x": "***"}
    assert kept.reason == "*** is wrong (a secret in it was masked)"


def test_the_stream_is_named_without_its_prefix() -> None:
    assert row_of(Delivered(letter(), subject="aif.dead.aif_work")).origin == "work"


def test_what_is_no_letter_is_kept_with_its_bytes() -> None:
    kept = row_of(Delivered(b"\xff{", headers={"a": "b"}, num_delivered=3))

    assert kept.payload == b"\xff{"
    assert kept.headers == {"a": "b"}
    assert kept.subject == "aif.dead.reports"
    assert kept.reason.startswith("this is no dead letter: ")
    assert kept.found_by == "orchestrator"
    assert kept.deliveries == 3


def test_a_letter_that_was_cut_tells_the_size_of_the_whole() -> None:
    assert row_of(Delivered(letter(whole_size_bytes=600_000))).size_bytes == 600_000


def test_a_payload_too_large_for_an_answer_is_cut() -> None:
    kept = row_of(Delivered(b"x" * 1_000_000))

    assert len(kept.payload) == 524_288
    assert kept.size_bytes == 1_000_000


def test_names_too_long_for_an_answer_are_cut() -> None:
    kept = row_of(Delivered(letter(subject="s" * 5_000, found_by="f" * 300), subject="aif.dead." + "o" * 300))

    assert (len(kept.subject), len(kept.found_by), len(kept.origin)) == (4_000, 200, 200)


def test_what_postgres_cannot_store_is_replaced() -> None:
    kept = row_of(Delivered(letter(subject="a\0b", reason="a\0b", found_by="\0", deliveries=10**12, whole_size_bytes=-5)))

    assert kept.subject == "a\N{REPLACEMENT CHARACTER}b"
    assert kept.reason == "a\N{REPLACEMENT CHARACTER}b"
    assert kept.found_by == "\N{REPLACEMENT CHARACTER}"
    assert kept.deliveries == 2_147_483_647
    assert kept.size_bytes == 7


@given(
    st.binary(max_size=2000)
    | st.builds(
        lambda text, number, headers: msgspec.json.encode(
            {
                "subject": text,
                "reason": text,
                "payload": "",
                "headers": headers,
                "deliveries": number,
                "found_by": text,
                "whole_size_bytes": number,
            }
        ),
        st.text(),
        st.integers(-(2**63), 2**63),
        st.dictionaries(st.text(), st.text()),
    )
)
def test_whatever_the_bytes_are_there_is_a_row_that_can_be_stored(payload: bytes) -> None:
    kept = row_of(Delivered(payload))

    assert all("\0" not in text for text in (kept.origin, kept.subject, kept.reason, kept.found_by))
    assert 0 <= kept.deliveries < 2**31
    assert len(kept.payload) <= kept.size_bytes < 2**31
    msgspec.json.encode(kept.headers)


@pytest.mark.parametrize(
    ("subject", "payload", "owner"),
    [
        (subjects.usage("exec_1"), b"\xff", Owner(execution_id="exec_1")),
        (subjects.usage("exec_1"), b'{"client_id":"acme"}', Owner(execution_id="exec_1", client_id="acme")),
        (subjects.usage("exec_1"), b'{"execution_id":"exec_2"}', Owner(execution_id="exec_1")),
        (subjects.report("maker"), b'[{"execution_id":"exec_1"}]', Owner(execution_id="exec_1")),
        (subjects.report("maker"), b'[{"execution_id":"exec_1"},{"execution_id":"exec_2"}]', Owner()),
        (subjects.report("maker"), b"[]", Owner()),
        (subjects.submit("acme"), b'{"client_id":"globex"}', Owner(client_id="acme")),
        (subjects.event("acme", "exec_1", "STEP"), b"no", Owner(execution_id="exec_1", client_id="acme")),
        (subjects.work("maker", "low"), msgspec.json.encode(PACKET), Owner(execution_id="exec_1", client_id="acme")),
        (subjects.work("maker", "low"), b'{"execution_id":["x"],"context":7}', Owner()),
        (subjects.work("maker", "low"), b'{"execution_id":"a b","client_id":""}', Owner()),
        (subjects.work("maker", "low"), b"[" * 100_000, Owner()),
        (subjects.usage("e" * 100), b"", Owner(execution_id="e" * 100)),
        (subjects.usage("e" * 101), b"", Owner()),
        (
            subjects.performance("maker"),
            b'{"execution_id":"exec_1","client_id":"acme"}',
            Owner(execution_id="exec_1", client_id="acme"),
        ),
    ],
)
def test_a_letter_says_whose_it_is_as_far_as_can_be_told(subject: str, payload: bytes, owner: Owner) -> None:
    assert owner_of(subject, payload) == owner
