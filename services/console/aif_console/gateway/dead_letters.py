"""Messages that could not be processed. The gateway shows them to operators only."""

from aif_console.gateway.gateway import Gateway, once, without_none
from aif_contracts.dead_letters import DeadLetterContent, DeadLetterPage, DeadLetterView

DEAD_LETTERS = "/api/admin/dead-letters"


async def list_dead_letters(
    gateway: Gateway, *, status: str | None, origin: str | None, limit: int, cursor: str | None = None
) -> DeadLetterPage:
    """Newest first."""
    query = without_none(status=status, origin=origin, limit=limit, cursor=cursor)
    return await gateway.ask("GET", DEAD_LETTERS, DeadLetterPage, params=query)


async def read_dead_letter(gateway: Gateway, dead_letter_id: str) -> DeadLetterContent:
    return await gateway.ask("GET", f"{DEAD_LETTERS}/{dead_letter_id}", DeadLetterContent)


async def replay_dead_letter(gateway: Gateway, dead_letter_id: str) -> DeadLetterView:
    """Send the message again as it was."""
    return await gateway.ask("POST", f"{DEAD_LETTERS}/{dead_letter_id}/replay", DeadLetterView, headers=once())


async def dismiss_dead_letter(gateway: Gateway, dead_letter_id: str) -> DeadLetterView:
    return await gateway.ask("POST", f"{DEAD_LETTERS}/{dead_letter_id}/dismiss", DeadLetterView, headers=once())
