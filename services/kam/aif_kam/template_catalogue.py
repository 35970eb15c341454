"""The orchestrator's templates, the factory's and each client's own, remembered for half a minute."""

import asyncio
import difflib
from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal

from aif_contracts.money import usd
from aif_contracts.orders import FieldMistake, ListTemplates, TemplateView
from aif_contracts.pipelines import GetPipeline
from aif_kam.failures import InvalidInput, NotFound, Refused, Unavailable, invalid
from aif_kam.orchestrator_client import OrchestratorClient
from aif_runtime.clock import Clock

KEPT_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 1.0
"""A name that is not known is looked for again when the list is older: it may have been saved through another replica."""
SETTLING_SECONDS = 5.0
"""After a change nothing is kept for so long: the orchestrator's replicas hear of it one after the other."""
CLIENTS_KEPT = 1000


class TemplateCatalogue:
    """An old list serves while the orchestrator is away: what is ordered by it, the orchestrator checks again. One that lacks a
    change that was told of does not: it would refuse for good what was just saved.

    Of two templates with one name a client is offered its own.
    """

    def __init__(self, *, orchestrator: OrchestratorClient, clock: Clock) -> None:
        self._orchestrator = orchestrator
        self._clock = clock
        self._offers: OrderedDict[str | None, _Offer] = OrderedDict()
        self._changed_at = float("-inf")

    async def all(self, client_id: str | None, *, kept_seconds: float = KEPT_SECONDS) -> Mapping[str, TemplateView]:
        """What a client may order, by name; for None the factory's alone. Raises Unavailable while no list serves."""
        offer = self._offer(client_id)
        failure_before = offer.failure
        async with offer.fetching:
            if offer.templates is not None and self._is_kept(offer, kept_seconds):
                return offer.templates
            failure = offer.failure
            if failure is None or failure is failure_before:
                offer.templates = await self._fetched(client_id, offer)
            elif offer.templates is None or self._lacks_a_change(offer):
                # Whoever has waited for one that got no answer has none either: each in turn would wait as long again.
                raise Unavailable(str(failure), code=failure.code, retry_after_seconds=failure.retry_after_seconds)
            return offer.templates

    async def get(self, name: str, client_id: str | None) -> TemplateView:
        """Raises NotFound."""
        found = (await self._offered(name, client_id)).get(name)
        if found is None:
            raise NotFound(f"no template is named {name!r}", code="unknown_template")
        return found

    async def chosen(
        self, name: str, client_id: str, *, field: str, version: str | None = None, version_field: str = "template_version"
    ) -> TemplateView:
        """The template that fields of a client's order name, in its newest version unless they say which.

        Raises InvalidInput with what there is, Unavailable.
        """
        templates = await self._offered(name, client_id)
        if name in templates:
            newest = templates[name]
            return newest if version in (None, newest.version) else await self._older(newest, client_id, version, version_field)
        near = difflib.get_close_matches(name, templates, 1)
        mend = f"did you mean {near[0]}?" if near else "choose one of: " + ", ".join(sorted(templates))
        message = f"no template is named {name!r}"
        raise InvalidInput(message, code="unknown_template", mistakes=(FieldMistake(field=field, message=message, mend=mend),))

    async def highest_limit(self, client_id: str) -> Decimal | None:
        """What one execution may spend at most, in US dollars; None while nobody has said. Raises Unavailable."""
        await self.all(client_id)
        return self._offer(client_id).highest_limit

    def forget(self, client_id: str | None) -> None:
        """A client's own templates have changed; for None the factory's, which everybody is offered."""
        if client_id is None:
            self._changed_at = self._clock.monotonic()
        else:
            self._offer(client_id).changed_at = self._clock.monotonic()

    async def _older(self, newest: TemplateView, client_id: str, version: str, field: str) -> TemplateView:
        try:
            query = GetPipeline(client_id=client_id, name=newest.name, version=version)
            found = await self._orchestrator.get_pipeline(query, for_a_change=True)
        except Refused as refused:
            message = f"there is no version {version[:64]!r} of {newest.name}"
            mend = f"leave it out for {newest.version}, or see /api/kam/pipelines?name={newest.name} for the others"
            raise invalid(field, message, mend, code="unknown_template") from refused
        view = found.pipeline
        return TemplateView(
            name=view.name,
            version=view.version,
            title=view.title,
            description=view.description,
            structure_type=found.document.get("structure_type"),
            parameters=found.document["parameters"],
            stages=view.stages,
            owner=view.owner,
        )

    async def _offered(self, name: str, client_id: str | None) -> Mapping[str, TemplateView]:
        templates = await self.all(client_id)
        return templates if name in templates else await self.all(client_id, kept_seconds=LOOK_AGAIN_SECONDS)

    def _offer(self, client_id: str | None) -> "_Offer":
        offer = self._offers.setdefault(client_id, _Offer())
        self._offers.move_to_end(client_id)
        if len(self._offers) > CLIENTS_KEPT:
            self._offers.popitem(last=False)
        return offer

    def _is_kept(self, offer: "_Offer", kept_seconds: float) -> bool:
        settled_at = self._last_change(offer) + SETTLING_SECONDS
        return offer.fetched_at > settled_at and self._clock.monotonic() - offer.fetched_at <= kept_seconds

    def _lacks_a_change(self, offer: "_Offer") -> bool:
        return offer.fetched_at <= self._last_change(offer)

    def _last_change(self, offer: "_Offer") -> float:
        return max(offer.changed_at, self._changed_at)

    async def _fetched(self, client_id: str | None, offer: "_Offer") -> Mapping[str, TemplateView]:
        asked_at = self._clock.monotonic()
        try:
            templates = await self._every_page(client_id, offer)
        except Unavailable as failure:
            offer.failure = failure
            if offer.templates is None or self._lacks_a_change(offer):
                raise
            return offer.templates
        offer.fetched_at = asked_at
        own_last = sorted(templates, key=lambda template: template.owner is not None)
        return {template.name: template for template in own_last}

    async def _every_page(self, client_id: str | None, offer: "_Offer") -> list[TemplateView]:
        """One answer cannot hold however many there are."""
        page = await self._orchestrator.templates(ListTemplates(client_id=client_id))
        offer.highest_limit = None if page.max_cost_usd is None else usd(page.max_cost_usd)
        found = list(page.templates)
        while page.next_cursor is not None:
            page = await self._orchestrator.templates(ListTemplates(client_id=client_id, cursor=page.next_cursor))
            found += page.templates
        return found


class _Offer:
    """What one client is offered."""

    def __init__(self) -> None:
        self.templates: Mapping[str, TemplateView] | None = None
        self.highest_limit: Decimal | None = None
        self.fetched_at = float("-inf")
        self.changed_at = float("-inf")
        self.fetching = asyncio.Lock()
        self.failure: Unavailable | None = None
        """Of the newest fetch that got no answer."""
