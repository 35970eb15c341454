"""A listener reads an answer while it is written, and forgets what will not be in it."""

import asyncio

import pytest

from aif_ai.failures import MalformedOutput, ProviderUnreachable
from aif_ai.provider import Listener, ModelCall
from aif_ai.requests import Answer, CallTrace, Finish
from aif_ai.response_cache import MemoryResponseCache
from aif_ai.sdk_streams import pass_on
from aif_contracts.metering import CallOutcome
from aif_contracts.packets import Grant
from support.door_rig import DoorRig, Says, ScriptedProvider, ask
from support.waiting import eventually

MINI = "gpt-4o-mini"


class Reader:
    def __init__(self) -> None:
        self.events: list[str] = []

    @property
    def text(self) -> str:
        """What it has in hand."""
        last = max((place for place, event in enumerate(self.events) if event == "(restart)"), default=-1)
        return "".join(self.events[last + 1 :])

    async def piece(self, text: str) -> None:
        self.events.append(text)

    async def restart(self) -> None:
        self.events.append("(restart)")


async def test_pieces_arrive_as_they_are_written() -> None:
    reader = Reader()
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Says(pieces=("By ", "the ", "sun")),)))

    generation = await rig.door.generate(ask(listener=reader), rig.ledger)

    assert reader.events == ["By ", "the ", "sun"]
    assert generation.output == b"By the sun"
    assert rig.assignment.messages[-1] == (15, "gpt-4o-mini has written 10 characters")


async def test_a_corrected_answer_begins_anew() -> None:
    reader = Reader()
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Says(text="[]"), Says(text="{}"))))

    await rig.door.generate(ask(schema={"type": "object"}, listener=reader), rig.ledger)

    assert reader.events == ["[]", "(restart)", "{}"]


async def test_a_continued_answer_goes_on() -> None:
    reader = Reader()
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Says(text="By the ", finish=Finish.TRUNCATED), Says(text="sun"))))

    generation = await rig.door.generate(ask(listener=reader), rig.ledger)

    assert reader.events == ["By the ", "sun"]
    assert generation.output == b"By the sun"


async def test_a_continuation_that_breaks_and_is_tried_again_leaves_the_reader_with_the_whole_answer() -> None:
    async def breaks(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        trace.sent = True
        await heard("su")
        raise ProviderUnreachable("reset", maybe_billed=True)

    reader = Reader()
    steps = (Says(text="By the ", finish=Finish.TRUNCATED), breaks, Says(text="sun"))
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=steps))

    await rig.door.generate(ask(listener=reader), rig.ledger)

    assert reader.text == "By the sun"


async def test_a_cached_answer_is_read_in_one_piece() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI), cache=MemoryResponseCache(), grant=Grant(cache=True))
    await rig.door.generate(ask(), rig.ledger)
    reader = Reader()

    await rig.door.generate(ask(listener=reader), rig.ledger)

    assert reader.events == ["fine"]


async def test_a_reader_that_breaks_ends_the_call_which_is_booked() -> None:
    class Gone(Reader):
        async def piece(self, text: str) -> None:
            raise ConnectionResetError

    rig = DoorRig(ScriptedProvider("openai", MINI))

    with pytest.raises(ConnectionResetError):
        await rig.door.generate(ask(listener=Gone()), rig.ledger)

    assert [c.outcome for c in rig.calls] == [CallOutcome.IN_DOUBT]


async def test_cancelling_a_reader_who_waits_stops_the_provider() -> None:
    stopped = asyncio.Event()

    async def writes_for_ever(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        trace.sent = True
        try:
            await heard("By ")
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError("nobody sets the event")

    reader = Reader()
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(writes_for_ever,)))
    generating = asyncio.create_task(rig.door.generate(ask(listener=reader), rig.ledger))
    await eventually(lambda: reader.events)

    generating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await generating

    assert stopped.is_set()


async def test_an_answer_of_long_tokens_is_read_to_its_limit_and_one_far_beyond_it_is_cut_off() -> None:
    call, trace, reader = ModelCall(call_key="k", model=MINI, max_output_tokens=2_000), CallTrace(), Reader()

    await pass_on("x" * 100_000, call, trace, reader.piece, provider="openai")
    with pytest.raises(MalformedOutput, match="far more than it was asked for"):
        await pass_on("x" * 100_000, call, trace, reader.piece, provider="openai")

    assert len(reader.text) == 100_000
