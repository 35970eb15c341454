"""The local provider: structures a source text without a model, a key or a cost."""

import asyncio
import threading

import msgspec

from aif_ai.extractive.course import make_course
from aif_ai.extractive.quiz import make_quiz
from aif_ai.extractive.research import make_research
from aif_ai.extractive.telling import Tell, tell_nobody
from aif_ai.failures import ProviderNotConfigured, SourceTooThin
from aif_ai.requests import StructureKind, StructuringTask
from aif_runtime.cpu_meter import run_in_thread

NAME = "local_extractive"
MODEL = "extractive-2"
"""Raised when the same source would give another structure."""
WHAT_TO_CONFIGURE = "set OPENAI_API_KEY, ANTHROPIC_API_KEY or AIF_OPENAI_BASE_URL to use a language model"


class _Stopped(Exception):
    """The work in the thread ends here, because nobody waits for it any more."""


class ExtractiveProvider:
    """Deterministic: equal source and options give equal bytes. Uses no clock and no randomness."""

    name = NAME
    model = MODEL

    async def structure(self, task: StructuringTask, tell: Tell = tell_nobody) -> bytes:
        """The structure as JSON. Works in a thread, which calls `tell` and stops soon after a cancellation.

        Raises ProviderNotConfigured for what only a language model can do, SourceTooThin for too little text.
        """
        stop = threading.Event()
        try:
            return await run_in_thread(structure, task, stop, tell)
        except asyncio.CancelledError:
            stop.set()
            raise


def structure(task: StructuringTask, stop: threading.Event, tell: Tell = tell_nobody) -> bytes:
    """The structure as JSON, in the calling thread."""
    source = task.source
    if source is None:
        raise ProviderNotConfigured(
            f"a topic alone needs a language model: {WHAT_TO_CONFIGURE}, or give a `source` document to work from"
        )
    if not source.text.strip():
        raise SourceTooThin("the source document is empty: give one with text in sentences")

    def checkpoint() -> None:
        if stop.is_set():
            raise _Stopped

    try:
        match task.kind:
            case StructureKind.COURSE:
                return msgspec.json.encode(
                    make_course(
                        source,
                        level=task.granularity_level,
                        audience=task.target_audience,
                        made_by=NAME,
                        checkpoint=checkpoint,
                        tell=tell,
                    )
                )
            case StructureKind.QUIZ:
                return msgspec.json.encode(
                    make_quiz(
                        source,
                        question_count=task.question_count,
                        audience=task.target_audience,
                        made_by=NAME,
                        called=task.source_is,
                        checkpoint=checkpoint,
                        tell=tell,
                    )
                )
            case StructureKind.RESEARCH:
                return msgspec.json.encode(
                    make_research(source, topic=task.topic, made_by=NAME, checkpoint=checkpoint, tell=tell)
                )
    except SourceTooThin as failure:
        raise SourceTooThin(f"{failure.message}; give a longer text or {WHAT_TO_CONFIGURE}") from failure
