"""Parameters of an address: one that the address does not have is refused, for all routes that need a key at once.

Ignored, a misspelt `dry_run` would store, and a misspelt filter would list everything. What needs no key takes any: machines
ask there, and add parameters of their own.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from aif_kam.body_fields import unknown_names
from aif_kam.failures import InvalidInput


async def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Before a request is read, and after its key. Raises InvalidInput."""
    require_known(request.query_params, _known(request.route_handler))


def require_known(given: Iterable[str], known: Sequence[str]) -> None:
    """Raises InvalidInput with every parameter that is none of the known ones."""
    mistakes = unknown_names(dict.fromkeys(given), known, of="parameter of this address")
    if mistakes:
        names = ", ".join(mistake.field for mistake in mistakes)
        raise InvalidInput(f"the address does not have what it is given: {names}", mistakes=mistakes)


def _known(handler: BaseRouteHandler) -> list[str]:
    """In the order of the route's signature."""
    parameters = handler.parsed_fn_signature.parameters
    kinds = ((name, definition.kwarg_definition) for name, definition in parameters.items())
    return [kind.name or name for name, kind in kinds if isinstance(kind, QueryParameter)]
