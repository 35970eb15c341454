"""The orchestrator's templates, the factory's and each client's own, remembered for half a minute."""

import asyncio
import difflib
from collections import OrderedDict
from collections.abc import Mapping

from aif_contracts.orders import FieldMistake, TemplateView
from aif_kam.failures import InvalidInput, NotFound, Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_runtime.clock import Clock

KEPT_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 1.0
"""A name that is not known is looked for again when the list is older: it may have been saved through another replica."""
CLIENTS_KEPT = 1000


class TemplateCatalogue:
    """An old list serves while the orchestrator is away: what is ordered by it, the orchestrator checks again.

    Of two templates with one name a client is offered its own.
    """

    def __init__(self, *, orchestrator: OrchestratorClient, clock: Clock) -> None:
        self._orchestrator = orchestrator
        self._clock = clock
        self._offers: OrderedDict[str | None, _Offer] = OrderedDict()

    async def all(self, client_id: str | None, *, kept_seconds: float = KEPT_SECONDS) -> Mapping[str, TemplateView]:
        """What a client may order, by name; for None the factory's alone. Raises Unavailable while none were ever fetched."""
        offer = self._offers.setdefault(client_id, _Offer())
        self._offers.move_to_end(client_id)
        if len(self._offers) > CLIENTS_KEPT:
            self._offers.popitem(last=False)
        async with offer.fetching:
            if offer.templates is None or self._clock.monotonic() - offer.fetched_at > kept_seconds:
                await self._fetch(client_id, offer)
            assert offer.templates is not None
            return offer.templates

    async def get(self, name: str, client_id: str | None) -> TemplateView:
        """Raises NotFound."""
        found = (await self._offered(name, client_id)).get(name)
        if found is None:
            raise NotFound(f"no template is named {name!r}", code="unknown_template")
        return found

    async def chosen(self, name: str, client_id: str, *, field: str) -> TemplateView:
        """The template that a field of a client's order names. Raises InvalidInput with what there is."""
        templates = await self._offered(name, client_id)
        if name in templates:
            return templates[name]
        near = difflib.get_close_matches(name, templates, 1)
        mend = f"did you mean {near[0]}?" if near else "choose one of: " + ", ".join(sorted(templates))
        message = f"no template is named {name!r}"
        raise InvalidInput(message, code="unknown_template", mistakes=(FieldMistake(field=field, message=message, mend=mend),))

    def forget(self, client_id: str | None) -> None:
        """A client's own templates have changed; for None the factory's, which everybody is offered."""
        for client, offer in self._offers.items():
            if client_id is None or client == client_id:
                offer.changes += 1
                offer.fetched_at = float("-inf")

    async def _offered(self, name: str, client_id: str | None) -> Mapping[str, TemplateView]:
        templates = await self.all(client_id)
        return templates if name in templates else await self.all(client_id, kept_seconds=LOOK_AGAIN_SECONDS)

    async def _fetch(self, client_id: str | None, offer: "_Offer") -> None:
        changes, asked_at = offer.changes, self._clock.monotonic()
        try:
            answer = await self._orchestrator.templates(client_id)
        except Unavailable:
            if offer.templates is None:
                raise
            return
        own_last = sorted(answer.templates, key=lambda template: template.owner is not None)
        offer.templates = {template.name: template for template in own_last}
        # An answer that a change has overtaken may be from before it, and serves only this once.
        if offer.changes == changes:
            offer.fetched_at = asked_at


class _Offer:
    """What one client is offered."""

    def __init__(self) -> None:
        self.templates: Mapping[str, TemplateView] | None = None
        self.fetched_at = float("-inf")
        self.changes = 0
        self.fetching = asyncio.Lock()
