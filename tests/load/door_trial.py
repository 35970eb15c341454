"""What the door to the AI providers costs beside the bare SDK, beside the LiteLLM proxy, and with its books at a broker.

All ask the same question of the provider double, which is a process of its own. The door checks the answer by its schema,
prices it and books it on an attempt; that attempt is in memory, except where the broker is what is measured.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from msgspec import Struct, field

from load.door_askers import Ask, by_sdk, in_memory, provider_in_another_process, through_the_door
from load.door_books import SYNC_INTERVALS, tell_books
from load.door_timing import IN_FLIGHT, Burst, DoorScale, burst, medians_in_turn, on_a_loop_of_the_services
from load.litellm_proxy import VARIABLE, RunningProxy, litellm_program, running_proxy
from load.processes import cpu_ms, own_cpu_ms
from load.spread import spread
from load.targets import Judged

DOOR = "door"
_ANSWERS_IN_MS = (0, 50)
_BARE, _THROUGH = "bare SDK", "door"
_PROXIED = {"LiteLLM, streamed": True, "LiteLLM, whole": False}
"""Whether each way of asking it streams."""
_MOST_ADDED_MS = 1.0
_LEAST_TIMES = 5.0
"""As many calls in a second of CPU time."""

Say = Callable[[str], None]


class Rounds(Struct, frozen=True, kw_only=True):
    """Of one side."""

    median_ms: list[float] = field(default_factory=list)
    """One at a time."""
    many: list[Burst] = field(default_factory=list)


async def door_trial(folder: Path, say: Say, *, scale: DoorScale) -> list[Judged]:
    """Gives what is to stand beside the targets."""
    program = litellm_program()
    if program is None:
        say(f"To compare with LiteLLM, install litellm[proxy] somewhere else and name its program: {VARIABLE}=…/bin/litellm")
    judged: list[Judged] = []
    for answer_ms in _ANSWERS_IN_MS:
        say(f"\n{DOOR}: the same call in each way; the provider answers in {answer_ms} ms")
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(provider_in_another_process(answer_ms / 1_000))
            proxy = None
            if program is not None:
                proxy = await stack.enter_async_context(running_proxy(program, folder / f"proxy-{answer_ms}", url))
            sides = await on_a_loop_of_the_services(partial(_measured, url, proxy, scale))
        _tell(sides, say)
        judged += _judge(sides, answer_ms)
    for sync_interval in SYNC_INTERVALS:
        await tell_books(folder / f"nats-{sync_interval}", sync_interval, say, scale=scale)
    return judged


async def _measured(url: str, proxy: RunningProxy | None, scale: DoorScale) -> Mapping[str, Rounds]:
    async with AsyncExitStack() as stack:
        asks: dict[str, Ask] = {
            _BARE: await stack.enter_async_context(by_sdk(url)),
            _THROUGH: await stack.enter_async_context(through_the_door(url, in_memory)),
        }
        if proxy is not None:
            for name, streams in _PROXIED.items():
                asks[name] = await stack.enter_async_context(by_sdk(proxy.url, streams=streams))

        def proxys_cpu_ms() -> float:
            assert proxy is not None, "it is asked"
            return cpu_ms(proxy.pid)

        rounds = {name: Rounds() for name in asks}
        for _ in range(scale.rounds):
            for name, median in (await medians_in_turn(asks, scale)).items():
                rounds[name].median_ms.append(median)
            for name, ask in asks.items():
                calls, cpu = (scale.many_proxied, proxys_cpu_ms) if name in _PROXIED else (scale.many, own_cpu_ms)
                rounds[name].many.append(await burst(ask, calls, cpu_ms=cpu))
        return rounds


def _tell(sides: Mapping[str, Rounds], say: Say) -> None:
    for name, rounds in sides.items():
        charged = "its own" if name in _PROXIED else "with the load"
        say(f"  {name:<22} one at a time {spread(rounds.median_ms)} ms (medians)")
        say(
            f"  {'':<22} {IN_FLIGHT} in flight {spread(each.per_second for each in rounds.many)} calls/s, "
            f"{spread(each.cpu_ms_per_call for each in rounds.many)} ms CPU each ({charged}), "
            f"{spread(each.per_cpu_second for each in rounds.many)} calls per CPU second"
        )


def _judge(sides: Mapping[str, Rounds], answer_ms: int) -> list[Judged]:
    through, bare = sides[_THROUGH], sides[_BARE]
    added = spread(mine - alone for mine, alone in zip(through.median_ms, bare.median_ms, strict=True))
    judged = [
        Judged(
            what=f"W3 door adds, {answer_ms} ms",
            target=f"at most {_MOST_ADDED_MS:g} ms",
            measured=added,
            unit=" ms",
            reached=added.median <= _MOST_ADDED_MS,
        )
    ]
    for name in _PROXIED:
        if name not in sides:
            continue
        pairs = zip(through.many, sides[name].many, strict=True)
        times = spread(mine.per_cpu_second / theirs.per_cpu_second for mine, theirs in pairs)
        judged.append(
            Judged(
                what=f"W3 {name}, {answer_ms} ms",
                target=f"at least {_LEAST_TIMES:g} times",
                measured=times,
                unit="",
                reached=times.median >= _LEAST_TIMES,
            )
        )
    return judged
