"""The response cache in the way of a generation: looked at before a model is asked, fed after it has answered well."""

from aif_ai.answer_check import AnswerCheck
from aif_ai.asking import Accepted
from aif_ai.booking import Why, cached_row, started_row
from aif_ai.call_costs import cost_of
from aif_ai.one_call import Audience, Subject, planned_call
from aif_ai.requests import Answer
from aif_ai.response_cache import CachedAnswer, ResponseCache, cache_key
from aif_contracts.money import ZERO


class CachedAnswers:
    def __init__(self, cache: ResponseCache, check: AnswerCheck) -> None:
        self._cache = cache
        self._check = check

    def key(self, subject: Subject) -> str:
        """Of the question as it would be asked now: what the grant has left bounds the answer, and shrinks with each call."""
        call = planned_call(subject, subject.request.messages)
        return cache_key(subject.ledger.port.context.client_id, subject.candidate.provider.name, call)

    async def find(self, key: str, subject: Subject, audience: Audience, why: Why) -> Accepted | None:
        """An earlier answer to the same question of the same client, booked as `cached`; None when there is none that keeps
        the rules of today."""
        known = await self._cache.get(key)
        if known is None:
            return None
        output, complaints = self._check.judge(subject.request, Answer(text=known.text))
        if complaints:
            return None
        ledger, candidate = subject.ledger, subject.candidate
        # What the call would have cost today; with a quality ceiling, against the model that was preferred.
        price = (subject.preferred or candidate).price
        saved = ZERO
        if price is not None:
            saved = cost_of(price, known.tokens, audio_ms=known.audio_ms, characters=known.characters)
        started = started_row(ledger.port, subject.request, candidate, why, call_key=ledger.call_key(), bound=ZERO)
        row = cached_row(started, saved, known.response_id)
        await ledger.book(row)
        await audience.new_answer()
        await audience.piece(known.text)
        return Accepted(output=output, text=known.text, row=row)

    async def keep(self, key: str, accepted: Accepted) -> None:
        row = accepted.row
        await self._cache.put(
            key,
            CachedAnswer(
                text=accepted.text,
                tokens=row.tokens,
                audio_ms=row.audio_ms,
                characters=row.characters,
                response_id=row.response_id,
            ),
        )
