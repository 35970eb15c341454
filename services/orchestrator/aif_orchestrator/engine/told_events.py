"""How events are told: those of an execution that goes on wait a moment for what follows them, and go with it.

That a step is told a quarter of a second later nobody minds. What ends an execution waits for nothing, and takes along what
waits of it.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from aif_contracts import subjects
from aif_contracts.events import MOST_EVENTS_BYTES
from aif_orchestrator.engine.gathering import Gathering, Publish
from aif_runtime.bundles import in_bundles, joined
from aif_runtime.bus import Outgoing


def event_post(publish: Publish) -> Gathering:
    return Gathering(publish, company_of=_execution_of, together=events_together, may_wait=subjects.tells_progress)


def events_together(messages: Sequence[Outgoing]) -> list[Outgoing]:
    """The same events, all of one execution, in as few messages as will hold them."""
    return [message for _, of_trace in groupby(messages, key=attrgetter("headers")) for message in _bundled(list(of_trace))]


def _execution_of(subject: str) -> str:
    return subject.rpartition(".")[0]


def _bundled(messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
    if len(messages) == 1:
        return messages
    without_brackets = [(message, message.payload[1:-1]) for message in messages]
    return [_one(bundle) for bundle in in_bundles(without_brackets, most_bytes=MOST_EVENTS_BYTES)]


def _one(bundle: Sequence[tuple[Outgoing, bytes]]) -> Outgoing:
    (first, _), (last, _) = bundle[0], bundle[-1]
    if first is last:
        return first
    return Outgoing(
        # After the last event, as ever: whether the execution goes on can be seen from it.
        subject=last.subject,
        payload=joined(bundle),
        # Another replica may publish any of them by itself, under its own id: that must not pass for all of these.
        message_id=f"{first.message_id}..{last.message_id}",
        headers=last.headers,
    )
