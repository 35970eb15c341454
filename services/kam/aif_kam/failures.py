"""What the gateway says no to.

KamFailure
├── MalformedBody       the request's body is no JSON object, or no file where one is due
├── BodyTooLarge
├── UnsupportedBody     a body of another media type
├── InvalidInput        fields that are wrong, all of them at once
│   └── KeyReused       an Idempotency-Key that came with another body before
├── RangeBeyond         a part of a file that it does not have
├── NotAuthenticated
├── NotAllowed          the key is good, the deed is not its client's
├── NotFound            nothing of that id belongs to the caller
├── Gone                it was there, and was deleted when its time was over
├── Conflict            not in the state that it is in now
│   ├── KeyInFlight     the first call with this Idempotency-Key is not over
│   └── FiringGone      a due time of a schedule that is settled, overtaken or called off
├── Refused             the orchestrator or the classifier answered no
└── Unavailable         broker, database or another service is away: try again
"""

from collections.abc import Mapping, Sequence

from aif_contracts.budgets import BUDGET_RESERVED
from aif_contracts.orders import FieldMistake, Refusal

_COME_AGAIN_SECONDS: Mapping[str, int] = {BUDGET_RESERVED: 5, "rate_limited": 2, "too_many_executions": 2}
"""Of refusals that may be a yes later, where no wait comes with them: from an older orchestrator, or from a stored request."""


class KamFailure(Exception):
    """Root of this package's failures. `code` is stable and snake_case, `mistakes` name fields as the caller wrote them."""

    code = "kam_failure"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        mistakes: Sequence[FieldMistake] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.mistakes = tuple(mistakes)
        self.retry_after_seconds = retry_after_seconds


class MalformedBody(KamFailure):
    """No field can be named here but the body itself."""

    code = "malformed_body"

    def __init__(self, message: str, *, mistakes: Sequence[FieldMistake] = ()) -> None:
        body = FieldMistake(field="body", message=message, mend="send one JSON object in UTF-8")
        super().__init__(message, mistakes=mistakes or (body,))


class BodyTooLarge(KamFailure):
    code = "body_too_large"


class UnsupportedBody(KamFailure):
    code = "unsupported_media_type"


class InvalidInput(KamFailure):
    code = "invalid_input"


class KeyReused(InvalidInput):
    code = "idempotency_key_reused"


class RangeBeyond(KamFailure):
    code = "range_beyond_the_end"

    def __init__(self, size: int) -> None:
        message = f"the part that is asked for lies beyond the file's {size} bytes"
        super().__init__(message, mistakes=(FieldMistake(field="Range", message=message, mend="ask for bytes that it has"),))
        self.size = size


class NotAuthenticated(KamFailure):
    code = "not_authenticated"


class NotAllowed(KamFailure):
    code = "not_allowed"


class NotFound(KamFailure):
    code = "not_found"


class Gone(KamFailure):
    code = "gone"


class Conflict(KamFailure):
    code = "conflict"


class KeyInFlight(Conflict):
    code = "idempotency_key_in_flight"
    retryable = True


class FiringGone(Conflict):
    code = "firing_gone"


class Refused(KamFailure):
    code = "refused"

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        wait = refusal.retry_after_ms
        super().__init__(
            refusal.message,
            code=refusal.code,
            mistakes=refusal.mistakes,
            retry_after_seconds=_COME_AGAIN_SECONDS.get(refusal.code) if wait is None else max(1, -(-wait // 1000)),
        )


class Unavailable(KamFailure):
    code = "unavailable"
    retryable = True


def invalid(field: str, message: str, mend: str = "", *, code: str | None = None) -> InvalidInput:
    """One wrong field."""
    return InvalidInput(message, code=code, mistakes=(FieldMistake(field=field, message=message, mend=mend),))
