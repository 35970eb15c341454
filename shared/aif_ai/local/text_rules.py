"""A provider made of rules over text: it works in a thread of this process and stops soon after a cancellation."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from aif_ai.failures import InvalidRequest
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, TextInput
from aif_runtime.cpu_meter import run_in_thread

Options = TypeVar("Options", bound=Struct)
Work = Callable[[TextInput, Options, Callable[[], None], str], Struct]
"""Text, its options, a checkpoint to pass now and then, and who it is made by."""


class _Stopped(Exception):
    """The work in the thread ends here, because nobody waits for it any more."""


class TextRules(Generic[Options]):
    """Deterministic: equal text and options give equal bytes."""

    def __init__(
        self,
        *,
        name: str,
        model: str,
        capability: Capability,
        options: type[Options],
        work: Work[Options],
        last_resort: bool = False,
    ) -> None:
        """As a last resort it serves where no language model may, and never follows one that failed."""
        self.name = name
        self.offers = (Offer(capability=capability, models=(model,), local=True, last_resort=last_resort),)
        self._options = options
        self._work = work

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        """The finished structure as JSON. Raises InvalidRequest for options that it does not know, and what its work raises."""
        task = call.input
        if not isinstance(task, TextInput):
            raise InvalidRequest(f"{self.name} works on text alone")
        stop = threading.Event()
        try:
            text = await run_in_thread(self._worked, task, stop, call.model)
        except asyncio.CancelledError:
            stop.set()
            raise
        return Answer(text=text, finished=True)

    async def close(self) -> None:
        """Nothing is open."""

    def _worked(self, task: TextInput, stop: threading.Event, model: str) -> str:
        def checkpoint() -> None:
            if stop.is_set():
                raise _Stopped

        options = self._read(task.options)
        return msgspec.json.encode(self._work(task, options, checkpoint, f"{self.name}/{model}")).decode()

    def _read(self, options: dict[str, Any]) -> Options:
        try:
            return msgspec.convert(options, self._options)
        except msgspec.ValidationError as wrong:
            raise InvalidRequest(f"the options do not fit {self.name}: {wrong}") from wrong
